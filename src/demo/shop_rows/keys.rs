//! The random stream of each row: the same for the same key, whoever asks.

use crate::demo::random::Random;

/// Keys of the random streams.
#[derive(Clone, Copy)]
pub(super) enum Table {
    Customer = 1,
    Address,
    Product,
    Image,
    Review,
    Order,
    Line,
    Payment,
    Movement,
    View,
    Search,
}

pub(super) fn random(table: Table, row: u64) -> Random {
    Random::of(table as u64, row)
}
