//! `backup-sla accept-repository`: the repository that is there now is the one that is meant.

use clap::Args;

use super::output;
use super::session::Session;
use crate::error::Result;
use crate::operations::accept_repository::{accept, accept_gone_points};
use crate::operations::identity::short;

/// Arguments of `accept-repository`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Repository of the configuration
    #[arg(value_name = "REPOSITORY")]
    repository: String,
    /// Also accept that recovery points were removed from it before their retention ended
    #[arg(long)]
    points: bool,
}

/// Accept and say what was accepted in place of what.
pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    if arguments.points {
        return accept_points(session, &arguments.repository);
    }
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

fn accept_points(session: &Session<'_>, repository: &str) -> Result<u8> {
    let accepted = accept_gone_points(&session.app()?, repository)?;
    if session.json {
        output::json(&accepted)?;
    } else if !session.quiet {
        for (source, points) in &accepted.gone_points {
            output::line(&format!("{source}: {points} recovery points are gone on purpose"))?;
        }
        if accepted.gone_points.is_empty() {
            output::line(&format!("repository {repository}: no recovery point is gone before its retention"))?;
        }
    }
    Ok(0)
}
