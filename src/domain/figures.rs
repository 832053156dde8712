//! Numbers and sizes as people read them.

/// Thousands are easier to read in groups: `1 234 567`.
pub fn grouped(number: u64, space: char) -> String {
    let digits = number.to_string();
    let group = |(at, digit): (usize, char)| {
        let space = (at > 0 && (digits.len() - at).is_multiple_of(3)).then_some(space);
        space.into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(group).collect()
}

/// `1.5 GiB`.
pub fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(|it| grouped(it, ' ')), ["0", "999", "1 000", "1 234 567"]);
        assert_eq!(size(1_572_864), "1.5 MiB");
    }
}
