//! Counts the rows of an event while they stream by: values are passed over by their lengths, never kept.

use super::event::Change;
use super::table_map::{Size, TableMap, id, packed, take};

/// The last event of a statement.
const ENDS_STATEMENT: u16 = 0x1;
/// Foreign keys were not looked at.
const NO_FOREIGN_KEYS: u16 = 0x2;
/// MySQL from 9.6 on: what foreign keys do to other rows is in the log.
const LOGS_CASCADES: u16 = 0x10;

/// As many bytes of rows are kept.
const MOST_KEPT: usize = 64 * 1024;

/// What stands in front of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsHead {
    /// Which table map they belong to.
    pub table: u64,
    flags: u16,
    /// Which columns are there, before and after the change.
    images: Vec<Vec<bool>>,
}

/// What came of reading a head.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// It goes on.
    More,
    /// The head and its length.
    Read(RowsHead, usize),
    /// It is none.
    Malformed,
}

impl RowsHead {
    /// Read it off the beginning of an event's body.
    pub fn read(body: &[u8], change: Change, extra: bool) -> Head {
        let mut rest = body;
        match Self::parts(&mut rest, change, extra) {
            Ok(head) => Head::Read(head, body.len() - rest.len()),
            Err(head) => head,
        }
    }

    fn parts(rest: &mut &[u8], change: Change, extra: bool) -> Result<Self, Head> {
        let mut next = |length: usize| take(rest, length).ok_or(Head::More);
        let word = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
        let table = id(next(6)?);
        let flags = word(next(2)?);
        if extra {
            // It counts itself.
            let length = word(next(2)?).checked_sub(2).ok_or(Head::Malformed)?;
            next(length.into())?;
        }
        let width = match rest.first() {
            Some(251 | 255) => return Err(Head::Malformed),
            _ => packed(rest).ok_or(Head::More)?,
        };
        let width = usize::from(u16::try_from(width).map_err(|_| Head::Malformed)?);
        let mut images = Vec::new();
        let count = if matches!(change, Change::Update | Change::PartialUpdate) { 2 } else { 1 };
        for _ in 0..count {
            let bits = take(rest, width.div_ceil(8)).ok_or(Head::More)?;
            images.push((0..width).map(|at| bit(bits, at)).collect());
        }
        Ok(Self { table, flags, images })
    }

    /// Which columns are there, before and after the change.
    pub fn images(&self) -> &[Vec<bool>] {
        &self.images
    }

    pub fn ends_statement(&self) -> bool {
        self.flags & ENDS_STATEMENT != 0
    }

    pub fn ignores_foreign_keys(&self) -> bool {
        self.flags & NO_FOREIGN_KEYS != 0
    }

    pub fn logs_cascades(&self) -> bool {
        self.flags & LOGS_CASCADES != 0
    }
}

