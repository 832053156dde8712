use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::domain::digest::Digest;

#[path = "group_tests.rs"]
mod of_groups;

/// Short logs of real servers, with checksums.
const REAL: [&[u8]; 2] =
    [include_bytes!("../../../../fuzz/corpus/binlog/mariadb"), include_bytes!("../../../../fuzz/corpus/binlog/mysql")];
const XA: &[u8] = include_bytes!("../../../../fuzz/corpus/binlog/mariadb-xa");
const PAYLOAD: &[u8] = include_bytes!("../../../../fuzz/corpus/binlog/mysql-payload");
const UUID: [u8; 16] = [0xaa; 16];

/// A log that is made here.
struct Log {
    bytes: Vec<u8>,
    offset: u64,
    has_checksums: bool,
}

impl Log {
    fn of(version: &str) -> Self {
        Self::with(version, true)
    }

    fn with(version: &str, has_checksums: bool) -> Self {
        let mut log = Self { bytes: MAGIC.to_vec(), offset: 4, has_checksums: true };
        let mut body = vec![4, 0];
        body.extend(version.as_bytes());
        body.resize(52, 0);
        body.extend([0, 0, 0, 0, 19]);
        body.extend([0; 40]);
        body.push(u8::from(has_checksums));
        log.event(15, &body);
        log.has_checksums = has_checksums;
        log
    }

    fn mariadb() -> Self {
        Self::of("10.11.19-MariaDB-log")
    }

    fn mysql() -> Self {
        Self::of("9.7.4")
    }

    fn event(&mut self, code: u8, body: &[u8]) {
        self.event_with(code, body, 0);
    }

    fn event_with(&mut self, code: u8, body: &[u8], flags: u16) {
        let size = 19 + body.len() + if self.has_checksums { 4 } else { 0 };
        self.raw(code, body, flags, self.offset + size as u64);
        self.offset += size as u64;
    }

    /// One that says that it ends at `end`.
    fn raw(&mut self, code: u8, body: &[u8], flags: u16, end: u64) {
        let size = u32::try_from(19 + body.len() + if self.has_checksums { 4 } else { 0 }).unwrap();
        let mut event = 1_700_000_000_u32.to_le_bytes().to_vec();
        event.push(code);
        event.extend(7_u32.to_le_bytes());
        event.extend(size.to_le_bytes());
        event.extend(u32::try_from(end & u64::from(u32::MAX)).unwrap().to_le_bytes());
        event.extend(flags.to_le_bytes());
        event.extend(body);
        if self.has_checksums {
            let mut crc = Crc::new();
            crc.update(&event);
            event.extend(crc.sum().to_le_bytes());
        }
        self.bytes.extend(event);
    }

    /// The event that begins a transaction of MariaDB, or a statement of its own.
    fn begin(&mut self, sequence: u64, standalone: bool) {
        self.begin_with(sequence, standalone, 0);
    }

    fn begin_with(&mut self, sequence: u64, standalone: bool, further: u8) {
        let mut body = sequence.to_le_bytes().to_vec();
        body.extend([0, 0, 0, 0, u8::from(standalone), further, 0, 0, 0, 0, 0]);
        self.event(162, &body);
    }

    /// That of MySQL, at a microsecond.
    fn begin_mysql(&mut self, number: u64, committed: u64) {
        let mut body = vec![0];
        body.extend(UUID);
        body.extend(number.to_le_bytes());
        body.push(2);
        body.extend([0; 16]);
        body.extend(&committed.to_le_bytes()[..7]);
        self.event(33, &body);
    }

    fn query(&mut self, sql: &str) {
        self.query_with(sql, 0);
    }

    fn query_with(&mut self, sql: &str, flags: u16) {
        let mut body = vec![0; 8];
        body.extend([1, 0, 0, 0, 0]);
        body.extend(b"d\0");
        body.extend(sql.as_bytes());
        self.event_with(2, &body, flags);
    }

