//! Which table the next rows belong to, and how many bytes its values take.

/// The type that stands for all texts of fixed length; what it really is stands in its metadata.
const STRING: u8 = 254;
/// MySQL: a foreign key refers to a table of the statement.
pub const HAS_PARENT: u16 = 0x2;
/// What the servers allow; what has more is no map.
const MOST_COLUMNS: u64 = 4096;

/// How many bytes a value takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many.
    Fixed(u32),
    /// As many as a number of this many bytes in front of it says.
    Prefixed(u8),
}

/// A table map event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMap {
    /// Number by which rows name it.
    pub id: u64,
    pub flags: u16,
    pub database: String,
    pub table: String,
    /// None where a column's type is not known: nothing can be counted.
    pub columns: Option<Vec<Size>>,
    /// How many of them are JSON of MySQL.
    pub json: usize,
}

impl TableMap {
    /// The body of an event; none where it is none.
    #[allow(clippy::naive_bytecount)] // there are a few dozen
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut rest = body;
        let id = id(take(&mut rest, 6)?);
        let flags = u16::from_le_bytes(take(&mut rest, 2)?.try_into().ok()?);
        let database = name(&mut rest)?;
        let table = name(&mut rest)?;
        let count = packed(&mut rest).filter(|count| *count <= MOST_COLUMNS)?;
        let types = take(&mut rest, usize::try_from(count).ok()?)?;
        let length = usize::try_from(packed(&mut rest)?).ok()?;
        let metadata = take(&mut rest, length)?;
        let json = types.iter().filter(|code| **code == 245).count();
        Some(Self { id, flags, database, table, columns: sizes(types, metadata), json })
    }
}

/// Six bytes as a number.
pub fn id(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |id, byte| id << 8 | u64::from(*byte))
}

/// The next bytes, taken off.
pub fn take<'r>(rest: &mut &'r [u8], length: usize) -> Option<&'r [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

/// A number of one to nine bytes.
pub fn packed(rest: &mut &[u8]) -> Option<u64> {
    let length = match take(rest, 1)?[0] {
        small @ 0..=250 => return Some(u64::from(small)),
        252 => 2,
        253 => 3,
        254 => 8,
        _ => return None,
    };
    Some(id(take(rest, length)?))
}

/// A name with its length in front and a zero behind.
fn name(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(packed(rest)?).ok()?;
    let name = String::from_utf8_lossy(take(rest, length)?).into_owned();
    (take(rest, 1)? == [0]).then_some(name)
}

fn sizes(types: &[u8], metadata: &[u8]) -> Option<Vec<Size>> {
    let mut rest = metadata;
    let sizes = types.iter().map(|code| size(*code, &mut rest)).collect::<Option<Vec<Size>>>()?;
    rest.is_empty().then_some(sizes)
}

/// Of a column with this type; takes its metadata off.
fn size(code: u8, rest: &mut &[u8]) -> Option<Size> {
    let mut meta = |length: usize| take(rest, length);
    let long = |length: u16| Size::Prefixed(if length > 255 { 2 } else { 1 });
    // Fractions of a second: a byte per two digits.
    let fraction = |meta: &[u8]| u32::from(meta[0]).div_ceil(2);
    Some(match code {
        // TINYINT, YEAR; SMALLINT; MEDIUMINT, DATE, TIME; INT, TIMESTAMP; BIGINT, DATETIME, all without fractions.
        1 | 13 => Size::Fixed(1),
        2 => Size::Fixed(2),
        9..=11 | 14 => Size::Fixed(3),
        3 | 7 => Size::Fixed(4),
        8 | 12 => Size::Fixed(8),
        6 => Size::Fixed(0),
        // FLOAT and DOUBLE say it themselves.
        4 | 5 => Size::Fixed(u32::from(meta(1)?[0])),
        17 => Size::Fixed(4 + fraction(meta(1)?)),
        18 => Size::Fixed(5 + fraction(meta(1)?)),
        19 => Size::Fixed(3 + fraction(meta(1)?)),
        // VARCHAR, and MariaDB's compressed ones.
        15 | 141 | 253 => long(u16::from_le_bytes(meta(2)?.try_into().ok()?)),
        16 => {
            let meta = meta(2)?;
            Size::Fixed(u32::from(meta[1]) + u32::from(meta[0] > 0))
        }
        246 => decimal(meta(2)?),
        247 | 248 => Size::Fixed(u32::from(meta(2)?[1])),
        STRING => match *meta(2)? {
            // ENUM and SET.
            [247 | 248, bytes] => Size::Fixed(u32::from(bytes)),
            // The upper bits of a length above 255 are hidden in the type.
            [kind, low] => long(u16::from(low) | u16::from(kind & 0x30 ^ 0x30) << 4),
            _ => return None,
        },
        // BLOB and TEXT, MariaDB's compressed ones, VECTOR, JSON, GEOMETRY: how many bytes their length takes.
        140 | 242 | 245 | 249..=252 | 255 => match meta(1)?[0] {
            bytes @ 1..=4 => Size::Prefixed(bytes),
            _ => return None,
        },
        _ => return None,
    })
}

