//! What a shell offers beside `--help`, made from the same definitions: pages of the manual and completions.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::error::{OrFailed, Result};

const PROGRAM: &str = "backup-sla";
/// At the foot of every page.
const SOURCE: &str = concat!("backup-sla ", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// For this shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct PackageFiles {
    /// Directory to write `man` and `completions` into
    directory: PathBuf,
}

/// Completions to standard output.
pub(super) fn completions(arguments: &Completions, program: &clap::Command) -> Result<u8> {
    generate(arguments.shell, program, &mut io::stdout()).or_failed("cannot write completions")?;
    Ok(0)
}

/// What the package ships beside the program.
pub(super) fn package_files(arguments: &PackageFiles, program: &clap::Command) -> Result<u8> {
    let what = || format!("cannot write manual and completions to {}", arguments.directory.display());
    let manual = arguments.directory.join("man");
    fs::create_dir_all(&manual).or_failed(what())?;
    let documented = documented(program);
    fs::write(manual.join("backup-sla.1"), main_page(&documented)).or_failed(what())?;
    write_pages_below(&documented, &manual).or_failed(what())?;
    let completions = arguments.directory.join("completions");
    fs::create_dir_all(&completions).or_failed(what())?;
    for (shell, name) in [(Shell::Bash, "backup-sla"), (Shell::Zsh, "_backup-sla"), (Shell::Fish, "backup-sla.fish")] {
        let mut file = File::create(completions.join(name)).or_failed(what())?;
        generate(shell, program, &mut file).or_failed(what())?;
    }
    Ok(0)
}

fn generate(shell: Shell, program: &clap::Command, target: &mut dyn Write) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut documented(program), PROGRAM, &mut script);
    let script = String::from_utf8(script).map_err(io::Error::other)?;
    // clap_complete names the cases of a program with a hyphen in two ways, and none is ever reached.
    let script = script.replace("backup__subcmd__sla__subcmd__", "backup__sla__subcmd__");
    target.write_all(script.as_bytes())
}

