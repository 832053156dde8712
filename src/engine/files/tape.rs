//! The archive's format: POSIX tar with PAX records for what the old header cannot hold.
//!
//! Headers are the `tar` crate's; the records are ours, because names and attributes may hold line ends, which its
//! reader takes for the end of a record.

use std::collections::BTreeMap;
use std::io::{self, Read};

use tar::{EntryType, Header};

use super::entry::{Entry, Kind};
use super::text::Name;

/// Size of the pieces a tar is made of.
pub const BLOCK: usize = 512;
/// Longest set of records that is read: more than a hundred attributes of the greatest size.
const LONGEST_RECORDS: u64 = 16 * 1024 * 1024;
/// No file system holds a longer file.
const LONGEST_FILE: u64 = i64::MAX.unsigned_abs();
/// Where attributes are among the records.
const XATTR: &str = "SCHILY.xattr.";
/// Largest number that fits the eleven octal digits of a header.
const LARGEST_OCTAL: u64 = 0o777_7777_7777;
/// Largest owner or device number that fits the seven octal digits of a header.
const LARGEST_OWNER: u32 = 0o777_7777;

/// Names of users or groups by number.
#[derive(Debug, Default)]
pub struct Accounts(BTreeMap<u32, String>);

impl Accounts {
    /// Of a file such as `/etc/passwd`.
    pub fn read(file: &str) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let named = text.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            // The header has room for no more.
            (name.len() < 32).then_some((fields.nth(1)?.parse().ok()?, name.to_owned()))
        });
        Self(named.collect())
    }

    fn name(&self, id: u32) -> &str {
        self.0.get(&id).map_or("", String::as_str)
    }
}

/// The bytes in front of an entry's data: records where needed, and the header.
pub fn header(entry: &Entry, users: &Accounts, groups: &Accounts) -> io::Result<Vec<u8>> {
    let mut path = if entry.path.0.is_empty() { b".".to_vec() } else { entry.path.0.clone() };
    if entry.kind == Kind::Directory {
        path.push(b'/');
    }
    let link = entry.hard_link.as_ref().or(entry.target.as_ref()).map_or(&[][..], |link| &link.0);
    let size = if entry.hard_link.is_some() { 0 } else { entry.size };
    let mut out = Vec::new();
    let records = records(entry, &path, link, size);
    if !records.is_empty() {
        let mut extended = Header::new_ustar();
        extended.set_entry_type(EntryType::XHeader);
        extended.set_size(records.len() as u64);
        extended.set_mode(0o600);
        name(&mut extended.as_old_mut().name, b"PaxHeaders/records");
        extended.set_cksum();
        out.extend_from_slice(extended.as_bytes());
        out.extend_from_slice(&records);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    let mut header = Header::new_ustar();
    header.set_entry_type(match (entry.kind, &entry.hard_link) {
        (_, Some(_)) => EntryType::Link,
        (Kind::Directory, _) => EntryType::Directory,
        (Kind::File, _) => EntryType::Regular,
        (Kind::Symlink, _) => EntryType::Symlink,
        (Kind::Fifo, _) => EntryType::Fifo,
        (Kind::Character, _) => EntryType::Char,
        (Kind::Block, _) => EntryType::Block,
    });
    header.set_mode(if entry.kind == Kind::Symlink { 0o777 } else { entry.mode });
    header.set_uid(entry.uid.min(LARGEST_OWNER).into());
    header.set_gid(entry.gid.min(LARGEST_OWNER).into());
    header.set_username(users.name(entry.uid))?;
    header.set_groupname(groups.name(entry.gid))?;
    header.set_size(size.min(LARGEST_OCTAL));
    header.set_mtime(u64::try_from(entry.mtime.0).unwrap_or(0).min(LARGEST_OCTAL));
    if let Some((major, minor)) = entry.device {
        // What does not fit would be cut off. No kernel has such numbers.
        if major.max(minor) > LARGEST_OWNER {
            return Err(bad(format!("device {} has a number that no archive can hold", entry.path)));
        }
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
    }
    name(&mut header.as_old_mut().name, &path);
    name(&mut header.as_old_mut().linkname, link);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    Ok(out)
}

fn name(field: &mut [u8; 100], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

/// The records of what the header cannot say.
fn records(entry: &Entry, path: &[u8], link: &[u8], size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    if path.len() > 100 {
        record(&mut out, b"path", path);
    }
    if link.len() > 100 {
        record(&mut out, b"linkpath", link);
    }
    if size > LARGEST_OCTAL {
        record(&mut out, b"size", size.to_string().as_bytes());
    }
    for (key, id) in [(b"uid", entry.uid), (b"gid", entry.gid)] {
        if id > LARGEST_OWNER {
            record(&mut out, key, id.to_string().as_bytes());
        }
    }
    let (seconds, nanoseconds) = entry.mtime;
    if nanoseconds != 0 || !(0..=LARGEST_OCTAL.cast_signed()).contains(&seconds) {
        record(&mut out, b"mtime", time(seconds, nanoseconds).as_bytes());
    }
    if entry.hard_link.is_none() {
        for (attribute, value) in &entry.xattrs {
            record(&mut out, &[XATTR.as_bytes(), &escaped(&attribute.0)].concat(), &value.0);
        }
    }
    out
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend(format!("{length} ").into_bytes());
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// An attribute's name as a part of a key, as GNU tar does it: the first `=` ends the key.
fn escaped(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'%' => out.extend_from_slice(b"%25"),
            b'=' => out.extend_from_slice(b"%3D"),
            other => out.push(*other),
        }
    }
    out
}

/// The name that [`escaped`] wrote.
fn unescaped(mut text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        let meant = [(&b"%25"[..], b'%'), (b"%3D", b'=')].into_iter().find(|(escape, _)| text.starts_with(escape));
        out.push(meant.map_or(*first, |(_, byte)| byte));
        text = meant.map_or(rest, |(escape, _)| &text[escape.len()..]);
    }
    out
}

