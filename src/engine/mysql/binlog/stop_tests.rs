use std::io::Cursor;

use chrono::DateTime;
use flate2::Crc;

use super::*;

const SECOND: i64 = 1_000_000;

/// A log of MariaDB without checksums, from `start` on: transactions with these numbers and seconds.
fn log(start: u64, transactions: &[(u64, u32)]) -> (Vec<u8>, u64) {
    let event = |code: u8, body: &[u8], second: u32, end: u64| {
        let mut event = second.to_le_bytes().to_vec();
        event.push(code);
        event.extend(7_u32.to_le_bytes());
        event.extend(u32::try_from(19 + body.len()).unwrap().to_le_bytes());
        event.extend(u32::try_from(end).unwrap().to_le_bytes());
        event.extend([0, 0]);
        event.extend(body);
        event
    };
    let mut body = vec![4, 0];
    body.extend(b"10.11.19-MariaDB");
    body.resize(52, 0);
    body.extend([0, 0, 0, 0, 19]);
    body.extend([0; 40]);
    body.extend([0; 5]);
    let mut description = event(15, &body, 1, 4 + 19 + body.len() as u64);
    let length = description.len();
    let mut crc = Crc::new();
    crc.update(&description[..length - 4]);
    description[length - 4..].copy_from_slice(&crc.sum().to_le_bytes());
    let mut bytes = [b"\xfebin", description.as_slice()].concat();
    let mut offset = start.max(bytes.len() as u64);
    for (number, second) in transactions {
        let mut gtid = number.to_le_bytes().to_vec();
        gtid.extend([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        let mut query = vec![0; 8];
        query.extend([1, 0, 0, 0, 0]);
        query.extend(b"d\0TRUNCATE t");
        for (code, body) in [(162, gtid), (2, query)] {
            offset += 19 + body.len() as u64;
            bytes.extend(event(code, &body, *second, offset));
        }
    }
    (bytes, offset)
}

/// Two increments: the first ends in the middle of the second file.
struct Chain {
    files: Vec<(usize, usize, &'static str, u64, Vec<u8>)>,
    /// Where each transaction begins, and where the last one ends.
    places: Vec<(&'static str, u64)>,
}

const LENGTH: u64 = 19 + 19 + 19 + 8 + 5 + 2 + 10;
const HEAD: u64 = 4 + 19 + 102;

fn chain() -> Chain {
    let (one, end) = log(4, &[(1, 100), (2, 110)]);
    assert_eq!(end, HEAD + 2 * LENGTH);
    let (two, middle) = log(4, &[(3, 120)]);
    let (three, last) = log(middle, &[(5, 130), (6, 140)]);
    let places = vec![
        ("log.1", HEAD),
        ("log.1", HEAD + LENGTH),
        ("log.2", HEAD),
        ("log.2", middle),
        ("log.2", middle + LENGTH),
        ("log.2", last),
    ];
    Chain { files: vec![(0, 0, "log.1", 4, one), (0, 1, "log.2", 4, two), (1, 0, "log.2", middle, three)], places }
}

fn find_in(chain: &Chain, until: &Until) -> Result<Stop> {
    let files = chain.files.iter().map(|(increment, file, name, start, bytes)| {
        let content = Box::new(Cursor::new(bytes.clone()));
        Ok(LogFile { increment: *increment, file: *file, name: (*name).to_owned(), start: *start, content })
    });
    find(files, until)
}

fn number(stop: &Stop) -> Option<String> {
    stop.left_out.as_ref().and_then(|group| group.gtid.as_ref()).map(ToString::to_string)
}

fn before(file: &str, offset: u64) -> Until {
    Until::Before { file: file.to_owned(), offset }
}

fn time(micros: i64) -> Until {
    Until::Time(DateTime::from_timestamp_micros(micros).unwrap())
}

#[test]
fn everything_is_replayed_unless_something_else_is_said() {
    let chain = chain();
    let stop = find_in(&chain, &Until::End).unwrap();
    assert_eq!((stop.increment, stop.file, stop.name.as_str(), stop.offset), (1, 0, "log.2", chain.places[5].1));
    assert_eq!((stop.bytes, stop.left_out, stop.notes), (chain.files[2].4.len() as u64, None, Vec::new()));
    assert!(find(std::iter::empty(), &Until::End).is_err());
}

#[test]
fn a_place_is_in_front_of_the_transaction_that_begins_there_or_contains_it() {
    let chain = chain();
    let numbers = ["0-7-1", "0-7-2", "0-7-3", "0-7-5", "0-7-6"];
    for (at, want) in numbers.iter().enumerate() {
        let (file, offset) = chain.places[at];
        for place in [offset, offset + 1, offset + LENGTH - 1] {
            let stop = find_in(&chain, &before(file, place)).unwrap();
            assert_eq!(
                (number(&stop).as_deref(), stop.offset, stop.name.as_str()),
                (Some(*want), offset, file),
                "{file}:{place}"
            );
            let bytes = &chain.files[usize::from(at > 1) + usize::from(at > 2)].4;
            let cut = usize::try_from(stop.bytes).unwrap();
            assert_eq!(bytes[cut + 4], 162, "there the transaction begins");
        }
    }
    // The end of a file is in front of what comes in the next one.
    let stop = find_in(&chain, &before("log.1", HEAD + 2 * LENGTH)).unwrap();
    assert_eq!((number(&stop).as_deref(), stop.increment, stop.file, stop.bytes), (Some("0-7-3"), 0, 1, HEAD));
    let stop = find_in(&chain, &before("log.2", chain.places[5].1)).unwrap();
    assert_eq!((stop.left_out, stop.offset), (None, chain.places[5].1));
    assert_eq!(number(&find_in(&chain, &before("log.1", 4)).unwrap()).as_deref(), Some("0-7-1"));
}

#[test]
fn a_place_that_is_not_there_is_refused_with_what_is() {
    let mut chain = chain();
    let refused = |chain: &Chain, until: &Until| find_in(chain, until).unwrap_err().to_string();
    let end = chain.places[5].1;
    let text = refused(&chain, &before("log.2", end + 1));
    assert_eq!(
        text,
        format!(
            "cannot stop before log.2:{}: it is not in the increments, which begin at log.1:4; they end at log.2:{end}",
            end + 1
        )
    );
    assert!(
        refused(&chain, &before("log.1", HEAD + 2 * LENGTH + 1))
            .ends_with(&format!("; log.1 ends at {}", HEAD + 2 * LENGTH))
    );
    assert!(refused(&chain, &before("log.3", 4)).ends_with(&format!("they end at log.2:{end}")));
    chain.files.drain(..2);
    assert!(
        refused(&chain, &before("log.2", HEAD)).ends_with(&format!("; log.2 begins at {} in them", chain.places[3].1))
    );
}

#[test]
fn a_gtid_is_found_or_its_neighbours_are_named() {
    let chain = chain();
    let stop = find_in(&chain, &Until::BeforeGtid("0-7-5".to_owned())).unwrap();
    assert_eq!((number(&stop).as_deref(), stop.increment, stop.offset), (Some("0-7-5"), 1, chain.places[3].1));
    let missing = find_in(&chain, &Until::BeforeGtid("0-7-4".to_owned())).unwrap_err();
    assert_eq!(missing.hint_text(), Some("the nearest transactions are 0-7-3 and 0-7-5"));
    assert!(missing.to_string().starts_with("cannot stop before GTID 0-7-4: it is not in the increments"));
    let later = find_in(&chain, &Until::BeforeGtid("0-7-9".to_owned())).unwrap_err();
    assert_eq!(later.hint_text(), Some("the nearest transactions are 0-7-6"));
    assert_eq!(find_in(&chain, &Until::BeforeGtid("1-7-4".to_owned())).unwrap_err().hint_text(), None);
    assert!(
        find_in(&chain, &Until::BeforeGtid("x".to_owned())).unwrap_err().to_string().starts_with("cannot read GTID x")
    );
}

#[test]
fn a_time_is_in_front_of_the_first_transaction_that_was_committed_later() {
    let chain = chain();
    for (micros, want) in [
        (99 * SECOND, Some("0-7-1")),
        (100 * SECOND, Some("0-7-2")),
        (110 * SECOND - 1, Some("0-7-2")),
        (125 * SECOND, Some("0-7-5")),
        (140 * SECOND, None),
    ] {
        let stop = find_in(&chain, &time(micros)).unwrap();
        assert_eq!((number(&stop).as_deref(), stop.notes), (want, Vec::new()), "{micros}");
    }
}

#[test]
fn times_that_a_session_made_up_are_told() {
    let (bytes, _) = log(4, &[(1, 100), (2, 2_000_000_000), (3, 110), (4, 120)]);
    let chain = Chain { files: vec![(0, 0, "log.1", 4, bytes)], places: Vec::new() };
    let stop = find_in(&chain, &time(115 * SECOND)).unwrap();
    assert_eq!(number(&stop).as_deref(), Some("0-7-2"));
    assert!(stop.notes[0].starts_with("1 transactions behind the stop"), "{:?}", stop.notes);
    let stop = find_in(&chain, &time(3_000_000_000 * SECOND)).unwrap();
    assert!(
        stop.notes[0].starts_with(&format!("commit times go back at log.1:{}", HEAD + 2 * LENGTH)),
        "{:?}",
        stop.notes
    );
    assert_eq!(find_in(&chain, &Until::End).unwrap().notes, [""; 0]);
}

#[test]
fn what_is_damaged_or_has_no_end_is_an_error() {
    let mut chain = chain();
    let whole = chain.files[2].4.clone();
    chain.files[2].4.truncate(whole.len() - 41);
    let error = find_in(&chain, &Until::End).unwrap_err().to_string();
    assert!(error.contains("has no end") || error.contains("in the middle of an event"), "{error}");
    chain.files[2].4 = whole;
    chain.files[1].4[20] ^= 1;
    assert!(find_in(&chain, &Until::End).is_err());
    assert!(find_in(&chain, &before("log.1", HEAD)).is_ok(), "what comes behind is not read");
}
