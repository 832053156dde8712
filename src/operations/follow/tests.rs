use std::fs;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::app::tests::followed_toy_app;
use crate::app::{BACKUP, INCREMENT};
use crate::exporter::tests::SetClock;
use crate::operations::backup::backup;
use crate::operations::breaks::Unreachable;
use crate::operations::increment::{Advanced, increment, increment_beside};

/// A source that is followed.
struct Shopping {
    app: App,
    source: Source,
    clock: Arc<SetClock>,
    follower: Follower,
    dir: TempDir,
    _runtime: Runtime,
}

impl Shopping {
    /// With a full backup.
    fn new(on_break: &str) -> Self {
        let (dir, runtime, clock) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap(), SetClock::new());
        let app = followed_toy_app(dir.path(), &runtime, clock.clone(), on_break);
        let source = app.source("shopping").unwrap();
        let it = Self { app, source, clock, follower: Follower::default(), dir, _runtime: runtime };
        it.back_up();
        it
    }

    fn back_up(&self) {
        self.clock.advance(1);
        backup(&self.app, &self.source, &RunContext::silent()).unwrap();
    }

    fn note(&self, text: &str) {
        fs::write(self.dir.path().join("note.txt"), text).unwrap();
    }

    fn advance(&mut self) -> Result<Advance> {
        self.clock.advance(1);
        self.follower.advance(&self.app, &self.source, &RunContext::silent())
    }

    fn asks_again_after(&mut self, seconds: i64) -> bool {
        self.clock.advance(seconds);
        self.follower.asks_again(&self.app)
    }

    fn breaks(&self) -> usize {
        self.app.block_on(self.app.ledger.breaks("shopping")).unwrap().len()
    }
}

#[test]
fn a_full_backup_that_nobody_heard_of_is_asked_for_again_until_it_is_there() {
    let mut shop = Shopping::new("full");
    assert!(matches!(shop.advance(), Ok(Advance::Published(_))));
    assert!(!shop.asks_again_after(3600), "nothing is in its way");
    shop.note("eggs\nbread\nmilk\n");
    assert!(matches!(shop.advance(), Ok(Advance::FullIsDue(_))));
    assert!(!shop.asks_again_after(58));
    assert_eq!(shop.advance().unwrap(), Advance::AwaitsFull);
    assert!(shop.asks_again_after(1) && !shop.asks_again_after(59) && shop.asks_again_after(1));
    assert_eq!(shop.breaks(), 1);
    shop.back_up();
    assert!(matches!(shop.advance(), Ok(Advance::Published(_))));
    assert!(!shop.asks_again_after(3600));
}

#[test]
fn one_that_is_due_for_a_chain_that_nothing_can_replay_is_asked_for_until_it_is_there() {
    let mut shop = Shopping::new("full");
    shop.follower.look(&shop.app, &shop.source).unwrap();
    shop.follower.known.as_mut().unwrap().newest.unrestorable =
        Some(Unreachable { why: "LOAD DATA".to_owned(), gone: None });
    // As if it had been looked at under the lock.
    let lock = shop.app.lock("shopping", INCREMENT).unwrap();
    lock.mark().clone_into(&mut shop.follower.known.as_mut().unwrap().mark);
    drop(lock);
    assert_eq!(shop.advance().unwrap(), Advance::FullIsDue("LOAD DATA".to_owned()));
    assert!(matches!(shop.advance(), Ok(Advance::Published(_))), "increments go on");
    assert!(matches!(shop.advance(), Ok(Advance::Published(_))));
    assert!(shop.asks_again_after(60));
    shop.back_up();
    assert!(matches!(shop.advance(), Ok(Advance::Published(_))));
    assert!(!shop.asks_again_after(3600));
}

#[test]
fn where_a_break_is_waited_on_each_attempt_fails_until_its_cause_is_mended_and_nobody_is_asked_for_a_full_backup() {
    let mut shop = Shopping::new("wait");
    assert!(matches!(shop.advance(), Ok(Advance::Published(_))));
    shop.note("eggs\nbread\nmilk\n");
    for _ in 0..3 {
        let error = shop.advance().unwrap_err();
        assert!(
            error.to_string().starts_with("cannot follow shopping: the chain is broken (other_history)"),
            "{error}"
        );
        assert!(error.hint_text().unwrap().contains("backup-sla backup shopping --full"));
        assert!(!shop.asks_again_after(3600));
    }
    assert_eq!(shop.breaks(), 1, "it is one break");
    shop.note("bread\nmilk\nhoney\n");
    assert!(matches!(shop.advance(), Ok(Advance::Published(_))));
}

