//! How large a generated shop is.

/// How many rows the main tables get; the other tables follow from these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows of `customers`; each has one or two addresses.
    pub customers: u64,
    /// Rows of `products`; each has at most two images and on average four reviews.
    pub products: u64,
    /// Rows of `orders`; each has one to five lines, a payment, and stock movements.
    pub orders: u64,
    /// Rows of `page_views`.
    pub page_views: u64,
    /// Rows of `search_log`.
    pub searches: u64,
}

/// Bytes of dump that one order brings along with everything that grows with the orders (measured).
const BYTES_PER_ORDER: u64 = 1_720;

impl Size {
    /// A few megabytes: loads in two or three seconds.
    pub fn demo() -> Self {
        Self::about_bytes(10_000_000)
    }

    /// About `bytes` of dump (within 15 % from a megabyte up).
    pub fn about_bytes(bytes: u64) -> Self {
        let orders = (bytes / BYTES_PER_ORDER).max(20);
        Self {
            customers: orders / 3 + 10,
            products: orders / 12 + 10,
            orders,
            page_views: orders * 4,
            searches: orders / 2,
        }
    }
}
