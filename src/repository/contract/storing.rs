//! What every repository that stores keeps to.

use std::io::{self, Cursor, Read};
use std::sync::{Arc, Condvar, Mutex};

use super::fixtures::{Opener, back_up, broken_after, candidate, ids, manifest, moment, noise_bytes};
use crate::domain::manifest::{Manifest, RecoveryPointId};
use crate::error::Error;
use crate::repository::admission::MANIFEST_FILE;
use crate::repository::{CheckDepth, NewCandidate, Published, Storing, Stream, Unsupported, in_order};
use crate::run_context::RunContext;

pub(super) fn run(make: &dyn Fn() -> Opener) {
    for test in [
        nothing_is_listed_before_publish,
        a_failing_reader_stores_nothing_that_can_be_published,
        a_backup_of_nothing_is_refused,
        streams_may_be_made_late_and_wait_for_earlier_ones,
        a_stream_that_cannot_be_made_fails_the_backup,
        another_instance_sees_what_was_published,
        a_published_point_is_never_replaced,
        a_manifest_must_fit_what_was_stored,
        names_that_cannot_be_paths_are_refused,
        what_is_forgotten_is_listed_no_more_or_the_kind_cannot_forget,
        a_check_finds_nothing_wrong_with_what_is_whole_or_the_kind_cannot_check,
    ] {
        test(&make());
    }
}

fn prepared(open: &Opener) -> Box<dyn Storing> {
    let repository = open();
    repository.prepare().unwrap();
    repository.prepare().unwrap();
    repository
}

fn nothing_is_listed_before_publish(open: &Opener) {
    let repository = prepared(open);
    assert_eq!(repository.list(None).unwrap(), []);
    let candidate = repository.store(candidate("shop", "A", moment(0), &[("dump.sql", b"rows")])).unwrap();
    assert_eq!(candidate.files, [("dump.sql".to_owned(), 4)]);
    assert_eq!(repository.list(None).unwrap(), []);
    assert_eq!(open().list(None).unwrap(), []);
    assert!(repository.open("shop", &candidate.id, "dump.sql").is_err(), "a candidate must not open");
    let manifest = manifest(&candidate);
    let stored = candidate.added_bytes;
    let added = repository.publish(candidate, &manifest).unwrap();
    assert!(added >= stored);
    assert_eq!(repository.list(None).unwrap(), [Published { manifest, stored_bytes: added }]);
}

fn a_failing_reader_stores_nothing_that_can_be_published(open: &Opener) {
    let repository = prepared(open);
    for good in [0, 10, 3_000_000] {
        let mut new = candidate("shop", "A", moment(0), &[]);
        let stream = |path: &str, reader| Stream { path: path.to_owned(), reader };
        new.streams = in_order(vec![
            stream("accounts.sql", Box::new(Cursor::new(b"users"))),
            stream("zz.sql", Box::new(Cursor::new(b"more"))),
            stream("dump.sql", Box::new(broken_after(good))),
        ]);
        let error = repository.store(new).err().expect("a failed stream must fail the backup").to_string();
        assert!(error.contains("dump.sql") && error.contains("the dump tool exited with status 2"), "{error}");
        assert_eq!(repository.list(None).unwrap(), []);
    }
    let published = back_up(&*repository, candidate("shop", "A", moment(0), &[("dump.sql", b"rows")]));
    assert_eq!(repository.list(None).unwrap(), [published]);
}

fn a_backup_of_nothing_is_refused(open: &Opener) {
    let repository = prepared(open);
    assert!(repository.store(candidate("shop", "B", moment(1), &[])).is_err(), "a backup of nothing");
    assert_eq!(repository.list(None).unwrap(), []);
}

