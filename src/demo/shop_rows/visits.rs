//! What is left of those who only look: page views and searches.

use std::io::{self, Write};

use super::keys::{Table, random};
use crate::demo::insert::Insert;
use crate::demo::size::Size;
use crate::demo::values::{along, bytes, second};
use crate::demo::words::{AGENTS, COLOURS, MATERIALS, THINGS};

pub(super) fn page_views(out: &mut impl Write, size: &Size) -> io::Result<()> {
    let mut table = Insert::into(out, "page_views", &["seen", "session", "customer", "path", "agent", "milliseconds"]);
    for id in 1..=size.page_views {
        let visit = id / 6;
        let mut r = random(Table::View, visit);
        let (session, agent, customer) = (bytes(&mut r, 8), r.pick_skewed(AGENTS), r.between(1, size.customers));
        let (known, seen) = (r.chance(40), along(id, size.page_views, &mut r));
        // From here on the single view, not the visit.
        let mut r = random(Table::View, u64::MAX - id);
        let mut row = table.row()?;
        row.quoted(format_args!("{}.{:03}", second(seen), r.below(1000))).bytes(&session);
        if known {
            row.raw(customer)
        } else {
            row.null()
        };
        match r.below(8) {
            0 => row.quoted("/"),
            1 => row.quoted("/cart"),
            2 => row.quoted(format_args!("/search?q={}+{}", r.pick(MATERIALS), r.pick(THINGS))),
            _ => row.quoted(format_args!("/product/{}/{}", r.between(1, size.products), r.pick(THINGS))),
        };
        row.text(agent).raw(20 + r.below(40) * r.below(40));
    }
    table.finish()
}

pub(super) fn searches(out: &mut impl Write, size: &Size) -> io::Result<()> {
    let mut table = Insert::into(out, "search_log", &["id", "at", "words", "hits"]);
    for id in 1..=size.searches {
        let mut r = random(Table::Search, id);
        let mut row = table.row()?;
        row.raw(id).quoted(second(along(id, size.searches, &mut r)));
        row.text(&format!("{} {} {}", r.pick_skewed(COLOURS), r.pick(MATERIALS), r.pick(THINGS))).raw(r.below(300));
    }
    table.finish()
}