fn bit(bits: &[u8], at: usize) -> bool {
    bits.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

/// What comes next in a row.
#[derive(Debug)]
enum State {
    /// A number that says how JSON is written.
    Options,
    /// Which JSON is a difference: so many bytes.
    Differences(usize),
    /// Which values are NULL: so many bytes.
    Nulls(usize),
    /// The length of a column's value, in so many bytes.
    Length(usize, usize),
    /// So many bytes of a column's value.
    Value(usize, u64),
    /// It cannot be read: nothing is counted.
    Lost,
}

/// The counter.
#[derive(Debug)]
pub struct RowCounter {
    /// Of the columns that are there, before and after the change.
    images: Vec<Vec<Size>>,
    partial: bool,
    json: usize,
    image: usize,
    state: State,
    gathered: Vec<u8>,
    nulls: Vec<u8>,
    /// A row has begun.
    inside: bool,
    rows: u64,
    /// The rows themselves, where they are wanted; none again where they are too long.
    kept: Option<Vec<u8>>,
}

impl RowCounter {
    /// Of rows with this head, which belong to `map`.
    pub fn new(map: &TableMap, head: &RowsHead, change: Change) -> Self {
        let there = |columns: &Vec<Size>, image: &Vec<bool>| {
            let both = columns.iter().zip(image);
            both.filter(|(_, is_there)| **is_there).map(|(size, _)| *size).collect::<Vec<Size>>()
        };
        let columns = map.columns.iter().filter(|columns| head.images.iter().all(|image| image.len() == columns.len()));
        let images: Vec<_> =
            columns.flat_map(|columns| head.images.iter().map(|image| there(columns, image))).collect();
        // Rows without any byte have no number.
        let is_lost = images.iter().all(Vec::is_empty);
        let mut counter = Self {
            images,
            partial: change == Change::PartialUpdate,
            json: map.json,
            image: 0,
            state: State::Lost,
            gathered: Vec::new(),
            nulls: Vec::new(),
            inside: false,
            rows: 0,
            kept: None,
        };
        if !is_lost {
            counter.begin(0);
        }
        counter
    }

    /// The same, which keeps the rows.
    #[must_use]
    pub fn keeping(self) -> Self {
        Self { kept: Some(Vec::new()), ..self }
    }

    /// The rows, where all of them were kept.
    pub fn kept(&self) -> Option<&[u8]> {
        self.kept.as_deref()
    }

    /// How many there were; none where that could not be told.
    pub fn finish(&self) -> Option<u64> {
        (!self.inside && !matches!(self.state, State::Lost)).then_some(self.rows)
    }

    /// Take in the next piece.
    pub fn push(&mut self, mut bytes: &[u8]) {
        if let Some(kept) = self.kept.as_mut() {
            kept.extend_from_slice(bytes);
        }
        self.kept.take_if(|kept| kept.len() > MOST_KEPT);
        while !bytes.is_empty() {
            match self.state {
                State::Lost => return,
                State::Options => {
                    self.inside = true;
                    self.gathered.extend(take(&mut bytes, 1).unwrap_or_default());
                    self.options();
                }
                State::Differences(length) => {
                    if self.gather(&mut bytes, length) {
                        self.gathered.clear();
                        self.await_nulls();
                    }
                }
                State::Nulls(length) => {
                    if self.gather(&mut bytes, length) {
                        self.nulls = std::mem::take(&mut self.gathered);
                        self.column(0);
                    }
                }
                State::Length(column, length) => {
                    if self.gather(&mut bytes, length) {
                        let value = id(&self.gathered);
                        self.gathered.clear();
                        self.value(column, value);
                    }
                }
                State::Value(column, left) => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[length..];
                    self.value(column, left - length as u64);
                }
            }
        }
    }

    /// Whether that many bytes are there.
    fn gather(&mut self, bytes: &mut &[u8], length: usize) -> bool {
        self.inside = true;
        let missing = length.saturating_sub(self.gathered.len()).min(bytes.len());
        self.gathered.extend(take(bytes, missing).unwrap_or_default());
        self.gathered.len() >= length
    }

    fn begin(&mut self, image: usize) {
        self.image = image;
        if self.partial && image == 1 {
            self.state = State::Options;
        } else if self.images[image].is_empty() {
            self.end();
        } else {
            self.await_nulls();
        }
    }

    fn options(&mut self) {
        let mut read = self.gathered.as_slice();
        let Some(options) = packed(&mut read) else {
            if self.gathered.len() >= 9 || matches!(self.gathered.first(), Some(251 | 255)) {
                self.state = State::Lost;
            }
            return;
        };
        self.gathered.clear();
        if options & 1 == 1 {
            self.state = State::Differences(self.json.div_ceil(8));
        } else {
            self.await_nulls();
        }
    }

    fn await_nulls(&mut self) {
        self.state = State::Nulls(self.images[self.image].len().div_ceil(8));
        if self.images[self.image].is_empty() {
            self.end();
        }
    }

    fn column(&mut self, mut column: usize) {
        let sizes = &self.images[self.image];
        while sizes.get(column).is_some_and(|size| *size == Size::Fixed(0) || bit(&self.nulls, column)) {
            column += 1;
        }
        match sizes.get(column) {
            None => self.end(),
            Some(Size::Fixed(length)) => self.value(column, (*length).into()),
            Some(Size::Prefixed(length)) => self.state = State::Length(column, usize::from(*length)),
        }
    }

    fn value(&mut self, column: usize, left: u64) {
        self.state = State::Value(column, left);
        if left == 0 {
            self.column(column + 1);
        }
    }

    /// An image ends.
    fn end(&mut self) {
        if self.image + 1 < self.images.len() {
            self.begin(self.image + 1);
        } else {
            self.rows += 1;
            self.inside = false;
            self.begin(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(columns: Vec<Size>) -> TableMap {
        let json = columns.iter().filter(|size| **size == Size::Prefixed(4)).count();
        TableMap { id: 1, flags: 0, database: "d".into(), table: "t".into(), columns: Some(columns), json }
    }

    fn head(change: Change, images: &[Vec<bool>]) -> RowsHead {
        assert!(!images.is_empty(), "{change:?}");
        RowsHead { table: 1, flags: 0, images: images.to_vec() }
    }

    fn count(columns: Vec<Size>, change: Change, images: &[Vec<bool>], bytes: &[u8]) -> Option<u64> {
        let (map, head) = (map(columns), head(change, images));
        let counted = [1, 2, bytes.len().max(1)].map(|length| {
            let mut counter = RowCounter::new(&map, &head, change);
            bytes.chunks(length).for_each(|piece| counter.push(piece));
            counter.finish()
        });
        assert!(counted.iter().all(|one| *one == counted[0]), "{counted:?}");
        counted[0]
    }

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let body = [1, 0, 0, 0, 0, 0, 3, 0, 4, 0, 9, 9, 10, 0xff, 3, 1, 2];
        for end in 0..body.len() {
            assert_eq!(RowsHead::read(&body[..end], Change::Update, true), Head::More, "{end}");
        }
        let Head::Read(head, length) = RowsHead::read(&body, Change::Update, true) else { panic!() };
        assert_eq!((head.table, length), (1, body.len()));
        assert!(head.ends_statement() && head.ignores_foreign_keys() && !head.logs_cascades());
        assert_eq!(head.images[0], [true; 10]);
        assert_eq!(head.images[1].iter().filter(|is_there| **is_there).count(), 2);
        assert!(head.images[1][0] && head.images[1][9]);
        let Head::Read(first, _) = RowsHead::read(&[1, 0, 0, 0, 0, 0, 0x10, 0, 1, 1], Change::Insert, false) else {
            panic!()
        };
        assert!(!first.ends_statement() && !first.ignores_foreign_keys() && first.logs_cascades());
        for bad in [
            &[1, 0, 0, 0, 0, 0, 0, 0, 1, 0][..],
            &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 251],
            &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 253, 0, 0, 1],
        ] {
            assert_eq!(RowsHead::read(bad, Change::Insert, true), Head::Malformed, "{bad:?}");
        }
    }

    #[test]
    fn rows_are_counted_by_the_lengths_of_their_values() {
        let columns = vec![Size::Fixed(4), Size::Prefixed(1), Size::Prefixed(2), Size::Fixed(0)];
        let all = vec![true; 4];
        let one = [0, 1, 0, 0, 0, 2, b'a', b'b', 3, 0, 1, 2, 3];
        let nulls = [0b0110, 9, 9, 9, 9];
        let empty = [0b0001, 0, 0, 0];
        let bytes = [&one[..], &nulls, &empty, &[0b1111], &one].concat();
        assert_eq!(count(columns.clone(), Change::Insert, std::slice::from_ref(&all), &bytes), Some(5));
        assert_eq!(
            count(columns.clone(), Change::Update, &[all.clone(), all.clone()], &[&one[..], &nulls].concat()),
            Some(1)
        );
        assert_eq!(count(columns.clone(), Change::Insert, std::slice::from_ref(&all), &bytes[..bytes.len() - 1]), None);
        assert_eq!(count(columns.clone(), Change::Update, &[all.clone(), all.clone()], &one), None, "half an update");
        assert_eq!(count(columns.clone(), Change::Insert, &[all], &[]), Some(0));
        // Only some columns are there.
        let first = vec![true, false, false, false];
        assert_eq!(count(columns.clone(), Change::Delete, std::slice::from_ref(&first), &[0, 1, 1, 1, 1, 1]), Some(2));
        let none = vec![false; 4];
        assert_eq!(count(columns.clone(), Change::Update, &[first.clone(), none.clone()], &[0, 1, 1, 1, 1]), Some(1));
        assert_eq!(count(columns.clone(), Change::Update, &[none.clone(), first.clone()], &[0, 1, 1, 1, 1]), Some(1));
        assert_eq!(
            count(columns.clone(), Change::Insert, std::slice::from_ref(&none), &[]),
            None,
            "rows without a byte"
        );
        assert_eq!(count(columns.clone(), Change::Insert, &[none], &[1]), None);
        assert_eq!(count(columns, Change::Insert, &[vec![true; 3]], &[0]), None, "another table");
    }

    #[test]
    fn an_update_of_json_may_say_how_it_is_written() {
        let columns = vec![Size::Fixed(1), Size::Prefixed(4)];
        let all = vec![true; 2];
        let before = [0, 7, 1, 0, 0, 0, b'x'];
        let count = |after: &[u8]| {
            count(columns.clone(), Change::PartialUpdate, &[all.clone(), all.clone()], &[&before[..], after].concat())
        };
        assert_eq!(count(&[0, 0, 7, 1, 0, 0, 0, b'x']), Some(1), "nothing is a difference");
        assert_eq!(count(&[1, 1, 0, 7, 2, 0, 0, 0, 0, 0]), Some(1));
        assert_eq!(count(&[252, 1, 0, 1, 0, 7, 2, 0, 0, 0, 0, 0]), Some(1));
        assert_eq!(count(&[251]), None);
        assert_eq!(count(&[1, 1, 0, 7, 2, 0, 0, 0, 0]), None);
        let none = vec![false; 2];
        let (map, head) = (map(columns.clone()), head(Change::PartialUpdate, &[all, none]));
        let mut counter = RowCounter::new(&map, &head, Change::PartialUpdate);
        counter.push(&[&before[..], &[0], &before, &[1, 1]].concat());
        assert_eq!(counter.finish(), Some(2));
    }

    proptest! {
        #[test]
        fn any_rows_are_counted_as_they_were_written(
            sizes in proptest::collection::vec((0_u8..3, any::<bool>()), 1..20),
            rows in proptest::collection::vec(proptest::collection::vec((any::<bool>(), 0_u8..40), 20), 0..10),
        ) {
            let columns: Vec<Size> = sizes.iter().map(|(kind, _)| match kind {
                0 => Size::Fixed(3),
                other => Size::Prefixed(*other),
            }).collect();
            let image: Vec<bool> = sizes.iter().map(|(_, is_there)| *is_there).collect();
            prop_assume!(image.contains(&true));
            let mut bytes = Vec::new();
            for row in &rows {
                let there: Vec<(Size, (bool, u8))> =
                    (0..columns.len()).filter(|at| image[*at]).map(|at| (columns[at], row[at])).collect();
                let mut nulls = vec![0_u8; there.len().div_ceil(8)];
                for (at, (_, (is_null, _))) in there.iter().enumerate() {
                    nulls[at / 8] |= u8::from(*is_null) << (at % 8);
                }
                bytes.extend(nulls);
                for (size, (_, length)) in there.iter().filter(|(_, (is_null, _))| !is_null) {
                    match size {
                        Size::Fixed(fixed) => bytes.extend(vec![0xaa; *fixed as usize]),
                        Size::Prefixed(prefix) => {
                            bytes.push(*length);
                            bytes.extend(vec![0; usize::from(*prefix) - 1]);
                            bytes.extend(vec![0xaa; usize::from(*length)]);
                        }
                    }
                }
            }
            prop_assert_eq!(count(columns, Change::Insert, &[image], &bytes), Some(rows.len() as u64));
        }
    }
}