    /// A table with one column of one byte.
    fn map(&mut self, id: u8, name: &str, flags: u8) {
        let mut body = vec![id, 0, 0, 0, 0, 0, flags, 0, 1, b'd', 0, u8::try_from(name.len()).unwrap()];
        body.extend(name.as_bytes());
        body.extend([0, 1, 1, 0, 1]);
        self.event(19, &body);
    }

    fn rows(&mut self, code: u8, id: u8, count: usize, flags: u8) {
        let mut body = vec![id, 0, 0, 0, 0, 0, flags, 0];
        if code >= 30 {
            body.extend([2, 0]);
        }
        body.extend([1, 0xff]);
        if matches!(code, 24 | 31) {
            body.push(0xff);
        }
        body.extend([0, 9].repeat(count));
        self.event(code, &body);
    }

    fn commit(&mut self) {
        self.event(16, &[0; 8]);
    }

    fn scan(&self) -> Result<Scanned> {
        scan(&self.bytes, 4)
    }

    fn changes(&self) -> Changes {
        self.scan().unwrap().changes()
    }

    /// What is wrong with it.
    fn damage(&self) -> String {
        damage(&self.scan().unwrap_err())
    }
}

fn damage(error: &Error) -> String {
    let broken = error.cause::<Break>().unwrap();
    assert_eq!(broken.kind, BreakKind::Damaged);
    assert!(broken.detail.starts_with("binary log log.000001 is damaged at offset "), "{}", broken.detail);
    broken.detail["binary log log.000001 is damaged at offset ".len()..].to_owned()
}

fn scan(bytes: &[u8], start: u64) -> Result<Scanned> {
    let mut scanner = LogScanner::new("log.000001", start);
    scanner.push(bytes)?;
    scanner.finish()
}

fn groups(bytes: &[u8]) -> Vec<Group> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    let mut scanner = LogScanner::new("log.000001", 4).reporting(move |group| into.lock().unwrap().push(group.clone()));
    scanner.push(bytes).unwrap();
    scanner.finish().unwrap();
    seen.lock().unwrap().clone()
}

#[test]
fn a_flipped_bit_is_an_error_wherever_it_is() {
    for real in REAL {
        let whole = scan(real, 4).unwrap();
        for bit in 0..8 * real.len() {
            let mut bytes = real.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // The server flips this one itself.
            if bit == 8 * (4 + 17) {
                assert_eq!(scan(&bytes, 4).unwrap().changes(), whole.changes());
            } else {
                let found = scan(&bytes, 4);
                assert!(found.is_err(), "bit {bit}");
                damage(&found.unwrap_err());
            }
        }
    }
}

#[test]
fn a_log_that_is_cut_gives_whole_groups_or_an_error() {
    for real in REAL.into_iter().chain([XA, PAYLOAD]) {
        let ends: Vec<u64> = groups(real).iter().map(|group| group.end).collect();
        let mut whole = 0;
        for length in 0..real.len() {
            let mut scanner = LogScanner::new("log.000001", 4);
            scanner.push(&real[..length]).unwrap();
            let (at, end) = (scanner.bytes_to_group_end(), scanner.group_end());
            assert!(at <= length as u64 && end == at);
            let groups = scanner.changes().transactions;
            assert_eq!(groups, ends.iter().filter(|end| **end <= length as u64).count() as u64);
            if let Ok(scanned) = scanner.finish() {
                assert_eq!((scanned.offset, scanned.group_end), (length as u64, end));
                assert!(scanned.changes().bytes <= end);
                whole += 1;
            }
        }
        assert!(whole > 2);
    }
}

#[test]
fn how_a_log_is_cut_into_pieces_does_not_matter() {
    for real in REAL.into_iter().chain([XA, PAYLOAD]) {
        let whole = format!("{:?}", scan(real, 4).unwrap());
        for length in [1, 2, 7, 19, 100] {
            let mut scanner = LogScanner::new("log.000001", 4);
            real.chunks(length).for_each(|piece| scanner.push(piece).unwrap());
            assert_eq!(format!("{:?}", scanner.finish().unwrap()), whole);
        }
    }
}

