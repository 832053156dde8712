//! `backup-sla accept-repository`: the repository that is there now is the one that is meant.

use clap::Args;

use super::{Session, output};
use crate::error::Result;
use crate::operations::identity::{accept, short};

/// Arguments of `accept-repository`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Repository of the configuration
    #[arg(value_name = "REPOSITORY")]
    repository: String,
}

/// Accept and say what was accepted in place of what.
pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let accepted = accept(&session.app()?, &arguments.repository)?;
    if session.json {
        output::json(&accepted)?;
    } else if !session.quiet {
        let place = match &accepted.before {
            Some(before) if *before != accepted.identity => format!("in place of id {}", short(before)),
            Some(_) => "as before".to_owned(),
            None => "for the first time".to_owned(),
        };
        let id = short(&accepted.identity);
        output::line(&format!("repository {}: id {id} is accepted, {place}", accepted.repository))?;
    }
    Ok(0)
}
