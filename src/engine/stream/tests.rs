use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

fn make<T: Send + 'static>(work: impl FnOnce(&mut Sink) -> Result<T> + Send + 'static) -> (Readers, Outcome<T>) {
    run("test", &RunContext::silent(), work).unwrap()
}

fn all(mut reader: Box<dyn Read + Send>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map(|_| bytes)
}

/// Fills a stream for ever.
fn endless(sink: &mut Sink) -> Result<()> {
    loop {
        sink.write(&[0; 4096])?;
    }
}

#[test]
fn streams_come_in_order_whole_and_with_their_digests() {
    let (mut readers, outcome) = make(|sink| {
        sink.write(&vec![7; 3_000_000])?;
        assert_eq!(sink.written(), 3_000_000);
        let first = sink.end()?;
        let empty = sink.end()?;
        sink.write(b"i")?;
        sink.pass(b"nd".to_vec())?;
        sink.copy(&b"ex"[..], "a text")?;
        Ok([first, empty, sink.end()?])
    });
    // Whoever waits for a later one may have asked for it first.
    let (first, empty) = (readers.reader(), readers.reader());
    let last = std::thread::spawn(move || all(readers.last()).unwrap());
    let streams = [all(first).unwrap(), all(empty).unwrap(), last.join().unwrap()];
    assert_eq!(streams[0], vec![7; 3_000_000]);
    assert_eq!((streams[1].as_slice(), streams[2].as_slice()), (&b""[..], &b"index"[..]));
    let parts = outcome.take().unwrap();
    assert_eq!(parts, streams.map(|bytes| Part { bytes: bytes.len() as u64, digest: Digest::of(&bytes) }));
}

#[test]
fn the_last_stream_ends_only_after_success_and_the_result_is_there_by_then() {
    let (may_end, wait) = mpsc::channel::<()>();
    let (readers, outcome) = make(move |sink| {
        sink.write(b"all of it")?;
        sink.end()?;
        wait.recv().map_err(|_| Error::failed("what is done last failed"))?;
        Ok("made")
    });
    let mut reader = readers.last();
    let mut bytes = [0; 9];
    reader.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"all of it");
    drop(may_end);
    assert_eq!(reader.read(&mut bytes).unwrap_err().to_string(), "what is done last failed");
    assert_eq!(outcome.take().unwrap_err().to_string(), "what is done last failed");

    let (readers, outcome) = make(|sink| sink.write(b"x").map(|()| "made"));
    assert_eq!(all(readers.last()).unwrap(), b"x");
    let made = outcome.0.made().result.take();
    assert_eq!(made.expect("it is there before the end is seen").unwrap(), "made");
}

#[test]
fn a_maker_that_fails_fails_every_stream_that_has_not_ended_with_its_reason_and_hint() {
    let (mut readers, outcome) = make::<()>(|sink| {
        sink.write(b"whole")?;
        sink.end()?;
        sink.write(b"half of")?;
        Err(Error::failed("the reason").hint("the hint"))
    });
    assert_eq!(all(readers.reader()).unwrap(), b"whole");
    let (half, never) = (readers.reader(), readers.last());
    for reader in [half, never] {
        let error = all(reader).unwrap_err().downcast::<Error>().unwrap();
        assert_eq!((error.to_string().as_str(), error.hint_text()), ("the reason", Some("the hint")));
    }
    let error = outcome.take().unwrap_err();
    assert_eq!((error.to_string().as_str(), error.cause::<Unread>()), ("the reason", None));
}

#[test]
fn what_cannot_be_copied_fails_with_its_own_error_where_it_is_one_of_ours() {
    struct Fails(Option<std::io::Error>);
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(self.0.take().unwrap())
        }
    }
    let copied = |error| make(|sink| sink.copy(Fails(Some(error)), "archive of shard 7")).1.take().unwrap_err();
    let theirs = copied(std::io::Error::other("disk on fire"));
    assert_eq!(theirs.to_string(), "cannot read archive of shard 7: disk on fire");
    let ours = copied(std::io::Error::other(Error::failed("cut off").hint("look at the server's log")));
    assert_eq!((ours.to_string().as_str(), ours.hint_text()), ("cut off", Some("look at the server's log")));
}

