//! The first day of somebody who installs the package on a Debian with the servers as their own packages set them up, and types
//! what the README says: three green drills, a page, and its end. The story is tests/fixtures/stock/story.py.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::packaging::build_package;
use crate::support::{finish, fixture};

#[test]
fn by_the_readme_alone_a_stock_debian_has_green_drills_and_pages_that_resolve() {
    assert!(rustix::process::geteuid().is_root(), "installing a package takes root: run the suite as root");
    let directory = tempfile::tempdir().unwrap();
    let package = build_package(directory.path());
    let place = tempfile::tempdir().unwrap();
    let stock = |name: &str| -> PathBuf { fixture("stock").join(name) };
    // Ports, processes and files are its own: 3306, 8086, 9090 and 9093 are free, and nothing outlives it.
    let mut story = Command::new("unshare");
    story.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private", "--", "sh"]);
    story.arg(fixture("throwaway-host.sh")).arg(place.path());
    story.args([stock("story.py"), stock("systemctl"), stock("documents.py"), package]).stdin(Stdio::null());
    let told = finish(story);
    assert!(told.status == 0 && told.stdout.ends_with("story.py: done\n"), "{}\n{}", told.stdout, told.stderr);
}
