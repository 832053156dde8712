//! The character set of a session, as far as it matters where a text ends: in some of them the second byte of a letter may look
//! like a backslash or a backtick. Clients change it in a few ways only.

use super::names::Token;

/// Whether a letter of two bytes begins with this one.
type Begins = fn(u8) -> bool;

/// What they are called, and how their letters begin.
const AMBIGUOUS: [(&str, Begins); 5] = [
    ("big5", begins_two),
    ("cp932", begins_two_of_japanese),
    ("gb18030", begins_two),
    ("gbk", begins_two),
    ("sjis", begins_two_of_japanese),
];

fn begins_two(byte: u8) -> bool {
    matches!(byte, 0x81..=0xfe)
}

fn begins_two_of_japanese(byte: u8) -> bool {
    matches!(byte, 0x81..=0x9f | 0xe0..=0xfc)
}

/// The name of one of [`AMBIGUOUS`]; none for any other.
type Name = Option<usize>;

/// The character set in force at a place of the dump, and those that the dump has put aside.
#[derive(Debug, Clone, Default)]
pub struct Letters {
    now: Name,
    saved: Name,
    /// By what we add to a dump ([`supplement`](super::supplement)).
    saved_by_us: Name,
    old: Name,
}

/// Whether a `SET` with this word may be about it.
pub fn is_about(token: &Token) -> bool {
    const WORDS: [&str; 7] = [
        "character_set_client",
        "names",
        "charset",
        "character",
        "saved_cs_client",
        "saved_character_set_client",
        "old_character_set_client",
    ];
    match token {
        Token::Word(text) | Token::Quoted(text) => WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)),
        Token::Mark(_) => false,
    }
}

impl Letters {
    /// Read a `SET` without its first word, in small letters and without blanks; whether it is one of a client's.
    pub(super) fn read(&mut self, shape: &str) -> bool {
        let named = |name: &str| {
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name != "default";
            let is_whole = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            (is_name && is_whole).then(|| AMBIGUOUS.iter().position(|(ambiguous, _)| *ambiguous == name))
        };
        match shape {
            "@saved_cs_client=@@character_set_client" => self.saved = self.now,
            "@old_character_set_client=@@character_set_client" => self.old = self.now,
            "character_set_client=@saved_cs_client" => self.now = self.saved,
            "@saved_character_set_client=@@character_set_client" => self.saved_by_us = self.now,
            "character_set_client=@saved_character_set_client" => self.now = self.saved_by_us,
            "character_set_client=@old_character_set_client" => self.now = self.old,
            _ => {
                let value = shape.strip_prefix("character_set_client=").or_else(|| shape.strip_prefix("names"));
                let Some(name) = value.and_then(named) else { return false };
                self.now = name;
            }
        }
        true
    }

    /// Whether a server finds the ends of names and texts of `statement` elsewhere than the client does.
    pub fn hide_ends(&self, statement: &[u8]) -> bool {
        let Some((_, begins)) = self.now.and_then(|name| AMBIGUOUS.get(name)) else { return false };
        let mut at = 0;
        while let Some(byte) = statement.get(at) {
            let is_two = begins(*byte);
            if is_two && matches!(statement.get(at + 1), Some(b'\\' | b'`')) {
                return true;
            }
            at += if is_two { 2 } else { 1 };
        }
        false
    }

    /// Whether no letter looks like something else.
    pub fn are_plain(&self) -> bool {
        self.now.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(shapes: &[&str]) -> Letters {
        let mut letters = Letters::default();
        assert!(shapes.iter().all(|shape| letters.read(shape)), "{shapes:?}");
        letters
    }

    #[test]
    fn the_character_set_is_followed_as_clients_set_it() {
        let (save, put_back) = ("@saved_cs_client=@@character_set_client", "character_set_client=@saved_cs_client");
        assert!(after(&["namesutf8mb4", save, "character_set_client=utf8mb3"]).are_plain());
        assert!(!after(&[save, "character_set_client=sjis"]).are_plain());
        assert!(after(&[save, "character_set_client=sjis", put_back]).are_plain());
        assert!(!after(&["namesgbk", save, "character_set_client=utf8mb4", put_back]).are_plain());
        let ours = "@saved_character_set_client=@@character_set_client";
        let ours_back = "character_set_client=@saved_character_set_client";
        assert!(after(&[ours, "character_set_client=latin1", "character_set_client=cp932", ours_back]).are_plain());
        let old = "@old_character_set_client=@@character_set_client";
        assert!(after(&[old, "namesbig5", "character_set_client=@old_character_set_client"]).are_plain());
    }

    #[test]
    fn no_other_way_is_known() {
        for shape in [
            "character_set_client=28",
            "character_set_client='",
            "character_set_client=@x",
            "character_set_client=default",
            "character_set_client=utf8,@a=1",
            "@a=1,character_set_client=gbk",
            "sessioncharacter_set_client=gbk",
            "@@character_set_client=gbk",
            "charactersetgbk",
            "names'",
            "@saved_cs_client='",
        ] {
            assert!(!Letters::default().read(shape), "{shape}");
        }
    }

    #[test]
    fn a_letter_that_ends_like_a_backslash_or_a_backtick_hides_an_end() {
        for (name, text, hides) in [
            ("gbk", &b"'\xbf\\'"[..], true),
            ("gbk", b"`\xbf``", true),
            ("sjis", b"'\x95\\'", true),
            ("sjis", b"`\x96\xbc`", false),
            ("sjis", b"'\xb1\\''", false),
            ("big5", b"'\xa5\x40'", false),
            ("utf8mb4", b"'\xbf\\'", false),
            ("gb18030", b"'\x81\x30\x81\x30\\''", false),
        ] {
            let letters = after(&[&format!("character_set_client={name}")]);
            assert_eq!(letters.hide_ends(text), hides, "{name} {text:?}");
        }
    }
}
