//! Who buys and who sells: countries, partners, customers and their addresses.

use std::io::{self, Write};

use super::keys::{Table, random};
use crate::demo::insert::{Insert, Row};
use crate::demo::random::Random;
use crate::demo::size::Size;
use crate::demo::values::{HISTORY_SECONDS, OPENED, ascii, bytes, cents, day, micro, second};
use crate::demo::words::{CITIES, COUNTRIES, FIRST_NAMES, LAST_NAMES, PARTNERS, STREETS};

pub(super) fn countries(out: &mut impl Write) -> io::Result<()> {
    let mut table = Insert::into(out, "countries", &["code", "name", "in_eu"]);
    for (code, name, in_eu) in COUNTRIES {
        table.row()?.text(code).text(name).raw(u8::from(*in_eu));
    }
    table.finish()
}

pub(super) fn partners(out: &mut impl Write) -> io::Result<()> {
    let mut table = Insert::into(out, "partners", &["id", "name", "remark", "since", "commission"]);
    for (i, (name, remark)) in PARTNERS.iter().enumerate() {
        let mut row = table.row()?;
        row.raw(i).text(name).text(remark);
        if i == 3 { row.null() } else { row.quoted(format_args!("199{i}-02-28")) }.raw(format_args!("0.0{i}25"));
    }
    table.finish()
}

pub(super) fn customers(out: &mut impl Write, size: &Size) -> io::Result<()> {
    const COLUMNS: &[&str] = &[
        "id",
        "email",
        "first_name",
        "last_name",
        "phone",
        "birthday",
        "newsletter",
        "tier",
        "interests",
        "default_address",
        "preferences",
        "password_hash",
        "credit",
        "created",
        "updated",
    ];
    const TIERS: &[&str] = &["new", "new", "new", "regular", "regular", "gold", "trade, wholesale"];
    const INTERESTS: &[&str] = &["home", "garden", "books", "toys", "tools", "sports", "home,garden", "books,toys", ""];
    let mut table = Insert::into(out, "customers", COLUMNS);
    for id in 1..=size.customers {
        let mut r = random(Table::Customer, id);
        let (first, last) = (r.pick_skewed(FIRST_NAMES), r.pick_skewed(LAST_NAMES));
        let created = OPENED + r.below(HISTORY_SECONDS);
        let mut row = table.row()?;
        row.raw(id).quoted(format_args!(
            "{}{id}@{}",
            ascii(last),
            r.pick(&["example.com", "example.org", "example.net"])
        ));
        row.text(first).text(last);
        if r.chance(30) {
            row.null()
        } else {
            row.quoted(format_args!("+43 {} {}", r.between(1, 999), r.below(9_000_000)))
        };
        if r.chance(15) {
            row.quoted("0000-00-00")
        } else {
            row.quoted(day(r.between(0, 18_000) * 86_400))
        };
        row.raw(r.below(2)).quoted(r.pick(TIERS)).quoted(r.pick(INTERESTS));
        if r.chance(2) {
            row.null()
        } else {
            row.raw(first_address(id))
        };
        preferences(&mut row, &mut r);
        row.bytes(&bytes(&mut r, 32)).raw(cents(if r.chance(90) { 0 } else { r.below(100_000) }));
        row.quoted(second(created)).quoted(micro(created + r.below(9_000_000), &mut r));
    }
    table.finish()
}

fn preferences(row: &mut Row<'_>, r: &mut Random) {
    if r.chance(25) {
        row.null();
        return;
    }
    let (theme, page, mail) = (r.pick(&["light", "dark"]), r.pick(&[20, 50, 100]), r.chance(50));
    row.quoted(format_args!(
        r#"{{"theme": "{theme}", "page_size": {page}, "mail": {{"offers": {mail}, "stars": "★ {page}"}}}}"#
    ));
}

pub(super) fn addresses(out: &mut impl Write, size: &Size) -> io::Result<()> {
    const COLUMNS: &[&str] =
        &["id", "customer", "street", "city", "postcode", "country", "latitude", "longitude", "delivery_note"];
    const NOTES: &[&str] = &[
        "ring twice",
        "leave with the neighbour at no. 7",
        "back door;\nbeware of the dog",
        "2. Stock, Tür \"links\"",
    ];
    let mut table = Insert::into(out, "addresses", COLUMNS);
    for customer in 1..=size.customers {
        for number in 0..addresses_of(customer) {
            let mut r = random(Table::Address, customer * 2 + number);
            let (city, postcode, country, latitude, longitude) = r.pick_skewed(CITIES);
            let mut row = table.row()?;
            row.raw(first_address(customer) + number).raw(customer);
            row.quoted(format_args!("{} {}", r.pick(STREETS), r.between(1, 180)))
                .text(city)
                .text(postcode)
                .text(country);
            let shift = r.below(100_000) as f64 / 1e6;
            if r.chance(20) {
                row.null().null()
            } else {
                row.raw(latitude + shift).raw(longitude - shift)
            };
            if r.chance(80) {
                row.null()
            } else {
                row.text(r.pick(NOTES))
            };
        }
    }
    table.finish()
}

/// Every third customer has a second address.
pub(super) fn addresses_of(customer: u64) -> u64 {
    1 + u64::from(customer.is_multiple_of(3))
}

pub(super) fn first_address(customer: u64) -> u64 {
    customer + (customer - 1) / 3
}
