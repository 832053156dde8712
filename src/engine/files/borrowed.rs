//! Where git repositories lead to: objects that one borrows of another (`objects/info/alternates`), and `.git` files, with
//! which worktrees and submodules say where their repository is. What is elsewhere is not backed up with them.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::exclude::Excludes;
use super::plainly;

/// How far borrowing goes on: git itself ends there.
const DEPTH: usize = 5;
/// The longest file that is read, in bytes.
const LONGEST: u64 = 64 << 10;

/// A directory of objects that a repository borrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lender {
    /// As the repository names it, made absolute: where it is at the source.
    pub live: PathBuf,
    /// Where it is now.
    pub at: PathBuf,
}

/// What the repository at `repository` borrows, in any number of steps. `destination` is where the tree was restored to, if
/// it was: absolute paths are looked for in there.
pub fn lenders(repository: &Path, destination: Option<&Path>) -> Vec<Lender> {
    let mut found = Vec::new();
    follow(&repository.join(".git/objects"), destination, DEPTH, &mut found);
    found
}

fn follow(objects: &Path, destination: Option<&Path>, depth: usize, found: &mut Vec<Lender>) {
    let Some(text) = plainly::text(&objects.join("info/alternates"), LONGEST) else { return };
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let named = Path::new(line);
        let lender = match (named.is_absolute(), destination) {
            (true, None) => Lender { live: plain(named), at: plain(named) },
            (true, Some(root)) => Lender { live: plain(named), at: below(root, &plain(named)) },
            (false, _) => {
                let at = plain(&objects.join(named));
                let live =
                    destination.and_then(|root| at.strip_prefix(root).ok()).map(|rest| Path::new("/").join(rest));
                Lender { live: live.unwrap_or_else(|| at.clone()), at }
            }
        };
        if !found.contains(&lender) {
            found.push(lender.clone());
            if depth > 0 {
                follow(&lender.at, destination, depth - 1, found);
            }
        }
    }
}

/// Whether `place` is backed up with `roots`.
pub fn is_in_backup(place: &Path, roots: &[PathBuf], excludes: &Excludes) -> bool {
    roots.iter().any(|root| place.starts_with(root) && !excludes.covers(root, place))
}

/// What a `.git` file or link in `directory` leads to, where it does.
pub fn elsewhere(directory: &Path) -> Option<PathBuf> {
    let file = directory.join(".git");
    if file.symlink_metadata().ok()?.file_type().is_symlink() {
        return Some(plain(&directory.join(fs::read_link(&file).ok()?)));
    }
    let text = plainly::text(&file, LONGEST)?;
    let named = text.strip_prefix("gitdir:")?.trim();
    Some(plain(&directory.join(named)))
}

/// `path`, which is absolute, in `root`.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// `path` without `.` and `..`, as git itself takes them: by their letters.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrowing_is_followed_by_absolute_and_relative_paths_into_the_restored_tree() {
        let directory = tempfile::tempdir().unwrap();
        let (live, restored) = (Path::new("/srv/x"), directory.path().join("srv/x"));
        for (repository, line) in [("a", "/srv/x/b/.git/objects\n"), ("b", "# no path\n../../../c/.git/objects\n")] {
            let info = restored.join(repository).join(".git/objects/info");
            fs::create_dir_all(&info).unwrap();
            fs::write(info.join("alternates"), line).unwrap();
        }
        let lender = |name: &str| Lender {
            live: live.join(name).join(".git/objects"),
            at: restored.join(name).join(".git/objects"),
        };
        assert_eq!(lenders(&restored.join("a"), Some(directory.path())), [lender("b"), lender("c")]);
        assert_eq!(lenders(&restored.join("c"), Some(directory.path())), []);
        let excludes = Excludes::new(&["/c".to_owned()]).unwrap();
        let is_in = |name: &str| is_in_backup(&lender(name).live, &[live.to_owned()], &excludes);
        assert!(is_in("b") && !is_in("c") && !is_in_backup(Path::new("/srv/xx"), &[live.to_owned()], &excludes));
    }

    #[test]
    fn a_git_file_leads_somewhere() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(elsewhere(directory.path()), None);
        fs::write(directory.path().join(".git"), "gitdir: ../main/.git/worktrees/x\n").unwrap();
        let above = directory.path().parent().unwrap();
        assert_eq!(elsewhere(directory.path()), Some(above.join("main/.git/worktrees/x")));
        fs::remove_file(directory.path().join(".git")).unwrap();
        std::os::unix::fs::symlink("/srv/git", directory.path().join(".git")).unwrap();
        assert_eq!(elsewhere(directory.path()), Some(PathBuf::from("/srv/git")));
        fs::remove_file(directory.path().join(".git")).unwrap();
        fs::create_dir(directory.path().join(".git")).unwrap();
        assert_eq!(elsewhere(directory.path()), None);
    }
}
