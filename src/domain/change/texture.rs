//! How much of the content is plain (texts, numbers, structures) and how much looks like noise: what is encrypted, compressed or
//! random. Encryption turns the one into the other; growth, purges, reloads and new columns do not.
//!
//! Noise that is written as hex or as base64 is noise: how well data compresses would not tell it from text.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// How much of each there is in a table or below a path; bytes that were not looked at are taken to be like their neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Texture {
    /// Bytes: plain, noise.
    pub bytes: [u64; 2],
    /// Files by how they begin: plain, noise. None where there are no files.
    #[serde(default, skip_serializing_if = "is_none")]
    pub files: [u64; 2],
}

fn is_none(files: &[u64; 2]) -> bool {
    *files == [0, 0]
}

impl AddAssign for Texture {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.bytes.iter_mut().chain(&mut self.files).zip(other.bytes.iter().chain(&other.files)) {
            *sum = sum.saturating_add(*more);
        }
    }
}

impl Texture {
    /// So many bytes that are as `is_noise` says.
    pub fn of(bytes: u64, is_noise: bool) -> Self {
        Self { bytes: if is_noise { [0, bytes] } else { [bytes, 0] }, files: [0, 0] }
    }

    /// The same for `bytes` bytes instead of those that were looked at.
    #[must_use]
    pub fn stretched_to(self, bytes: u64) -> Self {
        self.times(bytes, self.bytes[0].saturating_add(self.bytes[1]))
    }

    /// The same `numerator / denominator` times.
    #[must_use]
    pub fn times(self, numerator: u64, denominator: u64) -> Self {
        let scaled = |number: u64| {
            let product = u128::from(number) * u128::from(numerator) / u128::from(denominator.max(1));
            u64::try_from(product).unwrap_or(u64::MAX)
        };
        Self { bytes: self.bytes.map(scaled), files: self.files }
    }
}

/// A piece of fewer bytes than this says nothing and counts as plain.
const SHORTEST: usize = 16;
/// From so many bytes on, how often each byte value occurs says enough.
const COUNTED: usize = 512;
/// Noise uses all of its alphabet alike: so near is the entropy to the most that it could be,
const EVEN: f64 = 0.96;
/// in an alphabet of so many at least. Decimal digits are no noise.
const ALPHABET: usize = 14;
/// Text has fewer control characters than this share.
const CONTROLS: f64 = 0.04;
/// A token is written in so many characters without a break.
const HEX_TOKEN: usize = 16;
const BASE64_TOKEN: usize = 24;

/// Whether `piece` looks encrypted, compressed or random, be it as it is or as hex or base64.
pub fn is_noise(piece: &[u8]) -> bool {
    if piece.len() < SHORTEST {
        return false;
    }
    let text = as_text(piece);
    let is_odd = text.is_none_or(|text| has_controls(text.as_bytes()));
    if piece.len() >= COUNTED {
        let is_foreign = text.is_some_and(|text| !text.is_ascii());
        // Texts in other scripts use their bytes nearly alike.
        return if is_foreign { is_odd && controls_are_even(piece) } else { is_even(piece) };
    }
    is_odd || text.is_some_and(is_token)
}

