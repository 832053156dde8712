//! What is sold, and what is said of it: categories, products, images, reviews.

use std::io::{self, Write};

use super::keys::{Table, random};
use crate::demo::insert::Insert;
use crate::demo::size::Size;
use crate::demo::values::{along, bytes, cents, prose, second};
use crate::demo::words::{COLOURS, DEPARTMENTS, MATERIALS, THINGS};

/// Categories below the departments: each department sells each thing.
const SHELVES: usize = DEPARTMENTS.len() * THINGS.len() / 4;

pub(super) fn categories(out: &mut impl Write) -> io::Result<()> {
    let mut table = Insert::into(out, "categories", &["id", "parent", "name", "position"]);
    for (i, name) in DEPARTMENTS.iter().enumerate() {
        table.row()?.raw(i + 1).null().text(name).raw(i);
    }
    for shelf in 0..SHELVES {
        let parent = shelf % DEPARTMENTS.len();
        let mut row = table.row()?;
        row.raw(DEPARTMENTS.len() + 1 + shelf).raw(parent + 1).text(THINGS[shelf % THINGS.len()]).raw(shelf % 200);
    }
    table.finish()
}

pub(super) fn products(out: &mut impl Write, size: &Size) -> io::Result<()> {
    const COLUMNS: &[&str] = &[
        "id",
        "sku",
        "category",
        "name",
        "description",
        "price",
        "vat",
        "weight_kg",
        "rating",
        "flags",
        "attributes",
        "season",
        "discontinued",
    ];
    let mut table = Insert::into(out, "products", COLUMNS);
    for id in 1..=size.products {
        let mut r = random(Table::Product, id);
        let shelf = r.below(SHELVES as u64);
        let (material, colour) = (r.pick(MATERIALS), r.pick_skewed(COLOURS));
        let thing = THINGS[usize::try_from(shelf).expect("few shelves") % THINGS.len()];
        let mut row = table.row()?;
        row.raw(id).quoted(format_args!("{}-{id:07}", &thing.to_uppercase()[..3]));
        row.raw(DEPARTMENTS.len() as u64 + 1 + shelf).text(&format!("{material} {thing}, {colour}"));
        let words = r.between(20, 90);
        row.text(&prose(&mut r, words)).raw(cents(price(id))).raw(if r.chance(20) { "0.100" } else { "0.190" });
        if r.chance(10) {
            row.null()
        } else {
            row.raw(r.between(1, 40_000) as f64 / 1000.0)
        };
        if r.chance(30) {
            row.null()
        } else {
            row.raw(1.0 + r.below(4000) as f64 / 1000.0)
        };
        row.raw(r.below(4096));
        row.quoted(format_args!(
            r#"{{"material": "{material}", "colour": "{colour}", "size_cm": [{}, {}, {}], "made_in": {}}}"#,
            r.between(1, 200),
            r.between(1, 200),
            r.between(1, 90),
            if r.chance(50) { "null" } else { "\"EU\"" },
        ));
        if r.chance(60) { row.null() } else { row.raw(r.between(2019, 2026)) }.raw(u8::from(r.chance(6)));
    }
    table.finish()
}

/// Net price of a product in cents.
pub(super) fn price(product: u64) -> u64 {
    let mut r = random(Table::Product, u64::MAX - product);
    r.between(199, 3_000) * r.between(1, 9)
}

pub(super) fn images(out: &mut impl Write, size: &Size) -> io::Result<()> {
    let mut table = Insert::into(out, "product_images", &["product", "position", "sha256", "thumbnail"]);
    for product in 1..=size.products {
        let mut r = random(Table::Image, product);
        for position in 0..r.below(3) {
            let sum = bytes(&mut r, 32);
            // A JPEG's beginning, every byte value once, and data no compressor can shrink.
            let mut image = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0".to_vec();
            image.extend(0..=255_u8);
            let length = r.between(100, 1_500);
            image.extend(bytes(&mut r, length));
            table.row()?.raw(product).raw(position).bytes(&sum).bytes(&image);
        }
    }
    table.finish()
}

pub(super) fn reviews(out: &mut impl Write, size: &Size) -> io::Result<()> {
    let mut table = Insert::into(out, "reviews", &["id", "product", "customer", "stars", "title", "body", "written"]);
    for id in 1..=size.products * 4 {
        let mut r = random(Table::Review, id);
        let mut row = table.row()?;
        row.raw(id)
            .raw(r.between(1, size.products))
            .raw(r.between(1, size.customers))
            .raw(r.pick(&[1, 2, 3, 4, 4, 5, 5, 5]));
        let (title, body) = (r.between(1, 6), r.between(8, 100));
        row.text(&prose(&mut r, title)).text(&prose(&mut r, body));
        row.quoted(second(along(id, size.products * 4, &mut r)));
    }
    table.finish()
}
