//! The demo shop as SQL for the `mariadb` or `mysql` client: MariaDB 10.5 and later, MySQL 8 and later.
//!
//! Deterministic: the same [`Size`] gives the same bytes. Times end at a fixed day; what is newer comes from
//! [`super::production::Production::open_shop`].

use std::io::{self, Write};

use super::shop_rows;
pub use super::size::Size;

/// Name of the generated database.
pub const DATABASE: &str = "shop";

/// Create the database and its tables.
pub fn write_schema(out: &mut impl Write) -> io::Result<()> {
    out.write_all(include_bytes!("schema.sql"))
}

/// Fill the tables that [`write_schema`] makes.
pub fn write_rows(out: &mut impl Write, size: &Size) -> io::Result<()> {
    out.write_all(ROWS_HEAD)?;
    shop_rows::write(out, size)?;
    out.write_all(b"SET SESSION foreign_key_checks = 1;\n")
}

/// Create views, routines, triggers and events. They come after the rows so that loading writes no audit.
pub fn write_programs(out: &mut impl Write) -> io::Result<()> {
    out.write_all(include_bytes!("programs.sql"))
}

/// Everything: a script that makes the whole database.
pub fn write_all(out: &mut impl Write, size: &Size) -> io::Result<()> {
    write_schema(out)?;
    write_rows(out, size)?;
    write_programs(out)
}

/// The client's character set, UTC, and no checks of what the generator keeps by itself. One statement is one transaction:
/// MySQL with GTIDs refuses statements on non-transactional tables inside a longer one.
const ROWS_HEAD: &[u8] = b"SET NAMES utf8mb4;\nUSE `shop`;\nSET SESSION time_zone = '+00:00';\n\
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';\nSET SESSION foreign_key_checks = 0;\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn script(size: &Size) -> Vec<u8> {
        let mut out = Vec::new();
        write_all(&mut out, size).unwrap();
        out
    }

    #[test]
    fn the_same_size_gives_the_same_bytes() {
        let size = Size::about_bytes(300_000);
        assert_eq!(script(&size), script(&size));
    }

    #[test]
    fn a_script_has_about_the_size_asked_for() {
        for wanted in [1_000_000_u64, 5_000_000] {
            let got = script(&Size::about_bytes(wanted)).len() as u64;
            assert!(got.abs_diff(wanted) * 100 < wanted * 15, "asked for {wanted}, got {got}");
        }
    }
}
