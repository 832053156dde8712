//! Sentences about files, bounded: a tree may have millions of them.

/// Most files that are named in one sort of sentence.
const NAMED: usize = 20;

/// Sentences of one sort; the first few are kept, the rest counted.
#[derive(Debug, Default)]
pub struct Notes {
    sentences: Vec<String>,
    more: u64,
}

impl Notes {
    /// Add a sentence.
    pub fn add(&mut self, sentence: impl FnOnce() -> String) {
        if self.sentences.len() < NAMED { self.sentences.push(sentence()) } else { self.more += 1 }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.sentences.len() as u64 + self.more
    }

    /// The sentences, and one about how many more `what` there are.
    pub fn finish(mut self, what: &str) -> Vec<String> {
        if self.more > 0 {
            self.sentences.push(format!("and {} more {what}", self.more));
        }
        self.sentences
    }
}
