//! The demo's Ansible repository: a git repository with playbooks and roles, and somebody who commits to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::background::Background;
use crate::error::{Error, OrFailed, Result};
use crate::process::{OwnedChild, find_program};

const ROLES: [&str; 6] = ["base", "nginx", "mariadb", "influxdb", "telegraf", "backup"];

/// A repository in a directory of its own.
pub struct AnsibleRepository {
    directory: PathBuf,
    git: PathBuf,
}

impl AnsibleRepository {
    /// Make it in `directory`.
    pub fn create(directory: &Path) -> Result<Self> {
        let git = find_program(None, &["git"]).ok_or_else(|| {
            Error::failed("cannot start the demo: there is no program `git`")
                .hint("run scripts/setup --for demo, or install git")
        })?;
        let repository = Self { directory: directory.to_owned(), git };
        repository.fill().or_failed("cannot make the demo's Ansible repository")?;
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        repository.commit("First state")?;
        Ok(repository)
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A colleague who changes a role and commits, every ten seconds.
    pub fn open_office(&self) -> Result<Background> {
        let colleague = Self { directory: self.directory.clone(), git: self.git.clone() };
        Background::every(Duration::from_secs(10), "colleague", move |at| {
            let role = ROLES[usize::try_from(at).unwrap_or(0) % ROLES.len()];
            let file = colleague.directory.join("roles").join(role).join("defaults/main.yml");
            fs::write(&file, defaults(role, at + 1)).is_ok() && colleague.commit(&format!("Tune {role}")).is_ok()
        })
    }

    fn fill(&self) -> std::io::Result<()> {
        let write = |path: &str, text: &str| {
            let path = self.directory.join(path);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, text)
        };
        let list = ROLES.map(|role| format!("    - {role}\n")).concat();
        write("site.yml", &format!("---\n- name: All servers\n  hosts: all\n  become: true\n  roles:\n{list}"))?;
        write("ansible.cfg", "[defaults]\ninventory = inventory/production.ini\nroles_path = roles\n")?;
        write("inventory/production.ini", "[web]\nweb[0:4].example.org\n\n[db]\ndb1.example.org\n")?;
        write("group_vars/all.yml", "---\ntimezone: Europe/Berlin\nadmin_mail: root@example.org\n")?;
        write(".gitignore", "*.retry\n")?;
        for role in ROLES {
            let tasks = format!(
                "---\n- name: Install {role}\n  ansible.builtin.apt:\n    name: \"{{{{ {role}_package }}}}\"\n    state: present\n\n\
                 - name: Configure {role}\n  ansible.builtin.template:\n    src: {role}.conf.j2\n    dest: /etc/{role}.conf\n    mode: \"0644\"\n"
            );
            write(&format!("roles/{role}/tasks/main.yml"), &tasks)?;
            write(&format!("roles/{role}/defaults/main.yml"), &defaults(role, 0))?;
            let template = format!("# {{{{ ansible_managed }}}}\nworkers = {{{{ {role}_workers }}}}\n");
            write(&format!("roles/{role}/templates/{role}.conf.j2"), &template)?;
        }
        Ok(())
    }

    fn commit(&self, message: &str) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])
    }

    fn git(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.git);
        command.args(["-c", "user.name=Demo", "-c", "user.email=demo@example.org", "-c", "commit.gpgsign=false"]);
        command.args(["-c", "safe.directory=*", "-c", "gc.auto=0"]).args(arguments).current_dir(&self.directory);
        // Whoever runs this may be in the middle of something in a repository of their own.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            command.env_remove(name);
        }
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        OwnedChild::spawn(command, "git")?.wait_success()
    }
}

fn defaults(role: &str, workers: u64) -> String {
    format!("---\n{role}_package: {role}\n{role}_workers: {}\n", workers + 2)
}
