//! How single values of the demo shop are made and written: times, amounts, bytes, prose.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::random::Random;
use super::words::WORDS;

/// First second of the shop's history, 2024-03-01, and its length: a little over two years.
pub(super) const OPENED: u64 = 1_709_251_200;
pub(super) const HISTORY_SECONDS: u64 = 800 * 86_400;

/// A time for row `id` of `count` that grows with the id, with some disorder.
pub(super) fn along(id: u64, count: u64, r: &mut Random) -> u64 {
    OPENED + id * (HISTORY_SECONDS - 7_200) / count.max(1) + r.below(7_200)
}

pub(super) fn cents(amount: u64) -> impl std::fmt::Display {
    struct Cents(u64);
    impl std::fmt::Display for Cents {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
        }
    }
    Cents(amount)
}

pub(super) fn time(seconds: u64) -> NaiveDateTime {
    let seconds = i64::try_from(seconds).expect("a time in this century");
    DateTime::from_timestamp(seconds, 0).expect("a time in this century").naive_utc()
}

pub(super) fn day(seconds: u64) -> NaiveDate {
    time(seconds).date()
}

pub(super) fn second(seconds: u64) -> NaiveDateTime {
    time(seconds)
}

pub(super) fn micro(seconds: u64, r: &mut Random) -> String {
    format!("{}.{:06}", second(seconds), r.below(1_000_000))
}

pub(super) fn bytes(r: &mut Random, length: u64) -> Vec<u8> {
    (0..length.div_ceil(8)).flat_map(|_| r.next().to_le_bytes()).take(usize::try_from(length).expect("short")).collect()
}

/// Letters an e-mail address can have.
pub(super) fn ascii(name: &str) -> String {
    let kept: String = name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase();
    if kept.is_empty() { "customer".to_owned() } else { kept }
}

/// `count` words, punctuated.
pub(super) fn prose(r: &mut Random, count: u64) -> String {
    let mut text = String::new();
    for i in 0..count {
        let separator = match (i, r.below(12)) {
            (0, _) => "",
            (_, 0) => ". ",
            (_, 1) => ", ",
            _ => " ",
        };
        write!(text, "{separator}{}", r.pick_skewed(WORDS)).expect("a String takes everything");
        if r.chance(6) {
            write!(text, " {}", r.between(1, 999)).expect("a String takes everything");
        }
    }
    text
}