/// DECIMAL: nine digits take four bytes, fewer take less.
fn decimal(meta: &[u8]) -> Size {
    const BYTES: [u32; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
    let (all, fraction) = (u32::from(meta[0]), u32::from(meta[1]));
    let part = |digits: u32| digits / 9 * 4 + BYTES[(digits % 9) as usize];
    Size::Fixed(part(all.saturating_sub(fraction)) + part(fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(code: u8, meta: &[u8]) -> Option<Size> {
        sizes(&[code], meta).map(|sizes| sizes[0])
    }

    #[test]
    fn every_type_takes_the_bytes_that_the_servers_give_it() {
        let fixed: [(u8, &[u8], u32); 30] = [
            (1, &[], 1),
            (2, &[], 2),
            (3, &[], 4),
            (4, &[4], 4),
            (5, &[8], 8),
            (6, &[], 0),
            (7, &[], 4),
            (8, &[], 8),
            (9, &[], 3),
            (10, &[], 3),
            (11, &[], 3),
            (12, &[], 8),
            (13, &[], 1),
            (14, &[], 3),
            (16, &[0, 2], 2),
            (16, &[1, 2], 3),
            (17, &[0], 4),
            (17, &[3], 6),
            (18, &[6], 8),
            (18, &[1], 6),
            (19, &[5], 6),
            (246, &[20, 7], 10),
            (246, &[9, 0], 4),
            (246, &[65, 30], 30),
            (246, &[5, 5], 3),
            (247, &[0, 2], 2),
            (248, &[0, 8], 8),
            (254, &[247, 1], 1),
            (254, &[248, 4], 4),
            (254, &[247, 2], 2),
        ];
        for (code, meta, bytes) in fixed {
            assert_eq!(one(code, meta), Some(Size::Fixed(bytes)), "{code} {meta:?}");
        }
        let prefixed: [(u8, &[u8], u8); 16] = [
            (15, &[255, 0], 1),
            (15, &[0, 1], 2),
            (141, &[255, 0], 1),
            (141, &[0, 1], 2),
            (253, &[1, 1], 2),
            (254, &[254, 255], 1),
            // CHAR(200) of utf8mb4: 800 bytes.
            (254, &[0xce, 0x20], 2),
            (254, &[0xee, 0], 2),
            (140, &[2], 2),
            (242, &[4], 4),
            (245, &[4], 4),
            (249, &[1], 1),
            (250, &[3], 3),
            (251, &[4], 4),
            (252, &[2], 2),
            (255, &[4], 4),
        ];
        for (code, meta, bytes) in prefixed {
            assert_eq!(one(code, meta), Some(Size::Prefixed(bytes)), "{code} {meta:?}");
        }
        for (code, meta) in
            [(252, &[5][..]), (252, &[0]), (252, &[]), (15, &[1]), (244, &[]), (0, &[]), (243, &[]), (3, &[1])]
        {
            assert_eq!(one(code, meta), None, "{code} {meta:?}");
        }
    }

    #[test]
    fn numbers_are_packed_by_their_first_byte() {
        let read = |bytes: &[u8]| {
            let mut rest = bytes;
            packed(&mut rest).filter(|_| rest.is_empty())
        };
        assert_eq!(read(&[250]), Some(250));
        assert_eq!(read(&[252, 1, 2]), Some(0x201));
        assert_eq!(read(&[253, 1, 2, 3]), Some(0x03_0201));
        assert_eq!(read(&[254, 1, 0, 0, 0, 0, 0, 0, 2]), Some(0x0200_0000_0000_0001));
        for bad in [&[251][..], &[255], &[], &[252, 1], &[253, 1, 2], &[254, 1]] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_map_names_its_table_and_its_columns() {
        let body = b"\x01\x00\x00\x00\x00\x02\x03\x00\x03app\x00\x02t`\x00\x02\x03\x0f\x02\x64\x00\x00";
        let map = TableMap::read(body).unwrap();
        assert_eq!((map.id, map.flags, map.database.as_str(), map.table.as_str()), (0x0200_0000_0001, 3, "app", "t`"));
        assert_eq!((map.columns, map.json), (Some(vec![Size::Fixed(4), Size::Prefixed(1)]), 0));
        for end in 0..body.len() - 1 {
            assert_eq!(TableMap::read(&body[..end]), None, "{end}");
        }
        let mut odd = body.to_vec();
        odd[19] = 244;
        assert_eq!(TableMap::read(&odd).unwrap().columns, None, "a type that is not known");
        odd[19] = 245;
        odd.splice(20..23, [1, 4]);
        assert_eq!(TableMap::read(&odd).unwrap().json, 1);
    }
}