/// Every stream waits, when it is read, until all before it were read; the iterator waits for all but the last one given.
fn streams_may_be_made_late_and_wait_for_earlier_ones(open: &Opener) {
    struct Late {
        turn: usize,
        read: Arc<(Mutex<usize>, Condvar)>,
        bytes: Cursor<Vec<u8>>,
    }
    fn wait_for(read: &(Mutex<usize>, Condvar), turn: usize) {
        let (count, changed) = read;
        let guard = count.lock().unwrap();
        let patience = std::time::Duration::from_mins(3);
        let (_guard, waited) = changed.wait_timeout_while(guard, patience, |count| *count < turn).unwrap();
        assert!(!waited.timed_out(), "waited in vain for {turn} streams to be read");
    }
    impl Read for Late {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            wait_for(&self.read, self.turn);
            let read = self.bytes.read(buffer)?;
            if read == 0 {
                // The end of a stream may be read again, after the next stream was read.
                let mut count = self.read.0.lock().unwrap();
                *count = (*count).max(self.turn + 1);
                self.read.1.notify_all();
            }
            Ok(read)
        }
    }
    let repository = prepared(open);
    let read = Arc::new((Mutex::new(0), Condvar::new()));
    let streams = (0..9_usize).map(move |turn| {
        wait_for(&read, turn.saturating_sub(1));
        let late = Late { turn, read: read.clone(), bytes: Cursor::new(noise_bytes(turn as u64, 100_000)) };
        Ok(Stream { path: format!("part {turn}"), reader: Box::new(late) })
    });
    let new = NewCandidate { streams: Box::new(streams), ..candidate("shop", "A", moment(0), &[]) };
    assert_eq!(repository.store(new).unwrap().files.len(), 9);
}

fn a_stream_that_cannot_be_made_fails_the_backup(open: &Opener) {
    let repository = prepared(open);
    let good = |path: &str| Ok(Stream { path: path.to_owned(), reader: Box::new(Cursor::new(b"x")) });
    let bad = Err(Error::failed("the tool ended with status 1"));
    for (streams, reason) in [
        (vec![good("a"), bad, good("b")], "the tool ended with status 1"),
        (vec![good("b"), good("a")], "must be in order"),
        (vec![good("a"), good("a")], "two streams"),
        (vec![], "no streams"),
    ] {
        let streams = Box::new(streams.into_iter());
        let error = repository.store(NewCandidate { streams, ..candidate("shop", "A", moment(0), &[]) }).err().unwrap();
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(repository.list(None).unwrap(), []);
    }
}

fn another_instance_sees_what_was_published(open: &Opener) {
    let (one, two) = (prepared(open), prepared(open));
    let first = back_up(&*one, candidate("shop", "A", moment(0), &[("dump.sql", b"first")]));
    assert_eq!(two.list(None).unwrap(), [first.clone()]);
    let second = back_up(&*two, candidate("shop", "B", moment(1), &[("dump.sql", b"second")]));
    assert_eq!(one.list(None).unwrap(), [first, second]);
    for repository in [&one, &two, &open()] {
        for (id, content) in [("A", "first"), ("B", "second")] {
            let file = repository.open("shop", &RecoveryPointId(id.to_owned()), "dump.sql").unwrap();
            assert_eq!(file.read_at(0, 100).unwrap(), content);
        }
    }
}

fn a_published_point_is_never_replaced(open: &Opener) {
    let repository = prepared(open);
    let rival = repository.store(candidate("shop", "A", moment(0), &[("dump.sql", b"rival")])).unwrap();
    let published = back_up(&*repository, candidate("shop", "A", moment(0), &[("dump.sql", b"first")]));
    let error = repository.store(candidate("shop", "A", moment(5), &[("dump.sql", b"again")])).err().unwrap();
    assert!(error.to_string().contains("published already"), "{error}");
    let promise = manifest(&rival);
    assert!(repository.publish(rival, &promise).is_err());
    assert_eq!(repository.list(None).unwrap(), [published.clone()]);
    // The same name under another source is another point.
    back_up(&*repository, candidate("wiki", "A", moment(0), &[("dump.sql", b"other")]));
    assert_eq!(repository.list(Some("shop")).unwrap(), [published]);
}

