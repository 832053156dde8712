//! The rows of the demo shop. Every row is made from its own key, so that tables agree with each other (an order's total
//! is the sum of its lines) without any of them being held in memory.

mod goods;
mod keys;
mod people;
mod sales;
mod visits;

use std::io::{self, Write};

use super::size::Size;

/// All tables, parents first.
pub(super) fn write(out: &mut impl Write, size: &Size) -> io::Result<()> {
    people::countries(out)?;
    goods::categories(out)?;
    people::partners(out)?;
    people::customers(out, size)?;
    people::addresses(out, size)?;
    goods::products(out, size)?;
    goods::images(out, size)?;
    goods::reviews(out, size)?;
    sales::orders(out, size)?;
    sales::order_lines(out, size)?;
    sales::payments(out, size)?;
    sales::stock_movements(out, size)?;
    visits::page_views(out, size)?;
    visits::searches(out, size)
}
