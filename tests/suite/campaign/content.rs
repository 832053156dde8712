//! What is in the sources, as the campaign wrote it, and what is in a place that was restored. Nothing of this is asked of
//! the program under test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::chance::Chance;
use super::plan::Source;
use crate::influx_support::{Influx, now};
use crate::support::{Product, Server, entries};

/// Real servers: the sources, and fresh places to restore to.
pub struct Servers {
    pub shop: Server,
    pub shop_target: Server,
    pub telegraf: Influx,
    pub telegraf_target: Influx,
}

impl Servers {
    pub fn start(product: Product) -> Self {
        // What was committed is there after a kill: the model relies on it.
        let durable: &[&str] = &["--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1"];
        Self {
            shop: Server::start_with(product, durable),
            shop_target: Server::start(product),
            telegraf: Influx::start(),
            telegraf_target: Influx::start(),
        }
    }
}

/// What the campaign wrote.
pub struct Content {
    rows: BTreeMap<u64, String>,
    points: BTreeMap<i64, i64>,
    pub tree: PathBuf,
}

impl Content {
    /// New sources, whatever was in them.
    pub fn fill(servers: &Servers, tree: PathBuf, chance: &mut Chance) -> Self {
        servers.shop.sql(
            "DROP DATABASE IF EXISTS shop; CREATE DATABASE shop; USE shop; \
             CREATE TABLE t (id INT PRIMARY KEY, text VARCHAR(200), KEY (text)); CREATE TABLE plain (a INT, b VARCHAR(20)); \
             INSERT INTO plain VALUES (1, 'one'), (1, 'one'), (2, NULL); CREATE VIEW v AS SELECT id FROM t; \
             CREATE PROCEDURE p() SELECT 1",
        );
        servers.telegraf.query("", "DROP DATABASE telegraf");
        servers.telegraf.query("", "CREATE DATABASE telegraf");
        fs::create_dir_all(tree.join("roles")).unwrap();
        let mut content = Self { rows: BTreeMap::new(), points: BTreeMap::new(), tree };
        git(&content.tree, &["init", "--quiet", "--initial-branch=main"]);
        content.add_rows(servers, chance, 3_000);
        content.add_points(servers, chance, 2_000);
        for at in 0..60 {
            let noise: Vec<u8> = (0..20_000).map(|_| u8::try_from(chance.below(256)).unwrap()).collect();
            fs::write(content.tree.join(format!("roles/{at}")), noise).unwrap();
        }
        content.commit();
        content
    }

    fn add_rows(&mut self, servers: &Servers, chance: &mut Chance, rows: u64) {
        let mut values = Vec::new();
        for _ in 0..rows {
            let id = self.rows.last_key_value().map_or(1, |(id, _)| id + 1);
            let text = format!("ä{:016x}{:016x}{:016x}", chance.next(), chance.next(), chance.next());
            values.push(format!("({id},'{text}')"));
            self.rows.insert(id, text);
        }
        servers.shop.sql(&format!("INSERT INTO shop.t VALUES {}", values.join(",")));
    }

    fn add_points(&mut self, servers: &Servers, chance: &mut Chance, points: u64) {
        let start = now() - 3_600_000_000_000;
        let mut lines = String::new();
        for at in 0..points {
            let time = start + i64::try_from(at).unwrap() * 1_000_000;
            let value = i64::try_from(chance.below(1 << 40)).unwrap();
            writeln!(lines, "m,host=h v={value}i {time}").unwrap();
            self.points.insert(time, value);
        }
        servers.telegraf.write("telegraf", &lines);
    }

    fn commit(&self) {
        git(&self.tree, &["add", "--all"]);
        git(&self.tree, &["commit", "--quiet", "--allow-empty", "-m", "some"]);
    }