/// Seconds and the nanoseconds after them as one decimal number.
fn time(seconds: i64, nanoseconds: u32) -> String {
    if seconds < 0 && nanoseconds > 0 {
        return format!("-{}.{:09}", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds);
    }
    format!("{seconds}.{nanoseconds:09}")
}

fn parse_time(text: &str) -> Option<(i64, u32)> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = part.chars().chain(std::iter::repeat('0')).take(9).collect();
    let (seconds, nanoseconds) = (whole.parse::<i64>().ok()?, digits.parse::<u32>().ok()?);
    match (text.starts_with('-'), nanoseconds) {
        (true, 1..) => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds)),
        _ => Some((seconds, nanoseconds)),
    }
}

fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// The next entry of an archive, as it stands there: nothing of it is to be trusted. Its data follows in `from`, padded to
/// blocks. `None` at the end.
pub fn next(from: &mut impl Read) -> io::Result<Option<Entry>> {
    let mut records = BTreeMap::new();
    loop {
        let mut block = [0; BLOCK];
        from.read_exact(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            return if records.is_empty() { Ok(None) } else { Err(bad("records belong to no entry")) };
        }
        let header = Header::from_byte_slice(&block);
        // The field itself counts as spaces.
        let sum: u32 =
            block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum();
        if header.cksum()? != sum || header.as_ustar().is_none() {
            return Err(bad("a header is damaged"));
        }
        if header.entry_type() != EntryType::XHeader {
            return entry(header, &records).map(Some);
        }
        if header.entry_size()? > LONGEST_RECORDS {
            return Err(bad("records are too long"));
        }
        let length = usize::try_from(header.entry_size()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; length.next_multiple_of(BLOCK)];
        from.read_exact(&mut bytes)?;
        records = parse_records(&bytes[..length]).ok_or_else(|| bad("a record is damaged"))?;
    }
}

fn parse_records(mut bytes: &[u8]) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut records = BTreeMap::new();
    while !bytes.is_empty() {
        let digits = bytes.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()?;
        let (record, rest) = (bytes.get(digits + 1..length)?.strip_suffix(b"\n")?, &bytes[length..]);
        let equals = record.iter().position(|byte| *byte == b'=')?;
        records.insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
        bytes = rest;
    }
    Some(records)
}

