//! Passwords: from a file only its owner can read, or from the environment; never from the configuration itself.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use secrecy::SecretString;

use super::reading::Reading;
use super::section::{Fault, Section, Value};
use super::trust;
use super::value::{path, text};

/// No password is longer; a bigger file is some other file.
const LONGEST: u64 = 64 * 1024;

/// How some editors begin a text in UTF-8; the restic program does not take it as part of a password either.
const BYTE_ORDER_MARK: char = '\u{feff}';

const ONE_LINE: &str = "put the password into a file as its only line";

/// Does the section say where its password is, by one of the two keys or by the one we refuse?
pub fn is_given(section: &Section<'_>) -> bool {
    ["password_file", "password_env", "password"].iter().any(|key| section.has(key))
}

/// Password of a section, from `password_file` or `password_env`; `None` without either and after a problem.
pub fn password(section: &Section<'_>) -> Option<SecretString> {
    let reading = section.reading();
    section.refuse(
        "password",
        "a password does not belong in this file: put it into a file of its own with mode 0600 and write \
         `password_file = \"FILE\"`, or `password_env = \"VARIABLE\"`",
    );
    let from_file = section.optional("password_file", |value| read_file(value, reading));
    let from_environment = section.optional("password_env", |value| read_environment(value, reading));
    if section.has("password_file") && section.has("password_env") {
        section.problem("password_env", "both `password_file` and `password_env` are given: remove one");
    }
    from_file.or(from_environment)
}

/// The file that [`password`] reads, as a path.
pub fn file(section: &Section<'_>) -> Option<PathBuf> {
    let reading = section.reading();
    section.optional("password_file", |value| path(value, reading))
}

fn read_environment(value: &Value<'_>, reading: &Reading<'_>) -> Result<SecretString, Fault> {
    let name = text(value)?;
    let fault = |why: &str| Fault::new(value, format!("names the environment variable {name:?}, which {why}"));
    let password =
        reading.environment(name).ok_or_else(|| fault("is not set: set it for the service, or use `password_file`"))?;
    let password = password.into_string().map_err(|_| fault("is not UTF-8"))?;
    let password = bare(&password).to_owned();
    if password.is_empty() { Err(fault("is empty: set it, or use `password_file`")) } else { Ok(password.into()) }
}

fn read_file(value: &Value<'_>, reading: &Reading<'_>) -> Result<SecretString, Fault> {
    let path = path(value, reading)?;
    reading.has_password_file(&path);
    read(&path).map_err(|message| Fault::new(value, message))
}

/// The password in the file at `path`, which must be private; for files named on the command line.
pub fn read_secret_file(path: &Path) -> Result<SecretString, crate::error::Error> {
    read(path)
        .map_err(|why| crate::error::Error::configuration(format!("cannot read the password: --password-file {why}")))
}

/// Content of a file that only its owner can read, of any number of lines: a private key.
pub fn read_private_file(path: &Path) -> Result<SecretString, crate::error::Error> {
    let failed =
        |why: String| crate::error::Error::configuration(format!("cannot read the private key: its path {why}"));
    let mut content = String::new();
    match open_private(path).map_err(failed)?.take(LONGEST).read_to_string(&mut content) {
        Ok(_) => Ok(content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&content).into()),
        Err(cause) => Err(failed(format!("names {}, which cannot be read: {cause}", path.display()))),
    }
}

/// `content` without what editors add: a byte-order mark, ends of lines.
fn bare(content: &str) -> &str {
    content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content).trim_end_matches(['\n', '\r'])
}

/// Content of the password file at `path` without what editors add; the error continues "`password_file` …".
fn read(path: &Path) -> Result<SecretString, String> {
    let file = open_private(path)?;
    read_line(file).map_err(|why| format!("names {}, which {why}: {ONE_LINE}", path.display()))
}

/// A file that nobody but its owner, us or root, can read; the error continues "`password_file` …".
fn open_private(path: &Path) -> Result<File, String> {
    let shown = path.display();
    let refuse = |why: &str, instead: &str| format!("names {shown}, which {why}: {instead}");
    let failed = |cause: std::io::Error| match cause.kind() {
        std::io::ErrorKind::NotFound => {
            let instead = format!("create it with the password as its only line, then chmod 600 {shown}");
            refuse("does not exist", &instead)
        }
        _ => format!("names {shown}, which cannot be read: {cause}"),
    };
    // Without waiting: a named pipe that nobody writes must not hang the service.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(path).map_err(failed)?;
    // Asked of the open file, so that it is the file we read.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(refuse("is not a regular file", ONE_LINE));
    }
    if let Some(why) = trust::open_to_others(&metadata) {
        return Err(refuse(&why, &format!("chmod 600 {shown}")));
    }
    let (owner, us) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if ![0, us].contains(&owner) {
        let why = format!("belongs to user {owner}, neither to us ({us}) nor to root");
        return Err(refuse(&why, &format!("chown {us} {shown}")));
    }
    Ok(file)
}