#[test]
fn a_maker_that_panics_or_forgets_a_stream_ends_nothing_well() {
    let (readers, outcome) = make::<()>(|sink| {
        sink.write(b"half of").unwrap();
        panic!("a bug of this test");
    });
    let error = all(readers.last()).unwrap_err().to_string();
    assert!(error.contains("without a result (a bug)"), "{error}");
    // Then what the reader saw is the cause.
    assert!(outcome.take().unwrap_err().cause::<Unread>().is_some());

    let (mut readers, outcome) = make(|sink| sink.write(b"the only one"));
    assert_eq!(all(readers.reader()).unwrap(), b"the only one");
    assert!(all(readers.last()).is_err());
    outcome.take().unwrap();
}

#[test]
fn a_reader_that_is_dropped_early_stops_the_maker_and_is_told_by_type() {
    type Drops = fn(Readers);
    let drops: [Drops; 4] = [
        drop,
        |readers| drop(readers.last()),
        // Stopped between two streams, when the maker waits at a full queue.
        |mut readers| drop((readers.reader(), readers)),
        |mut readers| {
            let (mut first, later) = (readers.reader(), readers.last());
            first.read_exact(&mut [0; 10]).unwrap();
            drop(later);
            assert!(all(first).is_err());
        },
    ];
    for drops in drops {
        let (readers, outcome) = make(endless);
        drops(readers);
        let error = outcome.take().unwrap_err();
        assert!(error.cause::<Unread>().is_some(), "{error}");
        assert!(outcome.0.made().is_over, "the thread ended");
    }
}

#[test]
fn a_stream_that_ended_is_not_held_against_a_maker_whose_next_one_nobody_wants() {
    let (mut readers, outcome) = make(|sink| {
        sink.write(b"first")?;
        sink.end()?;
        endless(sink)
    });
    assert_eq!(all(readers.reader()).unwrap(), b"first");
    // The queue is full, and nobody holds its other end.
    drop(readers);
    assert!(outcome.take().unwrap_err().cause::<Unread>().is_some());
}

#[test]
fn a_maker_that_waits_for_something_else_can_ask_whether_it_is_still_wanted() {
    let (readers, outcome) = make::<()>(|sink| {
        loop {
            sink.check()?;
            std::thread::yield_now();
        }
    });
    drop(readers);
    assert!(outcome.take().unwrap_err().cause::<Unread>().is_some());
}

#[test]
fn a_cancelled_run_ends_with_that_and_not_as_if_nobody_had_read() {
    let context = RunContext::silent();
    let (readers, outcome) = run("test", &context, endless).unwrap();
    let mut reader = readers.last();
    reader.read_exact(&mut [0; 10]).unwrap();
    context.cancel.cancel();
    assert_eq!(all(reader).unwrap_err().to_string(), "cancelled");
    assert_eq!(outcome.take().unwrap_err().kind(), crate::error::Kind::Cancelled);
}

#[test]
fn memory_is_bounded_over_all_streams_together() {
    let written = Arc::new(AtomicUsize::new(0));
    let counted = written.clone();
    let (mut readers, outcome) = make(move |sink| {
        for _ in 0..100 {
            sink.pass(vec![0; BLOCK])?;
            sink.end()?;
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    let mut read = 0;
    let mut count = |reader| {
        assert_eq!(all(reader).unwrap().len(), BLOCK);
        read += 1;
        let ahead = written.load(Ordering::SeqCst).saturating_sub(read);
        // What waits, what the maker holds, and one more that ended between the read and the look.
        assert!(ahead <= QUEUE + 2, "{ahead} blocks ahead");
    };
    for _ in 1..100 {
        count(readers.reader());
    }
    count(readers.last());
    outcome.take().unwrap();
}