#[test]
fn a_file_says_who_wrote_it_and_when() {
    let scanned = scan(REAL[0], 4).unwrap();
    let header = &scanned.header;
    assert_eq!((header.server_id, header.server_version.as_str()), (7, "10.11.19-MariaDB-0+deb12u1-log"));
    assert!(header.has_checksums && header.timestamp > 1_700_000_000);
    let log = Log::with("8.0.36", false);
    assert!(!log.scan().unwrap().header.has_checksums);
}

#[test]
fn the_last_group_is_known_by_its_place_and_its_bytes() {
    let mut log = Log::mariadb();
    log.event(161, &[0; 8]);
    let begin = log.bytes.len();
    log.begin(5, true);
    log.query("CREATE TABLE t (a INT)");
    let end = log.bytes.len();
    log.event(161, &[0; 8]);
    let scanned = log.scan().unwrap();
    let want = LastGroup { offset: begin as u64, digest: Digest::of(&log.bytes[begin..end]) };
    assert_eq!(scanned.last_group, Some(want));
    assert_eq!((scanned.group_end, scanned.changes().bytes), (log.offset, (end - begin) as u64));
    assert_eq!(scanned.gtids().to_string(), "0-7-5");
    assert_eq!(Log::mariadb().scan().unwrap().last_group, None);
}

#[test]
fn a_place_in_the_middle_is_where_the_file_was_asked_for() {
    let mut log = Log::mariadb();
    log.begin(1, true);
    log.query("TRUNCATE a");
    let start = log.offset;
    log.begin(2, true);
    log.query("TRUNCATE b");
    let description = 4 + u64::from(u32::from_le_bytes(log.bytes[13..17].try_into().unwrap()));
    let part = |start: u64| {
        let mut bytes = log.bytes[..usize::try_from(description).unwrap()].to_vec();
        bytes.extend(&log.bytes[usize::try_from(start).unwrap()..]);
        bytes
    };
    let whole = scan(&part(start), start).unwrap();
    assert_eq!((whole.offset, whole.changes().tables.len()), (log.offset, 1));
    assert!(scan(&part(start), 4).is_err() && scan(&part(start), start + 1).is_err());
    assert!(damage(&scan(&part(description), 5).unwrap_err()).contains("no event begins at 5"));
    // From here on the server made the description for one reader: without a position.
    let mut made = part(start);
    made[17..21].fill(0);
    let mut crc = Crc::new();
    let end = usize::try_from(description).unwrap();
    crc.update(&made[4..end - 4]);
    made[end - 4..end].copy_from_slice(&crc.sum().to_le_bytes());
    assert_eq!(scan(&made, start).unwrap().changes(), whole.changes());
    made[end - 1] ^= 1;
    assert!(scan(&made, start).is_err(), "its checksum counts");
}

#[test]
fn what_is_no_log_is_said_to_be_none() {
    assert!(damage(&scan(b"hello", 4).unwrap_err()).ends_with("it is no binary log"));
    assert!(damage(&scan(b"\xfdbin", 4).unwrap_err()).ends_with("it is encrypted; only the server can read it"));
    assert!(damage(&scan(b"", 4).unwrap_err()).ends_with("it ends in the middle of an event"));
    assert!(damage(&scan(b"\xfebin", 4).unwrap_err()).ends_with("it ends in the middle of an event"));
    let mut first = Log { bytes: MAGIC.to_vec(), offset: 4, has_checksums: true };
    first.begin(1, true);
    assert!(first.damage().ends_with("it does not begin with a format description"));
    let mut twice = Log::mysql();
    let (from, to) = (4, twice.bytes.len());
    let again = twice.bytes[from..to].to_vec();
    twice.bytes.extend(again);
    assert!(twice.damage().ends_with("a second format description"));
    let mut scanner = LogScanner::new("log.000001", 4);
    assert!(scanner.push(b"hello").is_err());
    assert!(damage(&scanner.push(REAL[0]).unwrap_err()).ends_with("it was damaged before"));
}

