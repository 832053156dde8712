//! The reading half: hands the one queue from the reader of a stream to that of the next.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Error;

/// A backup was not read to its end. What it contains may be good, so the reason is with whoever stopped reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the repository stopped reading it")
    }
}

impl StdError for Unread {}

impl Unread {
    /// The error of a maker that has nobody left to make it for.
    pub fn error() -> Error {
        Error::failed("cannot hand on the backup").because(Self)
    }
}

/// What waits in the queue.
pub(super) enum Message {
    Block(Vec<u8>),
    End,
}

/// Whose turn it is to read.
pub(super) struct Turn {
    now: Mutex<Now>,
    changed: Condvar,
    /// A reader was dropped before its end: nothing will ever be complete.
    is_abandoned: AtomicBool,
}

struct Now {
    /// Number of the stream that the queue gives.
    stream: usize,
    /// The queue, while nobody holds it.
    receive: Option<Receiver<Message>>,
}

impl Turn {
    /// The first reader's.
    pub(super) fn first(receive: Receiver<Message>) -> Arc<Self> {
        let now = Mutex::new(Now { stream: 0, receive: Some(receive) });
        Arc::new(Self { now, changed: Condvar::new(), is_abandoned: AtomicBool::new(false) })
    }

    /// Whether somebody stopped reading.
    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::SeqCst)
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wait until `stream` is at hand; none where it never will be.
    fn wait_for(&self, stream: usize) -> Option<Receiver<Message>> {
        let waiting = |now: &mut Now| !self.is_abandoned() && (now.stream != stream || now.receive.is_none());
        let now = self.changed.wait_while(self.now(), waiting);
        now.unwrap_or_else(PoisonError::into_inner).receive.take()
    }

    fn pass_on(&self, receive: Receiver<Message>) {
        let mut now = self.now();
        now.stream += 1;
        now.receive = Some(receive).filter(|_| !self.is_abandoned());
        self.changed.notify_all();
    }

    /// Wake everybody who waits, the maker at a full queue too.
    fn abandon(&self) {
        let mut now = self.now();
        self.is_abandoned.store(true, Ordering::SeqCst);
        now.receive = None;
        self.changed.notify_all();
    }
}

/// Why the maker failed; none where it did not, or nobody knows yet.
pub(super) type Why = Arc<dyn Fn() -> Option<Error> + Send + Sync>;

/// Gives the readers of the streams, in the order in which they are made. Dropped before [`Readers::last`], it stops the maker.
pub struct Readers {
    turn: Arc<Turn>,
    next: usize,
    why: Why,
    is_complete: bool,
}

impl Readers {
    pub(super) fn new(turn: Arc<Turn>, why: Why) -> Self {
        Self { turn, next: 0, why, is_complete: false }
    }

    /// The reader of the next stream. Dropped before its end, it stops the maker.
    pub fn reader(&mut self) -> Box<dyn Read + Send> {
        let number = self.next;
        self.next += 1;
        Box::new(Stream { turn: self.turn.clone(), number, why: self.why.clone(), state: State::Waiting })
    }

    /// The reader of the last stream.
    pub fn last(mut self) -> Box<dyn Read + Send> {
        self.is_complete = true;
        self.reader()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        if !self.is_complete {
            self.turn.abandon();
        }
    }
}

struct Stream {
    turn: Arc<Turn>,
    number: usize,
    why: Why,
    state: State,
}

enum State {
    Waiting,
    Reading { receive: Receiver<Message>, block: Vec<u8>, at: usize },
    Ended,
    Failed,
}

impl Stream {
    /// Have something to give, or be at the end.
    fn advance(&mut self) -> io::Result<()> {
        loop {
            match std::mem::replace(&mut self.state, State::Failed) {
                State::Waiting => {
                    let Some(receive) = self.turn.wait_for(self.number) else {
                        return Err(io::Error::other((self.why)().unwrap_or_else(Unread::error)));
                    };
                    self.state = State::Reading { receive, block: Vec::new(), at: 0 };
                }
                State::Reading { receive, block, at } if at == block.len() => match receive.recv() {
                    Ok(Message::Block(block)) => self.state = State::Reading { receive, block, at: 0 },
                    Ok(Message::End) => {
                        self.turn.pass_on(receive);
                        self.state = State::Ended;
                    }
                    // The maker is gone without a good end: what came so far must not pass for the whole.
                    Err(_) => return Err(io::Error::other((self.why)().unwrap_or_else(vanished))),
                },
                State::Failed => return Err(io::Error::other("the stream has failed before")),
                state => {
                    self.state = state;
                    return Ok(());
                }
            }
        }
    }
}

fn vanished() -> Error {
    Error::failed("the thread that made the backup ended without a result (a bug)")
        .hint("report it with what the log says at this time")
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            self.advance()?;
            let State::Reading { block, at, .. } = &mut self.state else { break };
            let take = (buffer.len() - filled).min(block.len() - *at);
            buffer[filled..filled + take].copy_from_slice(&block[*at..*at + take]);
            (filled, *at) = (filled + take, *at + take);
        }
        Ok(filled)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !matches!(self.state, State::Ended) {
            self.turn.abandon();
        }
    }
}
