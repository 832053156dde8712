//! What is backed up comes back as it was.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};

use super::super::powers::Powers;
use super::{Bench, is_root, mode, stored};
use crate::engine::Engine;
use crate::engine::files::stored::{ARCHIVE, INDEX};

/// An access control list as the kernel takes it: user 1000 may read.
fn acl() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, u32::MAX), (2, 4, 1000), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
    let bytes = entries
        .iter()
        .flat_map(|(tag, rights, id)| [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat());
    2_u32.to_le_bytes().into_iter().chain(bytes).collect()
}

/// Everything that makes trees hard to keep; directories are `deep` of 200 bytes.
fn torture(root: &Path, deep: usize) {
    let name = |bytes: &[u8]| root.join(OsStr::from_bytes(bytes));
    for bytes in [
        &b"line\nend"[..],
        b"quo\"te's",
        b"back\\slash\\x41",
        b"\xff\xfe not text",
        b"-rf",
        b" ",
        "\u{e4}\u{1f980}".as_bytes(),
    ] {
        fs::write(name(bytes), bytes).unwrap();
    }
    fs::write(name(&[b'n'; 255]), "long name").unwrap();
    fs::write(name(b"empty"), "").unwrap();
    fs::write(name(b"big"), (0..3_500_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>()).unwrap();
    fs::write(name(b"one"), "one file, three names").unwrap();
    fs::create_dir(name(b"more")).unwrap();
    fs::hard_link(name(b"one"), name(b"more/two")).unwrap();
    fs::hard_link(name(b"one"), name(b"three")).unwrap();
    symlink("nowhere", name(b"dangling")).unwrap();
    symlink("/etc/passwd", name(b"absolute")).unwrap();
    symlink(OsStr::from_bytes(&[b'l'; 300]), name(b"far")).unwrap();
    rustix::fs::mknodat(CWD, name(b"fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    mode(&name(b"one"), 0o4755);
    mode(&name(b"empty"), 0o000);
    fs::create_dir(name(b"sticky")).unwrap();
    mode(&name(b"sticky"), 0o1777);
    fs::create_dir(name(b"read only")).unwrap();
    fs::write(name(b"read only/file"), "x").unwrap();
    mode(&name(b"read only/file"), 0o400);
    let sparse = File::create(name(b"sparse")).unwrap();
    sparse.set_len(20 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 10 << 20).unwrap();
    for (attribute, value) in [("user.line", &b"a\nb\0c"[..]), ("user.a=b%", b""), ("user.long", &[7; 2000])] {
        rustix::fs::setxattr(name(b"big"), attribute, value, XattrFlags::empty()).unwrap();
    }
    rustix::fs::setxattr(name(b"more"), "user.of", b"a directory", XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(name(b"sparse"), "system.posix_acl_access", &acl(), XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(name(b"sticky"), "system.posix_acl_default", &acl(), XattrFlags::empty()).unwrap();
    for (entry, seconds, nanoseconds) in [(&b"big"[..], 1, 5), (b"empty", -5, 250_000_000), (b"more", 4_000_000_000, 0)]
    {
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, name(entry), &times, rustix::fs::AtFlags::empty()).unwrap();
    }
    if is_root() {
        std::os::unix::fs::lchown(name(b"dangling"), Some(3_000_000), Some(4)).unwrap();
        std::os::unix::fs::chown(name(b"sticky"), Some(5), Some(6)).unwrap();
        rustix::fs::setxattr(name(b"one"), "trusted.of", b"root", XattrFlags::empty()).unwrap();
    }
    if Powers::of_this_process().capabilities {
        // Version 2, effective: CAP_NET_RAW, as ping has it.
        let value = [0x0200_0001_u32, 1 << 13, 0, 0, 0].map(u32::to_le_bytes).concat();
        rustix::fs::setxattr(name(b" "), "security.capability", &value, XattrFlags::empty()).unwrap();
    }
    if Powers::of_this_process().devices {
        let device = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(CWD, name(b"null"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), device).unwrap();
    }
    let mut directory: OwnedFd = File::open(root).unwrap().into();
    for _ in 0..deep {
        rustix::fs::mkdirat(&directory, &[b'd'; 200][..], Mode::from_raw_mode(0o755)).unwrap();
        directory = rustix::fs::openat(&directory, &[b'd'; 200][..], OFlags::RDONLY, Mode::empty()).unwrap();
    }
    let flags = OFlags::WRONLY | OFlags::CREATE;
    rustix::fs::openat(&directory, "bottom", flags, Mode::from_raw_mode(0o644)).unwrap();
    mode(&name(b"read only"), 0o555);
}

#[test]
fn a_tree_of_everything_hard_comes_back_and_passes_every_comparison() {
    let bench = Bench::new();
    torture(&bench.live(), 30);
    if !is_root() {
        mode(&bench.live().join("empty"), 0o400);
    }
    UnixListener::bind(bench.live().join("socket")).unwrap();
    let point = bench.back_up();
    let socket =
        point.manifest.warnings.iter().filter(|warning| warning.contains("socket` is left out: it is a socket"));
    assert_eq!((socket.count(), point.manifest.warnings.len()), (1, 1), "{:?}", point.manifest.warnings);
    bench.restore(&point);
    assert_eq!(bench.differences(&point), "");

    // What the comparison says is also what the file system says.
    let (live, copy) = (bench.live(), bench.copy());
    assert_eq!(fs::read(copy.join("big")).unwrap(), fs::read(live.join("big")).unwrap());
    let three = ["one", "more/two", "three"].map(|name| copy.join(name).metadata().unwrap().ino());
    assert!(three.iter().all(|inode| *inode == three[0]));
    let (sparse, original) = (copy.join("sparse").metadata().unwrap(), live.join("sparse").metadata().unwrap());
    assert!(sparse.blocks() < 1000 && sparse.len() == original.len(), "{} blocks", sparse.blocks());
    assert_eq!(copy.join("empty").metadata().unwrap().mtime_nsec(), 250_000_000);
    assert_eq!(copy.join("more").metadata().unwrap().mtime(), 4_000_000_000);
    assert_eq!(copy.join("one").metadata().unwrap().mode() & 0o7777, 0o4755);
    let rows = String::from_utf8(stored(&point, INDEX)).unwrap().lines().count() as u64;
    assert_eq!(point.manifest.rows(), rows);
}

#[test]
fn gnu_tar_brings_back_the_same_tree_without_us() {
    let bench = Bench::new();
    torture(&bench.live(), 10);
    if !is_root() {
        mode(&bench.live().join("empty"), 0o400);
    }
    let point = bench.back_up();
    let archive = bench.directory.path().join(ARCHIVE);
    fs::write(&archive, stored(&point, ARCHIVE)).unwrap();
    let tar = Command::new("tar")
        .args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"])
        .arg(&archive)
        .arg("-C")
        .arg(bench.restored())
        .output()
        .unwrap();
    assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
    assert_eq!(bench.differences(&point), "");
}

#[test]
fn an_unchanged_tree_gives_the_same_bytes_and_digests_again() {
    let bench = Bench::new();
    torture(&bench.live(), 3);
    if !is_root() {
        mode(&bench.live().join("empty"), 0o400);
    }
    let (first, second) = (bench.back_up(), bench.back_up());
    assert_eq!(first.manifest.files, second.manifest.files);
    assert_eq!(first.manifest.inventory(), second.manifest.inventory());
}

#[test]
fn several_paths_a_single_file_and_a_link_at_the_root_are_one_row_each() {
    let bench = Bench::new();
    bench.write("tree/a", "a");
    bench.write("file", "alone");
    symlink("tree", bench.live().join("link")).unwrap();
    let paths = ["tree", "link", "file"].map(|name| bench.live().join(name));
    let engine = bench.engine_of(paths.to_vec(), std::time::Duration::from_mins(1));
    let context = crate::run_context::RunContext::silent();
    let point = super::store(engine.preflight(&context).unwrap().dump(&context).unwrap()).unwrap();
    let rows: Vec<u64> = point.manifest.inventory().tables.iter().map(|table| table.rows).collect();
    assert_eq!(rows, [1, 2, 2], "{:?}", point.manifest.inventory().tables);
    bench.restore(&point);
    assert_eq!(bench.differences(&point), "");
    assert_eq!(fs::read_to_string(bench.copy().join("link/a")).unwrap(), "a");
}

#[test]
fn what_is_excluded_is_in_neither_archive_nor_promise() {
    let bench = Bench::excluding(&["*.retry", "cache/", "build/*.o"]);
    for name in ["site.yml", "site.retry", "deep/cache/x", "build/a.o", "build/a.c", "deep/build/a.o"] {
        bench.write(name, name);
    }
    let point = bench.back_up();
    bench.restore(&point);
    assert_eq!(bench.differences(&point), "");
    let kept = |name: &str| bench.copy().join(name).exists();
    assert!(kept("site.yml") && kept("build/a.c") && kept("deep/build/a.o"));
    assert!(!kept("site.retry") && !kept("deep/cache") && !kept("build/a.o"));
    assert_eq!(point.manifest.settings["excluded"], "3");
    assert_eq!(point.manifest.settings["exclude"], "*.retry, cache/, build/*.o");
}