    /// Write something new, change and remove something old.
    pub fn change(&mut self, servers: &Servers, source: Source, chance: &mut Chance) {
        match source {
            Source::Shop => {
                let more = 1 + chance.below(200);
                self.add_rows(servers, chance, more);
                let ids: Vec<u64> = self.rows.keys().copied().collect();
                let (changed, removed) = (chance.one_of(&ids), chance.one_of(&ids));
                servers.shop.sql(&format!(
                    "UPDATE shop.t SET text = 'changed {more}' WHERE id = {changed}; DELETE FROM shop.t WHERE id = {removed}"
                ));
                self.rows.insert(changed, format!("changed {more}"));
                self.rows.remove(&removed);
            }
            Source::Telegraf => {
                let more = 1 + chance.below(200);
                self.add_points(servers, chance, more);
            }
            Source::Tree => {
                for _ in 0..=chance.below(5) {
                    let file = self.tree.join(format!("roles/{}", chance.below(80)));
                    if chance.percent(20) {
                        let _ = fs::remove_file(file);
                    } else {
                        fs::write(file, chance.next().to_string().repeat(100)).unwrap();
                    }
                }
                if chance.percent(50) {
                    self.commit();
                }
            }
        }
    }

    /// What a backup of the source has to bring back now.
    pub fn of(&self, source: Source) -> String {
        let mut text = String::new();
        match source {
            Source::Shop => self.rows.iter().for_each(|(id, row)| writeln!(text, "{id}\t{row}").unwrap()),
            Source::Telegraf => self.points.iter().for_each(|(time, value)| writeln!(text, "{time} {value}").unwrap()),
            Source::Tree => return tree(&self.tree),
        }
        text
    }
}

fn git(tree: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.args(["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "gc.auto=0", "-c", "safe.directory=*"]);
    let output = command.args(arguments).current_dir(tree).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What was restored into the fresh places.
pub fn restored(servers: &Servers, source: Source, tree_at: &Path) -> String {
    match source {
        Source::Shop => {
            let rows = servers.shop_target.try_sql("SELECT id, text FROM shop.t ORDER BY id");
            let others =
                servers.shop_target.try_sql("SELECT COUNT(*) FROM shop.plain; SELECT COUNT(*) > 0 FROM shop.v");
            let others = String::from_utf8_lossy(&others.stdout).replace('\n', " ");
            if others.trim() != "3 1" {
                return format!("the other tables say {others:?}");
            }
            String::from_utf8_lossy(&rows.stdout).into_owned()
        }
        Source::Telegraf => points(&servers.telegraf_target),
        Source::Tree => tree(tree_at),
    }
}

/// Make the places to restore to empty again.
pub fn clear_targets(servers: &Servers) {
    servers.shop_target.sql("DROP DATABASE IF EXISTS shop");
    servers.telegraf_target.query("", "DROP DATABASE telegraf");
}

/// Every point, by the server's own answer.
fn points(server: &Influx) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "30", "--get", &format!("{}/query", server.url())]);
    command.args(["--data-urlencode", "db=telegraf", "--data-urlencode", "epoch=ns"]);
    let output = command.args(["--data-urlencode", "q=SELECT v FROM m"]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let Some(values) = answer["results"][0]["series"][0]["values"].as_array() else { return answer.to_string() };
    let mut text = String::new();
    for pair in values {
        writeln!(text, "{} {}", pair[0], pair[1]).unwrap();
    }
    text
}

/// Names, modes and content below a directory.
fn tree(root: &Path) -> String {
    let (mut text, mut left) = (String::new(), vec![root.to_owned()]);
    while let Some(path) = left.pop() {
        let Ok(facts) = fs::symlink_metadata(&path) else { return format!("there is no {}", path.display()) };
        let name = path.strip_prefix(root).unwrap().display();
        let mode = facts.permissions().mode();
        if facts.is_dir() {
            writeln!(text, "{name} {mode:o}").unwrap();
            let mut inner = entries(&path);
            inner.sort();
            left.extend(inner);
        } else {
            let digest = blake3::hash(&fs::read(&path).unwrap_or_default());
            writeln!(text, "{name} {mode:o} {digest}").unwrap();
        }
    }
    text
}

/// The first line in which two contents differ.
pub fn difference(expected: &str, found: &str) -> Option<String> {
    if expected == found {
        return None;
    }
    let (mut left, mut right) = (expected.lines(), found.lines());
    loop {
        let pair = (left.next(), right.next());
        if pair.0 != pair.1 {
            let lines = (expected.lines().count(), found.lines().count());
            return Some(format!("lines {lines:?}; expected {:.200?}, found {:.200?}", pair.0, pair.1));
        }
        if pair == (None, None) {
            return Some("line ends differ".to_owned());
        }
    }
}
