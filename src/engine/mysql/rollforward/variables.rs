//! What a statement in statement format needs beside its text: the next id, the next random number, variables of the user.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::engine::mysql::connection::Session;
use crate::engine::mysql::names;
use crate::error::{Error, Result};

/// Character set and collation by number.
pub type Collations = BTreeMap<u32, (String, String)>;

/// What the server at hand calls its collations.
pub fn collations(session: &mut Session) -> Result<Collations> {
    let rows = session.rows(
        "SELECT ID, CHARACTER_SET_NAME, COLLATION_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL AND \
         CHARACTER_SET_NAME IS NOT NULL",
    )?;
    let named = |row: Vec<Option<String>>| {
        let mut row = row.into_iter();
        Some((row.next()??.parse().ok()?, (row.next()??, row.next()??)))
    };
    Ok(rows.into_iter().filter_map(named).collect())
}

/// The statement that sets what an event of this code says; none where that cannot be read.
pub fn statement(code: u8, body: &[u8], collations: &Collations) -> Result<String> {
    let said = match code {
        5 => next_id(body),
        13 => random(body),
        14 => variable(body, collations),
        _ => None,
    };
    said.ok_or_else(|| Error::failed("a variable of a statement cannot be read"))
}

/// Two digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn long(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// How the statement begins that sets the next automatic number.
pub const NEXT_ID: &str = "SET SESSION insert_id = ";

fn next_id(body: &[u8]) -> Option<String> {
    let set = match body.first()? {
        1 => "SET SESSION last_insert_id = ",
        2 => NEXT_ID,
        _ => return None,
    };
    Some(format!("{set}{}", long(body.get(1..)?)?))
}

fn random(body: &[u8]) -> Option<String> {
    Some(format!("SET SESSION rand_seed1 = {}, rand_seed2 = {}", long(body)?, long(body.get(8..)?)?))
}

fn variable(body: &[u8], collations: &Collations) -> Option<String> {
    let word = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let length = usize::try_from(word(body)?).ok()?;
    let name = std::str::from_utf8(body.get(4..4 + length)?).ok()?;
    let rest = body.get(4 + length..)?;
    let name = names::quote(name);
    if *rest.first()? != 0 {
        return Some(format!("SET @{name} := NULL"));
    }
    let (kind, collation) = (*rest.get(1)?, word(rest.get(2..)?)?);
    let length = usize::try_from(word(rest.get(6..)?)?).ok()?;
    let value = rest.get(10..10 + length)?;
    let is_unsigned = rest.get(10 + length).is_some_and(|flags| flags & 1 != 0);
    let value = match kind {
        0 => {
            let (set, collation) = collations.get(&collation)?;
            format!("_{set} X'{}' COLLATE {collation}", hex(value))
        }
        1 => format!("{:e}", f64::from_le_bytes(*value.first_chunk()?)),
        2 if is_unsigned => long(value)?.to_string(),
        2 => long(value)?.cast_signed().to_string(),
        4 => decimal(value)?,
        _ => return None,
    };
    Some(format!("SET @{name} := {value}"))
}

/// Bytes of the digits that do not fill a group of nine.
const PARTIAL: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// The servers' own form: number of digits, of those behind the point, then groups of nine digits in four bytes each, the highest
/// bit flipped, all bits of a negative one.
fn decimal(value: &[u8]) -> Option<String> {
    let (precision, scale) = (usize::from(*value.first()?), usize::from(*value.get(1)?));
    let mut bytes = value.get(2..)?.to_vec();
    let is_negative = *bytes.first()? & 0x80 == 0;
    bytes[0] ^= 0x80;
    if is_negative {
        for byte in &mut bytes {
            *byte = !*byte;
        }
    }
    let whole = precision.checked_sub(scale)?;
    let sizes = |digits: usize| (digits / 9, digits % 9);
    let (mut text, mut rest) = (String::from(if is_negative { "-" } else { "" }), &bytes[..]);
    let mut take = |digits: usize| {
        let (group, left) = rest.split_at_checked(if digits == 9 { 4 } else { PARTIAL[digits] })?;
        rest = left;
        let number = group.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        Some(if digits == 0 { String::new() } else { format!("{number:0digits$}") })
    };
    let (groups, partial) = sizes(whole);
    text += &take(partial)?;
    for _ in 0..groups {
        text += &take(9)?;
    }
    if whole == 0 {
        text.push('0');
    }
    if scale > 0 {
        text.push('.');
        let (groups, partial) = sizes(scale);
        for _ in 0..groups {
            text += &take(9)?;
        }
        text += &take(partial)?;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u8, hex: &str) -> Option<String> {
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
        let collations = [(33, ("utf8mb3".to_owned(), "utf8mb3_general_ci".to_owned()))].into();
        statement(code, &bytes, &collations).ok()
    }

    #[test]
    fn variables_are_written_as_mariadb_logged_them() {
        let logged = [
            (14, "010000007800002100000003000000616263", "SET @`x` := _utf8mb3 X'616263' COLLATE utf8mb3_general_ci"),
            (14, "0100000064000408000000080000000b068030390a5bf5", "SET @`d` := 12345.678901"),
            (14, "010000007200010800000008000000000000000000f83f", "SET @`r` := 1.5e0"),
            (14, "010000006e01", "SET @`n` := NULL"),
            (14, "010000006900020800000008000000fbffffffffffffff00", "SET @`i` := -5"),
            (14, "010000006900020800000008000000fbffffffffffffff01", "SET @`i` := 18446744073709551611"),
            (13, "3f28153f000000002d50bf0a00000000", "SET SESSION rand_seed1 = 1058351167, rand_seed2 = 180310061"),
            (5, "020500000000000000", "SET SESSION insert_id = 5"),
        ];
        for (code, hex, want) in logged {
            assert_eq!(said(code, hex).as_deref(), Some(want));
            // What is cut off is never guessed.
            for cut in (0..hex.len() - 2).step_by(2).filter(|cut| hex != logged[5].1 || *cut < hex.len() - 4) {
                assert_ne!(said(code, &hex[..cut]).as_deref(), Some(want), "{cut}");
            }
        }
        assert_eq!(said(14, "010000007800006300000003000000616263"), None, "a collation that the server does not have");
    }

    #[test]
    fn decimals_of_any_size_and_sign() {
        for (hex, want) in [
            ("03028117", "1.23"),
            ("03027ee8", "-1.23"),
            ("0202e3", "0.99"),
            ("140a810dfb38d2075bcd1501", "1234567890.1234567891"),
            ("0a00810dfb38d2", "1234567890"),
        ] {
            let bytes: Vec<u8> =
                (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
            assert_eq!(decimal(&bytes).as_deref(), Some(want), "{hex}");
            assert_eq!(decimal(&bytes[..bytes.len() - 1]), None, "{hex}");
        }
    }
}
