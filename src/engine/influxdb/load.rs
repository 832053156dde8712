//! The real restore: `influxd restore -portable`, fed through named pipes, so that nothing of the data lies about; then
//! what it does not bring: continuous queries, users, grants.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, mknodat, open};
use rustix::io::Errno;

use super::answer::quoted;
use super::archive::{ToolManifest, ToolShard};
use super::backup::{manifest_name, meta_name, shard_name};
use super::client::{Address, Client};
use super::facts::{DatabaseFacts, Facts, Window};
use super::inspect::stored_facts;
use super::peer;
use super::server::random_password;
use super::staging::{Staging, write_private};
use super::survey::{self, creation};
use super::target::Target;
use super::tool;
use super::writers::Writers;
use crate::clock::Clock;
use crate::engine::{LoadOptions, LoadReport, StoredPoint};
use crate::error::{Error, Kind, OrFailed, Result};
use crate::repository::StoredFile;
use crate::run_context::RunContext;
use secrecy::ExposeSecret;

/// How much is read from the repository at a time.
const PIECE: usize = 4 * 1024 * 1024;
const POLL: Duration = Duration::from_millis(5);
const TOOL_FILES: &str = "backup";
/// How messages call the tool.
const NAME: &str = "influxd restore";

/// Where a restore goes and with what.
pub struct Loading<'a> {
    /// `influxd`.
    pub program: PathBuf,
    /// The destination.
    pub to: &'a Target,
    /// The backup.
    pub point: &'a StoredPoint,
    /// How long one question may take.
    pub timeout: Duration,
    /// Where the tool finds its pipes.
    pub staging: Staging,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Progress, and the way to be stopped.
    pub context: &'a RunContext,
}

