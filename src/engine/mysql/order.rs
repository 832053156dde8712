//! In which order a stream is replayed. The dump client goes from database to database, but a column's default may take
//! its value from a sequence of a database that comes later, and a function may use a library of one; a plain
//! `mysql < dump.sql` fails there. So all databases, sequences and libraries are made before the first table; nothing they
//! contain refers to anything else.

use crate::domain::manifest::{Inventory, ObjectKind, Segment, SegmentKind};
use crate::error::Result;

/// How the client's comment in front of a database begins.
pub const DATABASE: &[u8] = b"-- Current Database: ";
const SEQUENCE: &[u8] = b"-- Sequence structure for ";

const ROUTINES: &[u8] = b"-- Dumping routines for database ";
/// How the client begins with a library. It prints them before routines, in a part of their own.
pub const LIBRARY: &str = "DROP LIBRARY ";

/// The same segments, databases with their sequences and libraries in front; `beginning` reads the first few lines of a
/// segment.
pub fn first_what_others_use<'a>(
    segments: Vec<&'a Segment>,
    inventory: &Inventory,
    beginning: impl Fn(&Segment) -> Result<bytes::Bytes>,
) -> Result<Vec<&'a Segment>> {
    let count = |kind| inventory.objects.iter().filter(|object| object.kind == kind).count();
    let used = count(ObjectKind::Sequence) + count(ObjectKind::Library);
    if used == 0 || count(ObjectKind::Database) < 2 {
        return Ok(segments);
    }
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for segment in segments {
        let early = segment.kind == SegmentKind::Barrier && {
            let text = beginning(segment)?;
            // A database is announced again before its views; only where it is made does it come first.
            let makes_database =
                text.starts_with(DATABASE) && memchr::memmem::find(&text, b"\nCREATE DATABASE ").is_some();
            let libraries = || memchr::memmem::find(&text, format!("\n{LIBRARY}").as_bytes()).is_some();
            makes_database || text.starts_with(SEQUENCE) || text.starts_with(ROUTINES) && libraries()
        };
        if early { &mut first } else { &mut rest }.push(segment);
    }
    first.append(&mut rest);
    Ok(first)
}