/// The program with the commands that `--help` lists; `help COMMAND` needs no page beside theirs.
fn documented(program: &clap::Command) -> clap::Command {
    let mut shown = clap::Command::new(PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .about(program.get_about().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .args(program.get_arguments().cloned())
        .subcommands(program.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
    shown.build();
    shown
}

fn write_pages_below(command: &clap::Command, directory: &Path) -> io::Result<()> {
    for command in command.get_subcommands() {
        let mut text = Vec::new();
        let name = page_name(command);
        Man::new(command.clone()).title(&name).source(SOURCE).render(&mut text)?;
        let mut more = Roff::new();
        section(&mut more, "EXIT STATUS", &EXIT_STATUS);
        more.control("SH", ["SEE ALSO"]);
        more.text([bold("backup-sla"), roman("(1), /usr/share/doc/backup-sla/docs/commands.md")]);
        more.to_writer(&mut text)?;
        fs::write(directory.join(format!("{name}.1")), text)?;
        write_pages_below(command, directory)?;
    }
    Ok(())
}

fn page_name(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// The page of the program itself, with what no command's help says.
fn main_page(program: &clap::Command) -> Vec<u8> {
    let manual = Man::new(program.clone()).source(SOURCE);
    let mut text = Vec::new();
    let written = "a vector takes everything";
    manual.render_title(&mut text).expect(written);
    manual.render_name_section(&mut text).expect(written);
    manual.render_synopsis_section(&mut text).expect(written);
    manual.render_description_section(&mut text).expect(written);
    manual.render_options_section(&mut text).expect(written);
    manual.render_subcommands_section(&mut text).expect(written);
    let mut more = Roff::new();
    section(&mut more, "EXIT STATUS", &EXIT_STATUS);
    section(&mut more, "FILES", &FILES);
    section(&mut more, "ENVIRONMENT", &ENVIRONMENT);
    more.control("SH", ["SEE ALSO"]);
    more.text([
        roman("/usr/share/doc/backup-sla/README.md; "),
        bold("restic"),
        roman("(1), "),
        bold("promtool"),
        roman("(1)"),
    ]);
    more.to_writer(&mut text).expect(written);
    text
}

fn section(page: &mut Roff, title: &str, entries: &[(&str, &str)]) {
    page.control("SH", [title]);
    for (name, meaning) in entries {
        page.control("TP", []);
        page.text([bold(*name)]);
        page.text([roman(*meaning)]);
    }
}

const EXIT_STATUS: [(&str, &str); 6] = [
    ("0", "Done; of a drill or comparison: passed."),
    ("1", "It failed, or a promise is not kept."),
    ("2", "The command line or the configuration is wrong; nothing was done."),
    ("3", "The verdict of a drill or comparison is failed: the backup is not what was promised."),
    ("4", "Inconclusive: the host could not do its part, which says nothing about the backup."),
    ("130", "Ended at once by a second signal."),
];

const FILES: [(&str, &str); 4] = [
    ("/etc/backup-sla/config.toml", "The configuration."),
    ("/etc/default/backup-sla", "Passwords for the service that the configuration names with password_env."),
    ("/var/lib/backup-sla", "The ledger and everything else that the service knows (state_dir)."),
    ("/usr/share/backup-sla", "Alert rules and dashboards."),
];

const ENVIRONMENT: [(&str, &str); 2] = [
    ("BACKUP_SLA_CONFIG", "The configuration file, if --config is not given."),
    ("TMPDIR", "Where temporary files are made."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::Command;

    use clap::CommandFactory;

    use super::*;

    fn written() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(
            package_files(&PackageFiles { directory: place.path().to_owned() }, &crate::cli::Cli::command()).unwrap(),
            0
        );
        place
    }

    #[test]
    fn every_command_that_a_page_names_has_a_page_of_its_own() {
        let place = written();
        let pages: BTreeSet<String> = fs::read_dir(place.path().join("man"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut named = BTreeSet::from(["backup-sla.1".to_owned()]);
        for page in &pages {
            let text = fs::read_to_string(place.path().join("man").join(page)).unwrap().replace('\\', "");
            let words = text.split(|c: char| c.is_whitespace() || c == ',');
            let commands = words.filter_map(|word| word.strip_suffix("(1)"));
            named.extend(commands.filter(|word| word.starts_with("backup-sla-")).map(|word| format!("{word}.1")));
        }
        assert_eq!(pages, named);
        assert!(pages.contains("backup-sla-restore.1") && pages.contains("backup-sla-report-verify.1"), "{pages:?}");
    }

    #[test]
    fn the_page_of_the_program_says_what_an_exit_status_means() {
        let place = written();
        let page = fs::read_to_string(place.path().join("man/backup-sla.1")).unwrap();
        for (status, meaning) in EXIT_STATUS {
            assert!(page.contains(&format!("\\fB{status}\\fR")) && page.contains(meaning), "{status}: {page}");
        }
        let table = include_str!("../../docs/commands.md");
        for (status, _) in EXIT_STATUS {
            assert!(table.contains(&format!("\n| {status} | ")), "the page about commands does not know {status}");
        }
    }

    /// What the shell offers for the last of `words`, as the completion script tells it.
    fn offered_by_bash(script: &Path, words: &[&str]) -> String {
        let command = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={}; _backup__sla backup-sla '{}' '{}'; echo \"${{COMPREPLY[*]}}\"",
            script.display(),
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<String>>().join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2]
        );
        let output = Command::new("bash").args(["--norc", "-c", &command]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn bash_completes_commands_and_their_options_and_offers_nothing_hidden() {
        let place = written();
        let script = place.path().join("completions/backup-sla");
        let commands = offered_by_bash(&script, &["backup-sla", ""]);
        assert!(commands.contains(" restore ") && commands.contains(" accept-repository "), "{commands}");
        for hidden in ["package-files", "demo-data"] {
            assert!(!commands.contains(hidden), "{commands}");
        }
        assert!(offered_by_bash(&script, &["backup-sla", "restore", "--ov"]).contains("--overwrite"));
        assert!(offered_by_bash(&script, &["backup-sla", "report", "verify", "--"]).contains("--ledger"));
    }

    #[test]
    fn completions_of_other_shells_offer_commands_and_nothing_hidden() {
        let place = written();
        for name in ["_backup-sla", "backup-sla.fish"] {
            let script = fs::read_to_string(place.path().join("completions").join(name)).unwrap();
            assert!(script.contains("check-config") && script.contains("recovery-point"), "{name}");
            assert!(!script.contains("package-files") && !script.contains("demo-data"), "{name}");
        }
    }
}