fn entry(header: &Header, records: &BTreeMap<Vec<u8>, Vec<u8>>) -> io::Result<Entry> {
    let text = |key: &str| records.get(key.as_bytes()).map(|value| String::from_utf8_lossy(value));
    let number = |key: &str, otherwise: u64| match text(key) {
        Some(text) => text.parse().map_err(|_| bad(format!("record `{key}` is not a number"))),
        None => Ok(otherwise),
    };
    let path = records.get(&b"path"[..]).cloned().unwrap_or_else(|| header.path_bytes().into_owned());
    let linked = records.get(&b"linkpath"[..]).cloned();
    let linked = linked.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned)).map(Name);
    let (kind, is_link) = match header.entry_type() {
        EntryType::Directory => (Kind::Directory, false),
        EntryType::Regular => (Kind::File, false),
        EntryType::Link => (Kind::File, true),
        EntryType::Symlink => (Kind::Symlink, false),
        EntryType::Fifo => (Kind::Fifo, false),
        EntryType::Char => (Kind::Character, false),
        EntryType::Block => (Kind::Block, false),
        other => return Err(bad(format!("entry {} is of an unknown type {other:?}", Name(path)))),
    };
    if (is_link || kind == Kind::Symlink) && linked.is_none() {
        return Err(bad(format!("link {} leads nowhere", Name(path))));
    }
    let mtime = match text("mtime") {
        Some(text) => parse_time(&text).ok_or_else(|| bad("record `mtime` is not a time"))?,
        None => (header.mtime()?.try_into().map_err(io::Error::other)?, 0),
    };
    let xattrs = records
        .iter()
        .filter_map(|(key, value)| Some((Name(unescaped(key.strip_prefix(XATTR.as_bytes())?)), Name(value.clone()))));
    let size = if kind == Kind::File && !is_link { number("size", header.entry_size()?)? } else { 0 };
    if size > LONGEST_FILE {
        return Err(bad(format!("entry {} is longer than any file can be", Name(path))));
    }
    let device = if kind.is_device() { header.device_major()?.zip(header.device_minor()?) } else { None };
    Ok(Entry {
        kind,
        mode: if kind == Kind::Symlink { 0 } else { header.mode()? & 0o7777 },
        uid: number("uid", header.uid()?)?.try_into().map_err(io::Error::other)?,
        gid: number("gid", header.gid()?)?.try_into().map_err(io::Error::other)?,
        mtime,
        size,
        sha256: None,
        hard_link: if is_link { linked.clone() } else { None },
        target: if kind == Kind::Symlink { linked } else { None },
        xattrs: xattrs.collect(),
        device,
        path: Name(path),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::files::text::Name;

    fn file() -> Entry {
        Entry::plain("a/f", Kind::File)
    }

    fn again(entry: &Entry) -> io::Result<Option<Entry>> {
        let nobody = Accounts::default();
        next(&mut header(entry, &nobody, &nobody).unwrap().as_slice())
    }

    #[test]
    fn an_attribute_of_any_name_is_read_as_it_was_written() {
        for name in [&b"user.a"[..], b"user.%3D=%", b"user.\xff\xfe", b"user.\xc3", "user.\u{e4}".as_bytes()] {
            let mut entry = file();
            entry.xattrs.insert(Name(name.to_vec()), Name(b"=\n\xff".to_vec()));
            assert_eq!(again(&entry).unwrap(), Some(entry), "{:?}", Name(name.to_vec()));
        }
    }

    #[test]
    fn a_device_number_that_does_not_fit_is_not_cut_off() {
        let of = |device| Entry { kind: Kind::Block, device: Some(device), ..file() };
        let largest = of((4095, 1_048_575));
        assert_eq!(again(&largest).unwrap(), Some(largest));
        let nobody = Accounts::default();
        assert!(
            header(&of((1 << 21, 0)), &nobody, &nobody).is_err()
                && header(&of((0, u32::MAX)), &nobody, &nobody).is_err()
        );
    }

    #[test]
    fn a_file_that_is_longer_than_any_can_be_is_refused() {
        for size in [u64::MAX, u64::MAX - 511, 1 << 63] {
            let read = again(&Entry { size, ..file() });
            assert!(read.is_err(), "{read:?}");
        }
        let largest = Entry { size: i64::MAX.unsigned_abs(), ..file() };
        assert_eq!(again(&largest).unwrap(), Some(largest));
    }
}
