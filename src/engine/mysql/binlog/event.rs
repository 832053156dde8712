//! Headers and kinds of the events of a binary log, of both products.

/// Bytes of a header.
pub const HEADER: usize = 19;
/// The server has the file open for writing. It flips this flag in place, and no checksum covers it.
pub const IN_USE: u16 = 0x1;
/// The statement used a temporary table.
pub const THREAD_SPECIFIC: u16 = 0x4;
/// Made for one reader; it is in no file of the server.
pub const ARTIFICIAL: u16 = 0x20;
/// A reader that does not know the kind may pass over it.
pub const IGNORABLE: u16 = 0x80;

/// What every event begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Seconds since 1970.
    pub timestamp: u32,
    /// Number of the kind.
    pub code: u8,
    /// The server that made it.
    pub server_id: u32,
    /// Bytes of the event, the header and the checksum among them.
    pub size: u32,
    /// Offset behind the event in the server's file, without what is above four GiB; 0 where it is in none.
    pub end: u32,
    pub flags: u16,
}

impl Header {
    /// As the bytes say it.
    pub fn read(bytes: &[u8; HEADER]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self {
            timestamp: word(0),
            code: bytes[4],
            server_id: word(5),
            size: word(9),
            end: word(13),
            flags: u16::from_le_bytes([bytes[17], bytes[18]]),
        }
    }

    /// What it is; none for a kind that nobody here knows.
    pub fn kind(&self) -> Option<Kind> {
        Kind::of(self.code)
    }

    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// How rows change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Insert,
    Update,
    /// An update in which JSON may be written as a difference.
    PartialUpdate,
    Delete,
}

/// What an event is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    FormatDescription,
    Rotate,
    Stop,
    /// Events were lost at the source.
    Incident,
    /// Stands between transactions and changes nothing.
    Between,
    /// How MariaDB encrypted the file that it gives decrypted. For a reader that begins in the middle it is in no file.
    StartEncryption,
    /// Says only that the connection lives; it is in no file.
    Heartbeat,
    /// Begins a transaction.
    MariaDbGtid,
    Gtid,
    AnonymousGtid,
    TaggedGtid,
    Query {
        compressed: bool,
    },
    /// What the next statement in statement format needs.
    Prelude,
    /// A file of `LOAD DATA`, or a part of one, in statement format.
    LoadFile,
    /// `LOAD DATA` itself, in statement format.
    LoadQuery,
    /// The statement that the next rows come from: for people.
    Annotation,
    TableMap,
    Rows {
        change: Change,
        /// Of the second version, which has room for more in front of the columns.
        extra: bool,
        compressed: bool,
    },
    /// Ends a transaction.
    Xid,
    XaPrepare,
    /// MySQL's compressed transaction: events within an event.
    Payload,
    /// Group replication and the like: part of a transaction without meaning for what it changes.
    Passed,
}

impl Kind {
    fn of(code: u8) -> Option<Self> {
        let rows = |change, extra, compressed| Self::Rows { change, extra, compressed };
        Some(match code {
            2 => Self::Query { compressed: false },
            3 => Self::Stop,
            4 => Self::Rotate,
            5 | 13 | 14 => Self::Prelude,
            // Files of `LOAD DATA`: LOAD, CREATE FILE, APPEND BLOCK, DELETE FILE, NEW LOAD, BEGIN LOAD QUERY.
            6 | 8 | 9 | 11 | 12 | 17 => Self::LoadFile,
            10 | 18 => Self::LoadQuery,
            15 => Self::FormatDescription,
            16 => Self::Xid,
            19 => Self::TableMap,
            23 => rows(Change::Insert, false, false),
            24 => rows(Change::Update, false, false),
            25 => rows(Change::Delete, false, false),
            26 => Self::Incident,
            27 | 41 => Self::Heartbeat,
            // IGNORABLE, TRANSACTION CONTEXT, VIEW CHANGE.
            28 | 36 | 37 => Self::Passed,
            29 | 160 => Self::Annotation,
            30 => rows(Change::Insert, true, false),
            31 => rows(Change::Update, true, false),
            32 => rows(Change::Delete, true, false),
            33 => Self::Gtid,
            34 => Self::AnonymousGtid,
            38 => Self::XaPrepare,
            39 => rows(Change::PartialUpdate, true, false),
            40 => Self::Payload,
            42 => Self::TaggedGtid,
            // PREVIOUS GTIDS; BINLOG CHECKPOINT, GTID LIST of MariaDB.
            35 | 161 | 163 => Self::Between,
            164 => Self::StartEncryption,
            162 => Self::MariaDbGtid,
            165 => Self::Query { compressed: true },
            166 => rows(Change::Insert, false, true),
            167 => rows(Change::Update, false, true),
            168 => rows(Change::Delete, false, true),
            169 => rows(Change::Insert, true, true),
            170 => rows(Change::Update, true, true),
            171 => rows(Change::Delete, true, true),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_six_little_endian_numbers() {
        let bytes = [4, 3, 2, 1, 30, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 0xa1, 0];
        let header = Header::read(&bytes);
        let want = Header {
            timestamp: 0x0102_0304,
            code: 30,
            server_id: 0x0506_0708,
            size: 0x090a_0b0c,
            end: 0x0d0e_0f10,
            flags: 0xa1,
        };
        assert_eq!(header, want);
        assert_eq!(header.kind(), Some(Kind::Rows { change: Change::Insert, extra: true, compressed: false }));
        assert!(header.has(ARTIFICIAL) && header.has(IGNORABLE) && header.has(IN_USE) && !header.has(THREAD_SPECIFIC));
    }

    #[test]
    fn kinds_that_no_server_writes_today_are_not_known() {
        let known = |code: &u8| Kind::of(*code).is_some();
        let unknown: Vec<u8> = (0..=255).filter(|code| !known(code)).collect();
        // START of version 3, SLAVE, and rows of alpha versions.
        let want: Vec<u8> = [0, 1, 7, 20, 21, 22].into_iter().chain(43..=159).chain(172..=255).collect();
        assert_eq!(unknown, want);
    }
}