/// The single line of `file`.
fn read_line(file: File) -> Result<SecretString, String> {
    let mut content = String::new();
    match file.take(LONGEST + 1).read_to_string(&mut content) {
        Ok(length) if length as u64 > LONGEST => return Err("is too long for a password".to_owned()),
        Ok(_) => {}
        Err(cause) => return Err(format!("cannot be read: {cause}")),
    }
    let password = bare(&content);
    if password.is_empty() {
        return Err("is empty".to_owned());
    }
    if password.contains('\n') {
        return Err("has more than one line".to_owned());
    }
    Ok(password.to_owned().into())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    fn file_with(content: &[u8], mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        file
    }

    fn refusal(content: &[u8], mode: u32) -> String {
        let file = file_with(content, mode);
        let message = read(file.path()).unwrap_err().replace(&file.path().display().to_string(), "FILE");
        message.strip_prefix("names FILE, which ").unwrap().replace(&format!(": {ONE_LINE}"), "")
    }

    #[test]
    fn a_private_file_yields_its_line_without_the_newline() {
        let added = ["", "\n", "\r\n", "\n\n", "\r\n\r\n"];
        let plain = added.map(|end| format!("s3cret pass {end}"));
        let marked = added.map(|end| format!("\u{feff}s3cret pass {end}"));
        for content in plain.into_iter().chain(marked) {
            for mode in [0o600, 0o400] {
                let file = file_with(content.as_bytes(), mode);
                assert_eq!(read(file.path()).unwrap().expose_secret(), "s3cret pass ");
            }
        }
    }

    #[test]
    fn only_what_stands_around_a_password_is_taken_away() {
        for password in ["\u{feff}", "\r", "\u{feff}\r\n"] {
            assert_eq!(refusal(password.as_bytes(), 0o600), "is empty", "{password:?}");
        }
        let file = file_with("\u{feff}\u{feff}a\u{feff}\tb\u{a0}\n".as_bytes(), 0o600);
        assert_eq!(read(file.path()).unwrap().expose_secret(), "\u{feff}a\u{feff}\tb\u{a0}");
        let key = file_with("\u{feff}-----BEGIN\r\n".as_bytes(), 0o600);
        assert_eq!(read_private_file(key.path()).unwrap().expose_secret(), "-----BEGIN\r\n");
    }

    #[test]
    fn a_file_that_group_or_others_may_open_is_refused_with_the_command_that_closes_it() {
        assert!(read(file_with(b"s3cret\n", 0o640).path()).is_ok(), "our own group may read it");
        for mode in [0o604, 0o660, 0o644, 0o777] {
            let message = refusal(b"s3cret\n", mode);
            assert_eq!(message, format!("is open to group or others (mode {mode:04o}): chmod 600 FILE"));
        }
    }

    #[test]
    fn a_file_without_one_line_of_text_is_refused() {
        assert_eq!(refusal(b"", 0o600), "is empty");
        assert_eq!(refusal(b"\n", 0o600), "is empty");
        assert_eq!(refusal(b"a\nb\n", 0o600), "has more than one line");
        assert_eq!(refusal(&b"a".repeat(70_000), 0o600), "is too long for a password");
        assert_eq!(refusal(b"\xff\xfe", 0o600), "cannot be read: stream did not contain valid UTF-8");
    }

    #[test]
    fn a_pipe_or_a_directory_is_refused_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path()).unwrap_err().contains("is not a regular file"));
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(read(&pipe).unwrap_err().contains("is not a regular file"));
    }

    #[test]
    fn a_missing_file_is_reported_with_what_to_create() {
        let message = read(Path::new("/nonexistent/key")).unwrap_err();
        assert!(message.starts_with("names /nonexistent/key, which does not exist: create it"), "{message}");
    }

    #[test]
    fn a_file_of_someone_else_is_refused() {
        let file = file_with(b"s3cret", 0o600);
        let stranger = rustix::fs::Uid::from_raw(12_345);
        // Only root can give a file away, and only root can read it then: elsewhere the open itself is refused.
        if rustix::fs::chown(file.path(), Some(stranger), None).is_ok() {
            let message = read(file.path()).unwrap_err();
            assert!(message.contains("belongs to user 12345, neither to us"), "{message}");
        }
    }
}