#[test]
fn events_follow_each_other_without_a_gap() {
    let mut gap = Log::mariadb();
    gap.begin(1, true);
    gap.query("TRUNCATE a");
    gap.offset += 40;
    gap.begin(2, true);
    assert!(gap.damage().contains("an event says that it ends at"));
    // Positions have four bytes, files may have more.
    let (mut long, start) = (Log::mariadb(), 0xffff_ffd0);
    long.offset = start;
    long.begin(1, true);
    long.query("TRUNCATE a");
    assert_eq!(scan(&long.bytes, start).unwrap().offset, long.offset);
    assert!(long.offset > u64::from(u32::MAX));
}

#[test]
fn what_the_server_made_for_one_reader_is_in_no_file() {
    let mut log = Log::mysql();
    log.raw(4, b"\x04\0\0\0\0\0\0\0log.000001", ARTIFICIAL, 0);
    log.begin_mysql(1, 5);
    log.query("BEGIN");
    log.raw(27, b"log.000001", 0, 12345);
    log.map(1, "t", 0);
    log.rows(30, 1, 3, 1);
    log.commit();
    let (with, begin) = (log.scan().unwrap(), 4 + 19 + 98 + 4);
    assert_eq!((with.offset, with.next_file.as_deref()), (log.offset, None));
    let mut plain = Log::mysql();
    assert_eq!(plain.offset, begin);
    plain.begin_mysql(1, 5);
    plain.query("BEGIN");
    plain.map(1, "t", 0);
    plain.rows(30, 1, 3, 1);
    plain.commit();
    let without = plain.scan().unwrap();
    assert_eq!(
        (with.last_group.clone(), with.changes(), with.offset),
        (without.last_group.clone(), without.changes(), without.offset)
    );
    // How a file was encrypted is told to everybody.
    let mut encrypted = Log::mariadb();
    encrypted.raw(164, &[1; 17], IGNORABLE, 0);
    assert_eq!(encrypted.scan().unwrap().offset, encrypted.offset);
    encrypted.event_with(164, &[1; 17], IGNORABLE);
    encrypted.event(163, &[0; 4]);
    assert_eq!(encrypted.scan().unwrap().offset, encrypted.offset);
    // An ordinary event without a position is none of them.
    let mut zero = Log::mysql();
    zero.raw(4, b"\x04\0\0\0\0\0\0\0log.000001", 0, 0);
    assert!(zero.scan().is_err());
}

#[test]
fn a_file_says_where_the_server_went_on() {
    let mut log = Log::mysql();
    log.event(4, b"\x04\0\0\0\0\0\0\0log.000002");
    assert_eq!(log.scan().unwrap().next_file.as_deref(), Some("log.000002"));
    let mut log = Log::mysql();
    log.event(3, b"");
    let scanned = log.scan().unwrap();
    assert_eq!((scanned.next_file, scanned.has_stopped), (None, true));
}

#[test]
fn lost_events_and_unknown_ones_are_errors() {
    let mut lost = Log::mysql();
    lost.event(26, b"\x01\0\x0alost events");
    assert!(lost.damage().ends_with("the server lost events here (incident)"));
    let mut unknown = Log::mysql();
    unknown.event(99, b"");
    assert!(unknown.damage().ends_with("an event is of kind 99, which this version does not know"));
    let mut ignorable = Log::mysql();
    ignorable.event_with(99, b"x", IGNORABLE);
    assert_eq!(ignorable.scan().unwrap().group_end, ignorable.offset);
    let mut short = Log::mysql();
    let at = short.bytes.len();
    short.event(3, b"");
    short.bytes[at + 9] = 22;
    assert!(short.damage().ends_with("an event is 22 bytes long"));
}

proptest! {
    #[test]
    fn whatever_is_changed_in_a_log_without_checksums_it_is_read_the_same_in_any_pieces(
        is_payload in any::<bool>(),
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        end in any::<Index>(),
    ) {
        // Behind the format description, which has a checksum always.
        let mut bytes = if is_payload { PAYLOAD } else { XA }.to_vec();
        for (at, byte) in changes {
            let at = 300 + at.index(bytes.len() - 300);
            bytes[at] = byte;
        }
        bytes.truncate(300 + end.index(bytes.len() - 299));
        crate::engine::mysql::binlog::fuzzing::binlog(&bytes);
    }
}