impl Loading<'_> {
    /// Restore everything.
    pub fn run(&self, options: &LoadOptions) -> Result<LoadReport> {
        self.point.refuse_increments()?;
        let facts = stored_facts(self.point)?;
        let address = Address::of_target(self.to);
        let mut client = Client::open(&address, self.timeout, &self.context.cancel)?;
        if self.to.fresh {
            self.make_account(&mut client)?;
        }
        let present: BTreeSet<String> = survey::names(&client.query("", "SHOW DATABASES")?).into_iter().collect();
        let taken: Vec<&String> = facts.databases.keys().filter(|name| present.contains(*name)).collect();
        if !taken.is_empty() && !options.overwrite {
            let names = taken.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::failed(format!("cannot restore to {}: it has database {names} already", self.to.url))
                .hint("restore to an empty server, or add --overwrite: the backup is restored beside it, compared, and put in its place"));
        }
        peer::transfer_address(&mut client, self.to)?;
        let writers = (!self.to.fresh).then(|| Writers::watch(&mut client, &address));
        self.context.progress.phase("load", Some(self.point.manifest.logical_bytes()));
        let mut report = LoadReport { bytes: self.point.manifest.logical_bytes(), ..LoadReport::default() };
        for (name, database) in &facts.databases {
            if taken.contains(&name) {
                self.swap(&mut client, name, database, (writers.as_ref(), &mut report))?;
            } else {
                self.restore_or_make(&mut client, name, database)?;
            }
            finish(&mut client, name, database)?;
            report.warnings.extend(database.subscriptions.iter().map(|subscription| {
                format!(
                    "subscription {subscription} of {name} was not made: it would send points away; make it by hand"
                )
            }));
        }
        self.context.progress.finish();
        if !self.to.fresh {
            report.warnings.extend(self.expiring(&facts));
        }
        self.users(&mut client, &facts, options, &mut report)?;
        report.warnings.extend(writers.and_then(|writers| writers.seen(&mut client)));
        Ok(report)
    }

    /// The first account of a fresh server: it asks for one from then on.
    fn make_account(&self, client: &mut Client) -> Result<()> {
        let password = self.to.password.as_ref().map_or("", |password| password.expose_secret());
        let user = survey::User { name: self.to.user.clone(), admin: true, grants: std::collections::BTreeMap::new() };
        for statement in creation(&user, password) {
            client
                .query("", &statement)
                .map_err(|_| Error::inconclusive("cannot make the drill's account in the sandbox"))?;
        }
        Ok(())
    }

    /// Policies that will drop what was just restored.
    fn expiring(&self, facts: &Facts) -> Vec<String> {
        let now = self.clock.wall().timestamp_nanos_opt().unwrap_or(i64::MAX);
        let mut warnings = Vec::new();
        for (name, database) in &facts.databases {
            for (policy, wanted) in &database.policies {
                let Some(keeps) = wanted.kept_nanoseconds() else { continue };
                let old = |window: &&Window| window.policy == *policy && window.end.saturating_add(keeps) < now;
                let old = database.windows.iter().filter(old).count();
                if old > 0 {
                    warnings.push(format!(
                        "{old} restored shards of {name} are older than retention policy {policy} keeps ({}): the server drops \
                         them at its next check; to keep them: ALTER RETENTION POLICY {} ON {} DURATION INF",
                        wanted.keeps,
                        quoted(policy),
                        quoted(name)
                    ));
                }
            }
        }
        warnings
    }

    /// The tool refuses a database without shards: it is made by statements.
    pub(super) fn restore_or_make(&self, client: &mut Client, name: &str, facts: &DatabaseFacts) -> Result<()> {
        if self.has_shards(name)? {
            return self.restore(name, name);
        }
        client.query("", &format!("CREATE DATABASE {}", quoted(name)))?;
        let made = survey::policies(client, name)?;
        for (policy, wanted) in &facts.policies {
            client.query("", &wanted.statement(made.contains_key(policy), name, policy))?;
        }
        for policy in made.keys().filter(|policy| !facts.policies.contains_key(*policy)) {
            client.query("", &format!("DROP RETENTION POLICY {} ON {}", quoted(policy), quoted(name)))?;
        }
        Ok(())
    }

    pub(super) fn has_shards(&self, name: &str) -> Result<bool> {
        Ok(self.tool_manifest(name)?.files.is_some_and(|files| !files.is_empty()))
    }

    fn tool_manifest(&self, name: &str) -> Result<ToolManifest> {
        serde_json::from_slice(&self.whole(&manifest_name(name))?).or_failed("cannot read the tool's manifest")
    }

    fn whole(&self, path: &str) -> Result<Vec<u8>> {
        let file = (self.point.open)(path)?;
        let length = usize::try_from(file.len()).or_failed(format!("cannot read {path}"))?;
        Ok(file.read_at(0, length)?.to_vec())
    }

    fn users(&self, client: &mut Client, facts: &Facts, options: &LoadOptions, report: &mut LoadReport) -> Result<()> {
        if facts.users.is_empty() {
            return Ok(());
        }
        let there: BTreeSet<String> = survey::users(client)?.into_iter().map(|user| user.name).collect();
        for user in &facts.users {
            let fresh = !there.contains(&user.name);
            // Whoever is there keeps the password, and gets what the backup grants only where that was asked for.
            if !fresh && !options.accounts {
                continue;
            }
            let statements = creation(user, random_password().expose_secret());
            for statement in statements.iter().skip(usize::from(!fresh)) {
                client.query("", statement)?;
            }
            if fresh && !self.to.fresh {
                report.warnings.push(format!(
                    "user {} was made with a random password, for no server tells the old one: SET PASSWORD FOR {} = '…'",
                    user.name,
                    quoted(&user.name)
                ));
            }
        }
        Ok(())
    }

    /// Restore database `name` of the backup as `target`, which must not exist.
    pub(super) fn restore(&self, name: &str, target: &str) -> Result<()> {
        let what = || format!("cannot restore database {name}");
        let directory = self.staging.make().map_err(|error| error.with_kind(Kind::Inconclusive))?;
        let shards = self.prepare(name, directory.path()).map_err(|error| error.context(what()))?;
        let mut words = vec![self.program.clone().into_os_string()];
        // [`peer`] has refused a destination without one.
        let address = self.to.transfer_address.as_deref().unwrap_or_default();
        words.extend(["restore", "-portable", "-host", address, "-db", name].map(OsString::from));
        if target != name {
            words.extend(["-newdb", target].map(OsString::from));
        }
        words.push(directory.path().as_os_str().to_owned());
        let mut child = tool::start(NAME, &self.to.enter, &words, &self.context.cancel)?;
        let handed = AtomicU64::new(0);
        let ended = AtomicBool::new(false);
        let killer = child.killer();
        let (fed, restored) = std::thread::scope(|scope| {
            let feeding = scope.spawn(|| {
                let fed = self.feed(name, (&shards, directory.path()), &ended, &handed);
                if fed.is_err() {
                    // It waits for a pipe that nobody will write to.
                    killer.kill();
                }
                fed
            });
            let restored = tool::wait(&mut child, NAME, || handed.load(Ordering::SeqCst), || Ok(()));
            ended.store(true, Ordering::SeqCst);
            let fed = feeding.join().unwrap_or_else(|_| {
                Err(Feeding::Unread(Error::failed(
                    "cannot feed influxd restore: its thread ended without a result (a bug)",
                )))
            });
            (fed, restored)
        });
        if self.context.cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        match (fed, restored) {
            (Ok(()), Ok(())) => Ok(()),
            // Where the repository failed, the tool only knows that its input ended.
            (Err(Feeding::Repository(error)), _) | (Err(Feeding::Unread(error)), Ok(())) => Err(error.context(what())),
            (_, Err(error)) if error.hint_text().is_some() => Err(error.context(what())),
            (_, Err(error)) => Err(error.context(what()).hint(
                "`influxd restore` speaks to the server's backup service (`bind-address` in its configuration, usually port 8088)",
            )),
        }
    }

    /// Write what the tool reads first, and make a pipe for each archive.
    fn prepare(&self, name: &str, directory: &Path) -> Result<Vec<ToolShard>> {
        let mut manifest = self.tool_manifest(name)?;
        manifest.meta.file_name = format!("{TOOL_FILES}.meta");
        write_private(&directory.join(&manifest.meta.file_name), &self.whole(&meta_name(name))?)?;
        let mut shards = manifest.files.take().unwrap_or_default();
        for shard in &mut shards {
            shard.file_name = format!("{TOOL_FILES}.s{}.tar.gz", shard.shard_id);
            let pipe = directory.join(&shard.file_name);
            mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
                .or_inconclusive("cannot make a named pipe")?;
        }
        manifest.files = Some(shards.clone());
        let text = serde_json::to_vec(&manifest).or_failed("cannot write the tool's manifest")?;
        write_private(&directory.join(format!("{TOOL_FILES}.manifest")), &text)?;
        Ok(shards)
    }

    /// Hand over every archive. The tool reads them in an order of its own: whatever it opens gets its bytes.
    fn feed(
        &self,
        name: &str,
        (shards, directory): (&[ToolShard], &Path),
        ended: &AtomicBool,
        handed: &AtomicU64,
    ) -> Result<(), Feeding> {
        let mut waiting: Vec<&ToolShard> = shards.iter().collect();
        while !waiting.is_empty() {
            self.context.cancel.check().map_err(Feeding::Repository)?;
            // Looked at before the tries: what the tool opened in its last moment is no reader any more.
            let over = ended.load(Ordering::SeqCst);
            let mut opened = None;
            for (at, shard) in waiting.iter().enumerate() {
                if let Some(pipe) = open_pipe(&directory.join(&shard.file_name)).map_err(Feeding::Unread)? {
                    opened = Some((at, pipe));
                    break;
                }
            }
            match opened {
                Some((at, pipe)) => self.hand_over(name, waiting.swap_remove(at).shard_id, pipe, handed)?,
                None if over => {
                    let ids = waiting.iter().map(|shard| shard.shard_id.to_string()).collect::<Vec<_>>().join(", ");
                    let what = format!("influxd restore exited with status 0 but never read shard {ids} of {name}");
                    let hint = "this restore is incomplete: see the log of the destination server";
                    return Err(Feeding::Unread(Error::failed(what).hint(hint)));
                }
                None => std::thread::sleep(POLL),
            }
        }
        Ok(())
    }

    fn hand_over(&self, name: &str, shard: u64, pipe: File, handed: &AtomicU64) -> Result<(), Feeding> {
        let file = (self.point.open)(&shard_name(name, shard)).map_err(Feeding::Repository)?;
        let unread = |error: Error| Feeding::Unread(error.context(format!("shard {shard} of {name}")));
        // Uncompressed: the pipe is fast, and the reader insists on the format.
        let mut encoder = GzEncoder::new(BufWriter::with_capacity(1 << 16, pipe), Compression::none());
        self.copy(&*file, &mut encoder, handed, unread)?;
        let flushed = encoder.finish().and_then(|mut pipe| pipe.flush());
        flushed.or_failed("cannot write to influxd restore").map_err(unread)
    }

    fn copy(
        &self,
        file: &dyn StoredFile,
        to: &mut impl Write,
        handed: &AtomicU64,
        unread: impl Fn(Error) -> Feeding,
    ) -> Result<(), Feeding> {
        let mut offset = 0;
        while offset < file.len() {
            self.context.cancel.check().map_err(Feeding::Repository)?;
            let piece = file.read_at(offset, PIECE).map_err(Feeding::Repository)?;
            to.write_all(&piece).or_failed("cannot write to influxd restore").map_err(&unread)?;
            offset += piece.len() as u64;
            handed.fetch_add(piece.len() as u64, Ordering::SeqCst);
            self.context.progress.advance(piece.len() as u64);
        }
        Ok(())
    }
}

/// What the tool does not bring, and a first question to everything.
fn finish(client: &mut Client, name: &str, facts: &DatabaseFacts) -> Result<()> {
    // Shards answer only once they are enabled; this waits for it.
    for policy in facts.policies.keys() {
        client.query(name, &format!("SELECT * FROM {}./.*/ LIMIT 1", quoted(policy)))?;
    }
    for statement in facts.queries.values() {
        client.query(name, statement)?;
    }
    Ok(())
}

/// A pipe opens for writing once somebody reads it.
fn open_pipe(path: &Path) -> Result<Option<File>> {
    let what = || "open the pipe to influxd restore";
    match open(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
        Ok(pipe) => {
            let flags = fcntl_getfl(&pipe).or_failed(what())?;
            fcntl_setfl(&pipe, flags - OFlags::NONBLOCK).or_failed(what())?;
            Ok(Some(File::from(pipe)))
        }
        Err(Errno::NXIO | Errno::INTR) => Ok(None),
        Err(error) => Err(error).or_failed(what()),
    }
}

/// Why an archive was not handed over.
enum Feeding {
    /// It could not be read.
    Repository(Error),
    /// The tool did not take it.
    Unread(Error),
}
