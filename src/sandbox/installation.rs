//! How a product is installed on a host: what a sandbox has to know that runs it there. Data, which the engine's folder has as
//! a table; an image brings all of it along.

/// One product.
#[derive(Debug, Clone, Copy)]
pub struct Installation {
    /// Names of the server's program, best first.
    pub server: &'static [&'static str],
    /// Debian's package of it, for hints.
    pub package: &'static str,
    /// Arguments that make the program say its version.
    pub ask: &'static [&'static str],
    /// What that means; none if it is another product.
    pub identify: fn(&str) -> Option<Identity>,
    /// What stands in front of all options, of the server and of its initialisation.
    pub first: &'static [&'static str],
    /// The option that names a file of first statements; none where the product has no such thing.
    pub statements: Option<&'static str>,
    /// How the data directory of a new server is made; none where the server starts on an empty one.
    pub initial: Option<Initial>,
    /// Where the product looks for what it loads; none where it loads nothing.
    pub libraries: Option<Libraries>,
    /// Accounts of a host to run as where we are root and can have none of our own, best first.
    pub accounts: &'static [&'static str],
}

/// What a program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `10.11.19-MariaDB`.
    pub version: String,
    /// `10.11`.
    pub series: String,
}

/// How the data directory of a new server is made.
#[derive(Debug, Clone, Copy)]
pub struct Initial {
    /// Names of the program that does it, best first; none: the server itself.
    pub programs: &'static [&'static str],
    /// Its arguments.
    pub arguments: &'static [&'static str],
    /// The option that names the data directory.
    pub directory: &'static str,
    /// Options of the server that decide what is made.
    pub decisive: &'static [Decisive],
    /// How it learns named time zones; none where they are known anyway.
    pub time_zones: Option<TimeZones>,
}

/// An option on which the data directory of a new server depends.
#[derive(Debug, Clone, Copy)]
pub struct Decisive {
    /// Its name.
    pub option: &'static str,
    /// What it is called where such directories are kept.
    pub label: &'static str,
    /// Its value where none is given.
    pub usual: &'static str,
    /// Whether the initialisation must be told an unusual value.
    pub is_told: bool,
}

/// How a new data directory learns the time zones of the host.
#[derive(Debug, Clone, Copy)]
pub struct TimeZones {
    /// Names of the program that prints statements when it is given the zones' directory, best first.
    pub programs: &'static [&'static str],
    /// Where its real name begins like this, it is another product's, whose statements are not understood.
    pub foreign: Option<&'static str>,
    /// What is executed in front of its statements.
    pub head: &'static str,
    /// The option of the initialisation that names the file of statements.
    pub option: &'static str,
}

/// Where a product looks for what it loads.
#[derive(Debug, Clone, Copy)]
pub struct Libraries {
    /// The option that names the directory.
    pub option: &'static str,
    /// Arguments that make the program print its options, with their values, one a line.
    pub ask: &'static [&'static str],
    /// Options that name what it looks for beside its program otherwise.
    pub beside: &'static [&'static str],
}