fn a_manifest_must_fit_what_was_stored(open: &Opener) {
    let repository = prepared(open);
    let wrong: [fn(&mut Manifest); 6] = [
        |manifest| manifest.source = "wiki".to_owned(),
        |manifest| manifest.id = RecoveryPointId("B".to_owned()),
        |manifest| manifest.as_of = moment(9),
        |manifest| manifest.files[0].bytes += 1,
        |manifest| manifest.files[0].path = "other.sql".to_owned(),
        |manifest| manifest.files.clear(),
    ];
    for spoil in wrong {
        let candidate = repository.store(candidate("shop", "A", moment(0), &[("dump.sql", b"rows")])).unwrap();
        let mut promise = manifest(&candidate);
        spoil(&mut promise);
        assert!(repository.publish(candidate, &promise).is_err());
        assert_eq!(repository.list(None).unwrap(), []);
    }
}

fn names_that_cannot_be_paths_are_refused(open: &Opener) {
    let repository = prepared(open);
    for path in ["", ".", "..", "a/b", "/etc/passwd", "a\0b", MANIFEST_FILE] {
        assert!(repository.store(candidate("shop", "A", moment(0), &[(path, b"x")])).is_err(), "{path:?}");
    }
    assert!(repository.store(candidate("sh/op", "A", moment(0), &[("dump.sql", b"x")])).is_err());
    assert!(repository.store(candidate("shop", "A,B", moment(0), &[("dump.sql", b"x")])).is_err());
    assert!(repository.store(candidate("shop", "A", moment(0), &[("d", b"x"), ("d", b"y")])).is_err());
    let odd = "größe \"dump\" 'x' `y` $z;\u{1F600}.sql";
    let point = back_up(&*repository, candidate("a=b ü", "x=1", moment(0), &[(odd, b"x")])).manifest.id;
    assert_eq!(repository.open("a=b ü", &point, odd).unwrap().read_at(0, 9).unwrap(), "x");
    assert_eq!(ids(&*repository, Some("a=b ü")), ["x=1"]);
}

fn what_is_forgotten_is_listed_no_more_or_the_kind_cannot_forget(open: &Opener) {
    let repository = prepared(open);
    for (id, hours) in [("A", 0), ("B", 1), ("C", 2)] {
        back_up(&*repository, candidate("shop", id, moment(hours), &[("dump.sql", id.as_bytes())]));
    }
    let names = |ids: &[&str]| ids.iter().map(|id| RecoveryPointId((*id).to_owned())).collect::<Vec<_>>();
    match repository.forget("shop", &names(&["A", "C"])) {
        Ok(()) => {
            assert_eq!((ids(&*repository, None), ids(&*open(), None)), (vec!["B".to_owned()], vec!["B".to_owned()]));
            assert!(repository.open("shop", &names(&["A"])[0], "dump.sql").is_err());
            repository.forget("shop", &names(&["B", "gone"])).unwrap_err();
            repository.forget("wiki", &names(&["B"])).unwrap_err();
            assert_eq!(ids(&*repository, None), ["B"], "all or none");
            assert_eq!(repository.open("shop", &names(&["B"])[0], "dump.sql").unwrap().read_at(0, 9).unwrap(), "B");
        }
        Err(error) => {
            assert_eq!(Unsupported::why(&error), Some(Unsupported::Forgetting), "{error}");
            assert_eq!(ids(&*repository, None), ["A", "B", "C"]);
        }
    }
}

fn a_check_finds_nothing_wrong_with_what_is_whole_or_the_kind_cannot_check(open: &Opener) {
    let repository = prepared(open);
    back_up(&*repository, candidate("shop", "A", moment(0), &[("dump.sql", b"rows")]));
    for depth in [CheckDepth::Structure, CheckDepth::Content] {
        match repository.check(depth, &RunContext::silent()) {
            Ok(found) => {
                assert!(found.wrong.is_empty() && found.damaged_points.is_empty(), "{found:?}");
                let read = if depth == CheckDepth::Content { found.stored_bytes } else { 0 };
                assert!(found.stored_bytes > 0 && found.read_bytes == read, "{found:?}");
            }
            Err(error) => assert_eq!(Unsupported::why(&error), Some(Unsupported::Checking), "{error}"),
        }
    }
}
