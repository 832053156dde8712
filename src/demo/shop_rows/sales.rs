//! Orders and what follows from them: lines, payments, movements of stock.

use std::io::{self, Write};

use super::goods::price;
use super::keys::{Table, random};
use super::people::{addresses_of, first_address};
use crate::demo::insert::Insert;
use crate::demo::size::Size;
use crate::demo::values::{along, cents, day, micro, second};

pub(super) fn orders(out: &mut impl Write, size: &Size) -> io::Result<()> {
    const COLUMNS: &[&str] =
        &["id", "customer", "ship_to", "placed", "status", "total", "currency", "delivery_at", "shipped_on", "note"];
    const STATUSES: &[&str] = &["shipped", "shipped", "shipped", "shipped", "paid", "open", "returned", "cancelled"];
    const NOTES: &[&str] =
        &["", "gift wrap, please 🎁", "invoice to the office", "deliver before Xmas; it's a surprise", "急ぎ"];
    let mut table = Insert::into(out, "orders", COLUMNS);
    for id in 1..=size.orders {
        let mut r = random(Table::Order, id);
        let customer = r.between(1, size.customers);
        let placed = along(id, size.orders, &mut r);
        let status = r.pick(STATUSES);
        let mut row = table.row()?;
        row.raw(id).raw(customer).raw(first_address(customer) + r.below(addresses_of(customer)));
        row.quoted(micro(placed, &mut r)).quoted(status);
        row.raw(cents(lines(id, size).iter().map(|line| line.quantity * line.unit_price).sum()));
        row.quoted(if r.chance(92) { "EUR" } else { "CZK" });
        if r.chance(70) {
            row.null()
        } else {
            row.quoted(format_args!("{:02}:{:02}:00.{:03}", r.between(8, 19), r.below(60), r.below(1000)))
        };
        if status == "shipped" {
            row.quoted(day(placed + r.between(1, 6) * 86_400))
        } else {
            row.quoted("0000-00-00")
        };
        if r.chance(88) {
            row.null()
        } else {
            row.text(r.pick(NOTES))
        };
    }
    table.finish()
}

struct Line {
    product: u64,
    quantity: u64,
    unit_price: u64,
}

fn lines(order: u64, size: &Size) -> Vec<Line> {
    let mut r = random(Table::Line, order);
    let count = r.between(1, 3) + if r.chance(20) { r.below(3) } else { 0 };
    (0..count)
        .map(|_| {
            // A few products sell far better than the rest.
            let best = r.between(1, size.products);
            let product = r.between(1, best);
            Line { product, quantity: if r.chance(75) { 1 } else { r.between(2, 12) }, unit_price: price(product) }
        })
        .collect()
}

pub(super) fn order_lines(out: &mut impl Write, size: &Size) -> io::Result<()> {
    let columns = &["order_id", "line", "product", "quantity", "unit_price", "engraving"];
    let mut table = Insert::into(out, "order_lines", columns);
    for order in 1..=size.orders {
        for (number, line) in lines(order, size).iter().enumerate() {
            let mut row = table.row()?;
            row.raw(order).raw(number + 1).raw(line.product).raw(line.quantity).raw(cents(line.unit_price));
            if (order + line.product) % 40 == 0 {
                row.text("für Öma ♥ 2026")
            } else {
                row.null()
            };
        }
    }
    table.finish()
}

pub(super) fn payments(out: &mut impl Write, size: &Size) -> io::Result<()> {
    let mut table =
        Insert::into(out, "payments", &["id", "order_id", "method", "amount", "reference", "received", "answer"]);
    for id in 1..=size.orders {
        let mut r = random(Table::Payment, id);
        let amount: u64 = lines(id, size).iter().map(|line| line.quantity * line.unit_price).sum();
        let method = r.pick(&["card", "card", "card", "wallet", "transfer", "voucher"]);
        let mut row = table.row()?;
        row.raw(id)
            .raw(id)
            .quoted(method)
            .raw(cents(amount))
            .quoted(format_args!("{:020X}", u128::from(r.next()) << 8));
        let received = along(id, size.orders, &mut r) + 60;
        if r.chance(5) {
            row.null()
        } else {
            row.quoted(format_args!("{}.{:03}", second(received), r.below(1000)))
        };
        match method {
            "card" => row.quoted(format_args!(
                r#"{{"status": "approved", "card": "**** {:04}", "trace": "{:016x}", "risk": {}, "3ds": {}}}"#,
                r.below(10_000),
                r.next(),
                r.below(100) as f64 / 100.0,
                r.chance(70),
            )),
            "wallet" => row.quoted(format_args!(r#"{{"status": "ok", "wallet": "w-{:012x}"}}"#, r.next() >> 16)),
            _ => row.null(),
        };
    }
    table.finish()
}

pub(super) fn stock_movements(out: &mut impl Write, size: &Size) -> io::Result<()> {
    let mut table = Insert::into(out, "stock_movements", &["id", "moved_on", "product", "change_by", "reason"]);
    let mut id = 0;
    for order in 1..=size.orders {
        let mut r = random(Table::Movement, order);
        let date = day(along(order, size.orders, &mut r));
        for line in lines(order, size) {
            id += 1;
            let mut row = table.row()?;
            row.raw(id).quoted(date).raw(line.product);
            if r.chance(8) {
                row.raw(r.between(10, 400)).quoted(r.pick(&[
                    "delivered by supplier",
                    "stocktaking",
                    "R\u{fc}cksendung",
                ]));
            } else {
                row.raw(format_args!("-{}", line.quantity)).quoted("sold");
            }
        }
    }
    table.finish()
}
