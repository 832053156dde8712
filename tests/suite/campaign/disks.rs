//! Small file systems, one for each place that can be full.

use std::path::PathBuf;
use std::process::Command;

use super::plan::Disk;

/// A file system in memory; unmounted when dropped.
pub struct SmallDisk {
    at: PathBuf,
    mebibytes: u64,
}

const INODES: u64 = 30_000;

impl SmallDisk {
    pub fn mount(at: PathBuf, mebibytes: u64) -> Self {
        std::fs::create_dir_all(&at).unwrap();
        let options = format!("size={mebibytes}m,nr_inodes={INODES},mode=0711");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at).status();
        assert!(mounted.unwrap().success(), "the campaign needs to mount a tmpfs: run it as root");
        Self { at, mebibytes }
    }

    /// Whether it could be done: nobody may be writing to what becomes read-only.
    pub fn spoil(&self, how: Disk) -> bool {
        let facts = rustix::fs::statvfs(&self.at).unwrap();
        match how {
            Disk::Full(kib) => {
                let used = (facts.f_blocks - facts.f_bfree) * facts.f_frsize / 1024;
                self.remount(&format!("size={}k", used + kib.max(1)))
            }
            Disk::NoInodes(left) => self.remount(&format!("nr_inodes={}", facts.f_files - facts.f_ffree + left.max(1))),
            Disk::ReadOnly => self.remount("ro"),
        }
    }

    pub fn mend(&self) {
        assert!(self.remount(&format!("rw,size={}m,nr_inodes={INODES}", self.mebibytes)), "{}", self.at.display());
    }

    fn remount(&self, options: &str) -> bool {
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,{options}")]).arg(&self.at);
        command.output().unwrap().status.success()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What is mounted below another is gone with it.
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}
