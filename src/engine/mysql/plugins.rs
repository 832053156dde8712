//! Which plugins a sandbox's server can load: those that it starts with. What is restored may say `INSTALL PLUGIN`, and a
//! plugin is native code.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::process;

/// The sandbox's own directory of plugins.
pub const DIRECTORY: &str = "plugins";
const LOADED: &str = "--plugin-load-add=";

/// Have the server look for plugins where there are only those that `args` load, and `more`. Gives the links to make: name
/// and where each leads.
pub fn confine(args: &mut Vec<String>, usual: &Usual, more: Option<String>) -> Vec<(String, PathBuf)> {
    let libraries: Vec<String> = libraries(args).into_iter().chain(more).collect();
    if libraries.is_empty() {
        args.push("--plugin-dir={nowhere}".to_owned());
        return Vec::new();
    }
    // A server that does not say where its plugins are can still start with them; the sandbox itself is cut off.
    let Some(directory) = usual.plugins() else { return Vec::new() };
    args.push(format!("--plugin-dir={{dir}}/{DIRECTORY}"));
    libraries.iter().map(|library| (format!("{DIRECTORY}/{library}"), directory.join(library))).collect()
}

/// Where a server's program looks for its own files if nobody tells it, in its own words.
pub struct Usual {
    program: PathBuf,
    said: String,
}

impl Usual {
    /// Ask the program; one that does not answer says nothing.
    pub fn ask(program: &Path) -> Self {
        let asked =
            process::command(program).args(["--no-defaults", "--verbose", "--help"]).stdin(Stdio::null()).output();
        Self::said(program, &String::from_utf8_lossy(&asked.map(|output| output.stdout).unwrap_or_default()))
    }

    /// What `program` said.
    pub fn said(program: &Path, said: &str) -> Self {
        Self { program: program.to_owned(), said: said.to_owned() }
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The directory that this option names.
    pub fn place(&self, option: &str) -> Option<PathBuf> {
        let line = self.said.lines().find_map(|line| line.strip_prefix(option)?.strip_prefix(' '))?;
        Some(PathBuf::from(line.trim()))
    }

    /// Its directory of plugins.
    pub fn plugins(&self) -> Option<PathBuf> {
        self.place("plugin-dir").filter(|directory| directory.is_dir())
    }
}

/// Files that `args` load, of `library`, `library.so` and `name=library.so`.
fn libraries(args: &[String]) -> Vec<String> {
    let loaded = args.iter().filter_map(|arg| arg.strip_prefix(LOADED)).flat_map(|list| list.split(';'));
    let files = loaded.map(|one| one.rsplit_once('=').map_or(one, |(_, library)| library).trim());
    let files = files.filter(|file| !file.is_empty() && !file.contains('/'));
    let mut files: Vec<String> = files.map(|file| format!("{}.so", file.strip_suffix(".so").unwrap_or(file))).collect();
    files.sort();
    files.dedup();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_named_as_files_whatever_form_they_were_given_in() {
        let args = [
            "--x",
            "--plugin-load-add=ha_archive",
            "--plugin-load-add=a=auth_ed25519.so; b.so;",
            "--plugin-load-add=../c",
        ];
        let args = args.map(str::to_owned);
        assert_eq!(libraries(&args), ["auth_ed25519.so", "b.so", "ha_archive.so"]);
        let mut none = vec!["--x".to_owned()];
        assert_eq!(confine(&mut none, &Usual::ask(Path::new("/nonexistent")), None), []);
        assert_eq!(none[1], "--plugin-dir={nowhere}");
    }
}
