//! Sentences about files, bounded: a tree may have millions of them.

use crate::domain::left_out::LeftOut;

/// Most files that are named in one sort of sentence.
const NAMED: usize = 20;

/// Files that are in the tree and could not be caught in one piece: they are not in the backup.
#[derive(Debug, Default)]
pub struct Replaced {
    named: Vec<String>,
    more: u64,
}

impl Replaced {
    /// Most of them that are named: whoever may write in the tree makes as many as he likes.
    const NAMED: usize = 200;

    /// Take note of the file at `path`, without its leading slash.
    pub fn add(&mut self, path: &impl std::fmt::Display) {
        if self.named.len() < Self::NAMED { self.named.push(format!("/{path}")) } else { self.more += 1 }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.named.len() as u64 + self.more
    }

    /// Each by its path.
    pub fn finish(self) -> Vec<LeftOut> {
        let left_out = |name: String, reason: &str| LeftOut {
            kind: LeftOut::FILE.to_owned(),
            name,
            reason: reason.to_owned(),
            definition: None,
        };
        let of_one = "it was replaced whenever it was read; exclude it, or back up while nobody writes it";
        let of_many = "they were replaced whenever they were read; exclude them, or back up while nobody writes them";
        let more = (self.more > 0).then(|| left_out(LeftOut::name_of_more_files(self.more), of_many));
        self.named.into_iter().map(|name| left_out(name, of_one)).chain(more).collect()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_caught_is_left_out_by_name_and_many_are_counted() {
        let mut replaced = Replaced::default();
        replaced.add(&"srv/a");
        let named = replaced.finish();
        assert_eq!((named[0].kind.as_str(), named[0].name.as_str(), named.len()), ("file", "/srv/a", 1));
        let mut replaced = Replaced::default();
        (0..205).for_each(|n| replaced.add(&n));
        assert_eq!(replaced.count(), 205);
        let named = replaced.finish();
        assert_eq!((named.len(), named[200].name.as_str()), (201, "and 5 more"));
        assert!(named[200].sentence().starts_with("and 5 more files are NOT in the backup: they were replaced"));
    }
}
