//! The Debian package: built by `cargo deb`, installed, upgraded and purged by `dpkg` in a throwaway copy of this host.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::support::{PROGRAM, Ran, finish, fixture};

fn cargo_deb() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/cargo-tools/bin/cargo-deb");
    assert!(program.exists(), "{} is missing: run scripts/setup --for test", program.display());
    program
}

/// The package with the program of this build: what is tested is the packaging, and a release build takes minutes.
pub fn build_package(directory: &Path) -> PathBuf {
    let package = directory.join("backup-sla.deb");
    let target = Path::new(PROGRAM).parent().unwrap().parent().unwrap();
    static BESIDE: OnceLock<()> = OnceLock::new();
    BESIDE.get_or_init(|| {
        let made = Command::new(PROGRAM).arg("package-files").arg(target.join("package")).status().unwrap();
        assert!(made.success());
    });
    let mut build = Command::new(cargo_deb());
    build.args(["--no-build", "--profile", "dev", "--no-strip", "--fast", "--output"]).arg(&package);
    build.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", target).stdin(Stdio::null());
    let ran = Ran::of(build.output().unwrap());
    assert_eq!(ran.status, 0, "{ran:?}");
    package
}

#[test]
fn the_package_is_installed_serves_keeps_settings_and_leaves_no_data_to_chance() {
    assert!(rustix::process::geteuid().is_root(), "installing a package takes root: run the suite as root");
    let (directory, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let package = build_package(directory.path());
    assert_no_complaint_of_lintian(&package);
    let mut install = Command::new("unshare");
    install.args(["--mount", "--propagation", "private", "--", "sh"]);
    install.arg(fixture("throwaway-host.sh")).arg(place.path());
    install.args([fixture("installed.sh"), package]).stdin(Stdio::null());
    let installed = finish(install);
    assert!(installed.status == 0 && installed.stdout.ends_with("installed.sh: done\n"), "{installed:?}");
}

/// Of what Debian's own checker calls an error or a warning, only what is known and has a reason is left.
fn assert_no_complaint_of_lintian(package: &Path) {
    let mut check = Command::new("lintian");
    // The program of a release is stripped.
    check.args(["--fail-on", "error,warning", "--suppress-tags", "unstripped-binary-or-object"]);
    let said = check.arg(package).stdin(Stdio::null()).output().expect("lintian is needed (scripts/setup --for test)");
    let said = Ran::of(said);
    assert!(said.status == 0 && said.stdout.is_empty(), "{said:?}");
}
