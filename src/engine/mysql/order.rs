//! In which order a stream is replayed. The dump client goes from database to database, but a column's default may take
//! its value from a sequence of a database that comes later; a plain `mysql < dump.sql` fails there. So all databases and
//! sequences are made before the first table; nothing they contain refers to anything else.

use crate::domain::manifest::{Inventory, ObjectKind, Segment, SegmentKind};
use crate::error::Result;

/// How the client's comment in front of a database begins.
pub const DATABASE: &[u8] = b"-- Current Database: ";
const SEQUENCE: &[u8] = b"-- Sequence structure for ";

/// The same segments, databases and their sequences in front; `beginning` reads the first few lines of a segment.
pub fn sequences_first<'a>(
    segments: Vec<&'a Segment>,
    inventory: &Inventory,
    beginning: impl Fn(&Segment) -> Result<bytes::Bytes>,
) -> Result<Vec<&'a Segment>> {
    let count = |kind| inventory.objects.iter().filter(|object| object.kind == kind).count();
    if count(ObjectKind::Sequence) == 0 || count(ObjectKind::Database) < 2 {
        return Ok(segments);
    }
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for segment in segments {
        let early = segment.kind == SegmentKind::Barrier && {
            let text = beginning(segment)?;
            // A database is announced again before its views; only where it is made does it come first.
            let makes_database =
                text.starts_with(DATABASE) && memchr::memmem::find(&text, b"\nCREATE DATABASE ").is_some();
            makes_database || text.starts_with(SEQUENCE)
        };
        if early { &mut first } else { &mut rest }.push(segment);
    }
    first.append(&mut rest);
    Ok(first)
}
