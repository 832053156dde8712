//! The rows of the demo shop. Every row is made from its own key, so that tables agree with each other (an order's total
//! is the sum of its lines) without any of them being held in memory.

use std::io::{self, Write};

use super::insert::{Insert, Row};
use super::random::Random;
use super::size::Size;
use super::values::{HISTORY_SECONDS, OPENED, along, ascii, bytes, cents, day, micro, prose, second};
use super::words::{
    AGENTS, CITIES, COLOURS, COUNTRIES, DEPARTMENTS, FIRST_NAMES, LAST_NAMES, MATERIALS, PARTNERS, STREETS, THINGS,
};

/// Keys of the random streams.
#[derive(Clone, Copy)]
enum Table {
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

fn random(table: Table, row: u64) -> Random {
    Random::of(table as u64, row)
}

/// All tables, parents first.
pub(super) fn write(out: &mut impl Write, size: &Size) -> io::Result<()> {
    countries(out)?;
    categories(out)?;
    partners(out)?;
    customers(out, size)?;
    addresses(out, size)?;
    products(out, size)?;
    images(out, size)?;
    reviews(out, size)?;
    orders(out, size)?;
    order_lines(out, size)?;
    payments(out, size)?;
    stock_movements(out, size)?;
    page_views(out, size)?;
    searches(out, size)
}

fn countries(out: &mut impl Write) -> io::Result<()> {
    let mut table = Insert::into(out, "countries", &["code", "name", "in_eu"]);
    for (code, name, in_eu) in COUNTRIES {
        table.row()?.text(code).text(name).raw(u8::from(*in_eu));
    }
    table.finish()
}

fn categories(out: &mut impl Write) -> io::Result<()> {
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

/// Categories below the departments: each department sells each thing.
const SHELVES: usize = DEPARTMENTS.len() * THINGS.len() / 4;

fn partners(out: &mut impl Write) -> io::Result<()> {
    let mut table = Insert::into(out, "partners", &["id", "name", "remark", "since", "commission"]);
    for (i, (name, remark)) in PARTNERS.iter().enumerate() {
        let mut row = table.row()?;
        row.raw(i).text(name).text(remark);
        if i == 3 { row.null() } else { row.quoted(format_args!("199{i}-02-28")) }.raw(format_args!("0.0{i}25"));
    }
    table.finish()
}

fn customers(out: &mut impl Write, size: &Size) -> io::Result<()> {
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

fn addresses(out: &mut impl Write, size: &Size) -> io::Result<()> {
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
fn addresses_of(customer: u64) -> u64 {
    1 + u64::from(customer.is_multiple_of(3))
}

fn first_address(customer: u64) -> u64 {
    customer + (customer - 1) / 3
}

fn products(out: &mut impl Write, size: &Size) -> io::Result<()> {
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
fn price(product: u64) -> u64 {
    let mut r = random(Table::Product, u64::MAX - product);
    r.between(199, 3_000) * r.between(1, 9)
}

fn images(out: &mut impl Write, size: &Size) -> io::Result<()> {
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

fn reviews(out: &mut impl Write, size: &Size) -> io::Result<()> {
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

fn orders(out: &mut impl Write, size: &Size) -> io::Result<()> {
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

fn order_lines(out: &mut impl Write, size: &Size) -> io::Result<()> {
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

fn payments(out: &mut impl Write, size: &Size) -> io::Result<()> {
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

fn stock_movements(out: &mut impl Write, size: &Size) -> io::Result<()> {
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

fn page_views(out: &mut impl Write, size: &Size) -> io::Result<()> {
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

fn searches(out: &mut impl Write, size: &Size) -> io::Result<()> {
    let mut table = Insert::into(out, "search_log", &["id", "at", "words", "hits"]);
    for id in 1..=size.searches {
        let mut r = random(Table::Search, id);
        let mut row = table.row()?;
        row.raw(id).quoted(second(along(id, size.searches, &mut r)));
        row.text(&format!("{} {} {}", r.pick_skewed(COLOURS), r.pick(MATERIALS), r.pick(THINGS))).raw(r.below(300));
    }
    table.finish()
}
