//! What is in the values of one row of a dump: plain data or noise.

use std::borrow::Cow;

use crate::domain::change::texture::{Texture, is_noise};

/// So many bytes of a row are looked at; the rest is taken to be like them.
pub const LOOKED_AT: usize = 4096;
/// A longer row counts as one of so many bytes: few of them must not decide alone.
const LONGEST: u64 = 64 * 1024;

/// What is in a row of `bytes` bytes that begins with `begun`: `(1,'text',0xAB…`.
pub fn of_row(begun: &[u8], bytes: u64) -> Texture {
    let mut texture = Texture::default();
    let mut rest = &begun[..begun.len().min(LOOKED_AT)];
    while let Some((first, after)) = rest.split_first() {
        match first {
            b'\'' => {
                let (text, after) = quoted(after);
                texture += Texture::of(text.len() as u64, is_noise(&text));
                rest = after;
            }
            b'(' | b')' | b',' | b' ' | b'\n' => rest = after,
            _ => {
                let end = rest.iter().position(|byte| matches!(byte, b',' | b')' | b'\'' | b' ')).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                let value = hexadecimal(word).map_or(Cow::Borrowed(word), Cow::Owned);
                texture += Texture::of(value.len() as u64, is_noise(&value));
                rest = after;
            }
        }
    }
    let [plain, noise] = texture.bytes;
    let seen = begun.len().min(LOOKED_AT) as u64;
    // What is written as hex has half of the bytes.
    texture.stretched_to((plain + noise).saturating_mul(bytes.min(LONGEST)) / seen.max(1))
}

/// The text up to its closing quote, as the server has it, and what is behind that.
fn quoted(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut text = Vec::new();
    loop {
        let (plain, after) = rest.split_at(memchr::memchr2(b'\'', b'\\', rest).unwrap_or(rest.len()));
        text.extend_from_slice(plain);
        match after {
            [b'\\', escaped, after @ ..] => {
                text.push(unescaped(*escaped));
                rest = after;
            }
            [b'\'', b'\'', after @ ..] => {
                text.push(b'\'');
                rest = after;
            }
            [_, after @ ..] => return (text, after),
            [] => return (text, after),
        }
    }
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'0' => 0,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'Z' => 0x1A,
        other => other,
    }
}

/// The bytes of `0x…`; none of another word.
fn hexadecimal(word: &[u8]) -> Option<Vec<u8>> {
    let digits = word.strip_prefix(b"0x")?;
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(row: &[u8]) -> [u64; 2] {
        of_row(row, row.len() as u64).bytes
    }

    #[test]
    fn each_value_is_looked_at_as_the_server_has_it() {
        let plain =
            of(b"(1,'it''s a \\'plain\\' text, (with) all sorts of things\\n',NULL,-2.5e3,0x616263,_binary 'abc')");
        assert_eq!(plain[1], 0, "{plain:?}");
        let token = "0123456789abcdef0123456789abcdef";
        assert_eq!(of(format!("('{token}')").as_bytes()), [0, 32]);
        let [plain, noise] = of(format!("(1,'a text that anybody may read','{token}')").as_bytes());
        assert!(plain == 29 && noise == 32, "{plain} {noise}");
        let text = b"a text in a column of bytes".map(|byte| format!("{byte:02X}")).concat();
        assert_eq!(of(format!("(0x{text})").as_bytes())[1], 0, "bytes are written as hex, whatever they are");
        let [plain, noise] = of(format!("(0x{})", "9F00A7C3B1D2E4F586FF91".repeat(4)).as_bytes());
        assert!(plain == 0 && noise > 40, "{plain} {noise}");
        assert_eq!(of(b"('\\0\\Z\x7F\x01\x02\\0\\Zabcdefghi\xC3\x28')")[0], 0, "no text has these");
    }

    #[test]
    fn a_long_row_counts_as_its_beginning_and_not_more_than_many_others() {
        let begun = [b"(1,'".as_slice(), &b"plain text of a row ".repeat(1000)].concat();
        let [plain, noise] = of_row(&begun[..5_000], 20_004).bytes;
        assert!((19_900..20_010).contains(&plain) && noise == 0, "{plain}");
        assert!(of_row(&begun, 1 << 40).bytes[0] <= LONGEST);
        assert_eq!(of_row(b"", 0).bytes, [0, 0]);
        assert_eq!(of(b"(0xA,'open")[1], 0, "whatever it is, it is read to its end");
    }
}
