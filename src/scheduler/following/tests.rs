use std::fs;
use std::sync::mpsc::channel;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::super::Message;
use super::*;
use crate::app::tests::followed_toy_app;
use crate::exporter::tests::SetClock;
use crate::operations::backup::backup;
use crate::state::State;

/// A source that is followed, and whoever hears that a full backup is due.
struct Shopping {
    app: Arc<App>,
    source: Source,
    clock: Arc<SetClock>,
    one: One,
    heard: std::sync::mpsc::Receiver<Message>,
    dir: TempDir,
    _runtime: Runtime,
}

impl Shopping {
    /// With a full backup.
    fn new(on_break: &str) -> Self {
        let (dir, runtime, clock) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap(), SetClock::new());
        let app = Arc::new(followed_toy_app(dir.path(), &runtime, clock.clone(), on_break));
        let source = app.source("shopping").unwrap();
        let state = State::new(Arc::new(app.config.clone()), app.clock.clone());
        let (sender, heard) = channel();
        let work = Arc::new(AppWork::new(app.clone(), state));
        let one = One { small: 0, ..One::new("shopping".to_owned(), work, Bell(sender), Arc::default()) };
        let it = Self { app, source, clock, one, heard, dir, _runtime: runtime };
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

    /// Let time pass, and look.
    fn attempt_after(&mut self, seconds: i64) {
        self.clock.advance(seconds);
        self.one.attempt(&self.app, &self.source, &Continuous::default());
    }

    /// How often somebody heard that a full backup is due.
    fn rung(&self) -> usize {
        self.heard.try_iter().filter(|message| matches!(message, Message::FullIsDue(_))).count()
    }

    fn failures(&self) -> u64 {
        let runs = self.app.block_on(self.app.ledger.last_runs_by_work()).unwrap();
        let runs = runs.get(&("shopping".to_owned(), Work::IncrementalBackup));
        runs.map_or(0, |runs| runs.failures_in_a_row)
    }

    fn newest(&self) -> DateTime<Utc> {
        let points = self.app.block_on(self.app.ledger.points("shopping")).unwrap();
        points.iter().map(|point| point.as_of).max().unwrap()
    }

    fn points(&self) -> usize {
        self.app.block_on(self.app.ledger.points("shopping")).unwrap().len()
    }
}

#[test]
fn a_server_that_answers_is_followed_again_once_its_increments_are_and_the_full_backup_is_asked_for_until_then() {
    let mut shop = Shopping::new("full");
    shop.attempt_after(3600);
    fs::remove_file(shop.dir.path().join("note.txt")).unwrap();
    shop.attempt_after(10);
    assert!(shop.one.trouble.is_some());
    shop.note("eggs\nbread\nmilk\n");
    for rung in [1, 0, 1, 1] {
        shop.attempt_after(if rung == 0 { 30 } else { 60 });
        assert!(shop.one.trouble.is_some(), "its newest backup cannot be continued");
        assert_eq!(shop.rung(), rung);
    }
    shop.back_up();
    shop.attempt_after(60);
    assert!(shop.one.trouble.is_none());
    assert_eq!(shop.rung(), 0);
}

#[test]
fn a_break_that_is_waited_on_is_recorded_as_a_run_that_failed() {
    let mut shop = Shopping::new("wait");
    shop.attempt_after(3600);
    assert!(shop.one.trouble.is_none());
    shop.note("eggs\nbread\nmilk\n");
    for _ in 0..25 {
        shop.attempt_after(30);
        assert!(shop.one.trouble.is_some());
    }
    assert_eq!((shop.failures(), shop.rung()), (1, 0));
    shop.note("bread\nmilk\nhoney\n");
    shop.attempt_after(30);
    assert!(shop.one.trouble.is_none());
}

#[test]
fn what_was_published_is_told_while_a_compaction_or_a_break_is_in_the_way_of_more() {
    let mut shop = Shopping::new("wait");
    let (end, wait) = channel::<()>();
    shop.one.compaction = Some(std::thread::spawn(move || while wait.recv().is_ok() {}));
    shop.attempt_after(3600);
    assert_eq!(shop.points(), 2, "the increment is known while the compaction goes on");
    let first = shop.newest();
    shop.note("bread\nmilk\nhoney\n");
    // Published, and too soon to be told.
    shop.attempt_after(20);
    assert_eq!(shop.newest(), first);
    shop.note("eggs\n");
    shop.attempt_after(3600);
    assert!(shop.one.trouble.is_some());
    assert!(shop.newest() > first);
    drop(end);
}