#[test]
fn of_many_increments_the_ledger_remembers_some_and_those_that_were_drilled_and_misses_none() {
    let mut shop = Shopping::new("full");
    let many = |shop: &mut Shopping| {
        for _ in 0..20 {
            assert!(matches!(shop.advance(), Ok(Advance::Published(_))));
        }
        shop.follower.tell(&shop.app, &shop.source, true).unwrap();
    };
    many(&mut shop);
    let stored = shop.source.repository.list(Some("shopping")).unwrap();
    let drilled = stored.into_iter().map(|it| it.manifest).max_by_key(|it| it.as_of).unwrap();
    let run = Recorded::begin(&shop.app, &shop.source, Operation::Drill, None).unwrap();
    let mut passed = RunResult::new(Outcome::Passed, 1.0);
    (passed.recovery_point, passed.recovery_point_time) = (Some(drilled.id.clone()), Some(drilled.as_of));
    run.finish(&passed).unwrap();
    many(&mut shop);
    many(&mut shop);
    let stored = shop.source.repository.list(Some("shopping")).unwrap();
    assert_eq!(stored.len(), 61);
    let ledger = &shop.app.ledger;
    let known: Vec<_> = shop.app.block_on(ledger.points("shopping")).unwrap().into_iter().map(|it| it.id).collect();
    // The full, the one that was drilled, the newest, and one more where a stretch of time ends between them.
    assert!((3..=4).contains(&known.len()), "{known:?}");
    let newest = &stored.iter().max_by_key(|it| it.manifest.as_of).unwrap().manifest;
    assert!(known.contains(&newest.id) && known.contains(&drilled.id));
    let figures = &shop.app.block_on(ledger.snapshot()).unwrap().sources["shopping"];
    assert_eq!((figures.points.newest, &figures.points.vanished[..]), (Some(newest.as_of), &[][..]));
    assert_eq!(figures.points.newest_verified, Some(drilled.as_of));
}

#[test]
fn while_a_full_backup_is_taken_increments_go_on_and_a_break_is_told_once_and_asks_for_no_other() {
    let mut shop = Shopping::new("full");
    let (context, taken) =
        (RunContext::silent(), |shop: &Shopping| shop.app.block_on(shop.app.ledger.points("shopping")));
    let full = shop.app.lock("shopping", BACKUP).unwrap();
    assert!(matches!(shop.advance(), Ok(Advance::Published(_))));
    shop.clock.advance(1);
    assert_eq!(increment(&shop.app, &shop.source, &context).unwrap().kind, BackupKind::Incremental);
    assert!(matches!(increment_beside(&shop.app, &shop.source, &context), Ok(Advanced::Taken(_))));
    shop.note("eggs\nbread\nmilk\n");
    let before = taken(&shop).unwrap().len();
    for _ in 0..2 {
        let error = increment(&shop.app, &shop.source, &context).unwrap_err();
        assert!(error.kind() == Kind::Busy && error.to_string().contains("(other_history)"), "{error}");
        assert!(error.hint_text().unwrap().contains("a full backup of it is running"), "{error:?}");
        assert!(matches!(increment_beside(&shop.app, &shop.source, &context), Ok(Advanced::AwaitsFull(_))));
    }
    assert!(matches!(shop.advance(), Ok(Advance::FullIsDue(_))));
    assert_eq!((taken(&shop).unwrap().len(), shop.breaks()), (before, 1));
    drop(full);
    shop.back_up();
    assert!(matches!(shop.advance(), Ok(Advance::Published(_))));
    assert_eq!(shop.breaks(), 1);
}

#[test]
fn where_a_full_backup_is_due_a_command_takes_it_and_the_service_goes_on_until_it_is_there() {
    let mut shop = Shopping::new("full");
    shop.source.objectives.max_chain_length = 0;
    let context = RunContext::silent();
    shop.clock.advance(1);
    let beside = increment_beside(&shop.app, &shop.source, &context);
    assert!(matches!(beside, Ok(Advanced::AndFullIsDue(report, _)) if report.kind == BackupKind::Incremental));
    let full = shop.app.lock("shopping", BACKUP).unwrap();
    shop.clock.advance(1);
    assert_eq!(increment(&shop.app, &shop.source, &context).unwrap().kind, BackupKind::Incremental, "it is on its way");
    drop(full);
    shop.clock.advance(1);
    assert_eq!(increment(&shop.app, &shop.source, &context).unwrap().kind, BackupKind::Full);
}
