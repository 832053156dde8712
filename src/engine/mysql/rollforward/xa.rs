//! Names of XA transactions, as events have them and as statements write them.

use super::variables::hex;

/// `X'…',X'…',N` as MariaDB's event has it behind its flags.
pub fn of_mariadb(body: &[u8]) -> Option<String> {
    const GROUP_COMMIT: u8 = 2;
    let at = 13 + if body.get(12)? & GROUP_COMMIT != 0 { 8 } else { 0 };
    let format = u32::from_le_bytes(*body.get(at..)?.first_chunk()?);
    let (first, second) = (usize::from(*body.get(at + 4)?), usize::from(*body.get(at + 5)?));
    named(format, body.get(at + 6..)?, first, second)
}

/// The same as both products' XA PREPARE has it.
pub fn prepared(body: &[u8]) -> Option<String> {
    let word = |at: usize| Some(u32::from_le_bytes(*body.get(at..)?.first_chunk()?));
    named(word(0)?, body.get(12..)?, usize::try_from(word(4)?).ok()?, usize::try_from(word(8)?).ok()?)
}

fn named(format: u32, data: &[u8], first: usize, second: usize) -> Option<String> {
    let (gtrid, bqual) = (data.get(..first)?, data.get(first..first.checked_add(second)?)?);
    Some(format!("X'{}',X'{}',{format}", hex(gtrid), hex(bqual)))
}
