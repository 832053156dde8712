//! What a child says on its standard error: the last lines, and, of a child that tells as it goes, what it is at.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::Mutex;

use super::locked::locked;

/// How much of it is kept, in lines: a crashing server says why first and then a hundred lines of state.
pub(super) const LINES: usize = 300;
/// Longest line of it, in bytes.
const LINE_BYTES: u64 = 2_000;

/// How a child tells what it is at. Its progress is no part of what it said: an error must not drown in it.
#[derive(Debug, Clone, Copy)]
pub struct Telling {
    /// Every line of progress begins like this.
    pub progress: &'static str,
    /// Those that name what is begun, up to the name.
    pub begins: &'static str,
}

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Said {
    telling: Option<Telling>,
    /// Oldest first.
    pub(super) lines: VecDeque<String>,
    /// What was begun last.
    pub(super) at: Option<String>,
}

impl Said {
    pub(super) fn by(telling: Option<Telling>) -> Self {
        Self { telling, ..Self::default() }
    }

    fn hear(&mut self, line: String) {
        if let Some(telling) = self.telling.filter(|telling| line.starts_with(telling.progress)) {
            if let Some(name) = line.strip_prefix(telling.begins) {
                self.at = Some(name.trim_end_matches('.').to_owned());
            }
            return;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// Listen until the pipe ends.
pub(super) fn collect(pipe: impl Read, said: &Mutex<Said>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while let Ok(read) = pipe.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line) {
        if read == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        if !text.is_empty() {
            locked(said).hear(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_kept_apart_from_what_was_said() {
        let text = "-- Connecting...\n-- Retrieving table structure for table a...\nclient: error: x\n\
                    -- Retrieving table structure for table b...\n-- Retrieving rows...\n";
        let telling = Telling { progress: "-- ", begins: "-- Retrieving table structure for " };
        for (telling, lines, at) in [(Some(telling), 1, Some("table b")), (None, 5, None)] {
            let said = Mutex::new(Said::by(telling));
            collect(text.as_bytes(), &said);
            let said = locked(&said);
            assert_eq!((said.lines.len(), said.at.as_deref()), (lines, at));
        }
    }
}