/// Without the halves of characters at the ends, which a piece of a longer text may have.
fn as_text(piece: &[u8]) -> Option<&str> {
    let is_middle = |byte: &&u8| **byte & 0xC0 == 0x80;
    let piece = &piece[piece.iter().take(3).take_while(is_middle).count()..];
    match std::str::from_utf8(piece) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&piece[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r')
}

fn has_controls(text: &[u8]) -> bool {
    let controls = text.iter().filter(|byte| is_control(**byte)).count();
    controls > 0 && controls as f64 >= text.len() as f64 * CONTROLS
}

/// Whether no control character stands out: in structures it is nearly always the zero.
fn controls_are_even(piece: &[u8]) -> bool {
    let counts = counts(piece.iter().copied().filter(|byte| is_control(*byte)));
    let most = counts.iter().max().copied().unwrap_or_default();
    most * 4 <= counts.iter().sum()
}

fn counts(bytes: impl Iterator<Item = u8>) -> [usize; 256] {
    let mut counts = [0; 256];
    bytes.for_each(|byte| counts[usize::from(byte)] += 1);
    counts
}

/// Whether all byte values that occur do so about equally often. Ends of lines are not of the alphabet.
fn is_even(piece: &[u8]) -> bool {
    let counts = counts(piece.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')));
    let (alphabet, all) = (counts.iter().filter(|it| **it > 0).count(), counts.iter().sum::<usize>() as f64);
    let share = counts.iter().filter(|it| **it > 0).map(|it| *it as f64 / all);
    let entropy: f64 = share.map(|share| -share * share.log2()).sum();
    alphabet >= ALPHABET && entropy >= (alphabet as f64).log2() * EVEN
}

/// Whether a short text is mostly one word of hex or of base64.
fn is_token(text: &str) -> bool {
    let longest = |is_part: fn(u8) -> bool| {
        let runs = text.as_bytes().split(|byte| !is_part(*byte));
        runs.max_by_key(|run| run.len()).filter(|run| run.len() * 4 >= text.len() * 3).unwrap_or_default()
    };
    let share = |run: &[u8], is_part: fn(&u8) -> bool| run.iter().filter(|byte| is_part(byte)).count() * 8 >= run.len();
    let hex = longest(|byte| byte.is_ascii_hexdigit());
    if hex.len() >= HEX_TOKEN {
        return share(hex, u8::is_ascii_digit) && share(hex, u8::is_ascii_alphabetic);
    }
    let base64 = longest(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_'));
    // Words, names and paths stay with one sort of letter for a while.
    let changes = base64.windows(2).filter(|pair| sort(pair[0]) != sort(pair[1])).count();
    // And what has no other letters than hex is a UUID or the like.
    let is_hex = base64.iter().all(|byte| byte.is_ascii_hexdigit() || !byte.is_ascii_alphabetic());
    base64.len() >= BASE64_TOKEN && changes * 5 >= base64.len() * 2 && !is_hex
}

/// Upper case, lower case, digit or other.
fn sort(byte: u8) -> [bool; 3] {
    [byte.is_ascii_uppercase(), byte.is_ascii_lowercase(), byte.is_ascii_digit()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random and are the same every time.
    fn random(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_be_bytes()
        };
        std::iter::repeat_with(&mut next).flatten().take(length).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    }

    fn base64(bytes: &[u8]) -> String {
        const SET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        bytes.iter().map(|byte| char::from(SET[usize::from(byte % 64)])).collect()
    }

    /// Random bytes of a latin1 column as a dump prints them.
    fn latin1(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| char::from(*byte)).collect()
    }

    fn lines(text: &str) -> String {
        let chars: Vec<char> = text.chars().collect();
        chars.chunks(64).map(|line| line.iter().collect::<String>() + "\n").collect()
    }

    #[test]
    fn random_bytes_are_noise_at_any_length_however_they_are_written() {
        let mut missed = 0;
        for length in [16, 20, 32, 48, 100, 300, 511, 512, 700, 1_000, 4_096] {
            for seed in 0..40 {
                let bytes = random(seed + length as u64, length);
                let forms = [bytes.clone(), hex(&bytes).into_bytes(), latin1(&bytes).into_bytes()];
                missed += forms.iter().filter(|form| !is_noise(form)).count();
                let long = length >= 24 && !is_noise(base64(&bytes).as_bytes());
                missed += usize::from(long);
            }
        }
        assert!(missed < 40, "{missed} of some 1700, the shortest ones by chance");
        for form in [lines(&hex(&random(1, 4_000))), lines(&base64(&random(2, 4_000)))] {
            assert!(is_noise(form.as_bytes()), "{form}");
        }
    }

    #[test]
    fn texts_numbers_and_structures_of_all_sorts_are_plain() {
        let plain = [
            "customer number 17 of the street 23",
            "4111111111111111",
            "2024-01-01 12:00:00.000000",
            "550e8400-e29b-41d4-a716-446655440000",
            "https://shop.example.org/catalogue/Summer-2024/Item17",
            "someVeryLongIdentifierOfAProgramWithoutDigits",
            "UPPER_CASE_SETTING_NUMBER_1_OF_THE_SHOP",
            r#"{"id":17,"name":"Müller","tags":["a","b"],"price":12.5}"#,
            "a:1:{s:4:\"name\";s:5:\"value\";}",
            "Ein Text mit Umlauten: Äpfel, Öl, Übermut und viel Spaß",
            "Съешь же ещё этих мягких французских булок",
            "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏",
        ];
        for text in plain {
            assert!(!is_noise(text.as_bytes()), "{text}");
            assert!(!is_noise(text.repeat(40).as_bytes()), "{text}");
        }
        let numbers = (0..700_u32).map(|at| format!("{},{}.{}\n", at * 7919, at % 91, at * 31 % 100));
        let numbers = numbers.collect::<Vec<_>>().concat();
        let words = (0..400).map(|at| format!("word{} of {:x}; ", at * 37 % 101, at * 7919));
        let words = words.collect::<Vec<_>>().concat();
        let structure: Vec<u8> =
            (0..800_u32).flat_map(|at| [at.to_le_bytes(), (at * 7919).to_le_bytes()]).flatten().collect();
        for text in [numbers.as_bytes(), words.as_bytes(), &structure, &[0; 4_096]] {
            assert!(!is_noise(text), "{}", String::from_utf8_lossy(&text[..200]));
        }
        assert!(!is_noise(&random(3, 15)), "too short to tell");
        let padded = "Jürgen\0\0\0\0".repeat(60);
        assert!(!is_noise(padded.as_bytes()), "zeros are no noise");
    }

    #[test]
    fn texts_that_are_cut_in_the_middle_of_a_character_are_texts() {
        let text = "Съешь же ещё этих мягких французских булок, да выпей чаю. 天地玄黃宇宙洪荒 ".repeat(30);
        for from in 0..6 {
            for to in 0..6 {
                assert!(!is_noise(&text.as_bytes()[from..1_000 - to]), "{from} {to}");
                assert!(!is_noise(&text.as_bytes()[from..60 - to]), "{from} {to}");
            }
        }
    }

    #[test]
    fn what_was_looked_at_stands_for_all() {
        let mut some = Texture::of(30, false);
        some += Texture::of(10, true);
        assert_eq!(some.stretched_to(400).bytes, [300, 100]);
        assert_eq!((some.times(1, 2).bytes, Texture::default().stretched_to(5).bytes), ([15, 5], [0, 0]));
        some.files = [3, 1];
        let text = serde_json::to_string(&some).unwrap();
        assert_eq!(text, r#"{"bytes":[30,10],"files":[3,1]}"#);
        assert_eq!(serde_json::from_str::<Texture>(&text).unwrap(), some);
        assert_eq!(serde_json::to_string(&Texture::of(1, false)).unwrap(), r#"{"bytes":[1,0]}"#);
    }
}
