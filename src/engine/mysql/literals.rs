//! The values that dump clients write into rows: numbers, quoted texts, `0x…`, `NULL`, with `_charset` in front of texts. Both
//! clients print what the server sent them as one of these, whatever the type of the column, so a row with anything else
//! was made by somebody who wants a restore to compute it: it could call a stored function with every right.

/// How far a value was read. Kept between buffers of any size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literal {
    /// Nothing of the row yet: it may have no value at all.
    First,
    /// Nothing of the value yet.
    Begin,
    /// Behind its sign.
    Sign,
    /// One zero: what follows may be an `x`.
    Zero,
    /// Inside of a number, before its point.
    Number,
    /// Behind the point of a number.
    Fraction { has_digit: bool },
    /// Behind the `e` of a number.
    Exponent,
    /// Behind the sign, or inside of the digits, of an exponent.
    Power { has_digit: bool },
    /// Behind `0x`.
    Hexadecimal { has_digit: bool },
    /// So many letters of `NULL` were read.
    Null(u8),
    /// Inside of `_charset`.
    Charset,
    /// Behind it and a blank.
    Introduced,
    /// Behind the zero of a `0x` that has a charset.
    Prefix,
    /// Behind the letter of `x'…'` or `b'…'`.
    Quotable,
    /// A quoted text ended; if a quote follows, it was one of two.
    Text,
    /// The value is whole.
    Whole,
}

impl Literal {
    /// The place behind `byte`, which is not part of a quoted text; none where no client writes it there. A quote begins, or
    /// goes on with, a text.
    pub fn after(self, byte: u8) -> Option<Self> {
        let next = match (self, byte) {
            (Self::First | Self::Begin, b' ' | b'\n' | b'\r' | b'\t') => self,
            (Self::First | Self::Begin, b'+' | b'-') => Self::Sign,
            (Self::First | Self::Begin, b'_') => Self::Charset,
            (Self::First | Self::Begin, b'N' | b'n') => Self::Null(1),
            (Self::First | Self::Begin | Self::Introduced, b'x' | b'X' | b'b' | b'B') => Self::Quotable,
            (Self::First | Self::Begin, b'0') => Self::Zero,
            (Self::Introduced, b'0') => Self::Prefix,
            (Self::First | Self::Begin | Self::Sign | Self::Zero | Self::Number, b'0'..=b'9') => Self::Number,
            (Self::First | Self::Begin | Self::Sign, b'.') => Self::Fraction { has_digit: false },
            (Self::Zero | Self::Number, b'.') | (Self::Fraction { .. }, b'0'..=b'9') => {
                Self::Fraction { has_digit: true }
            }
            (Self::Zero | Self::Number | Self::Fraction { has_digit: true }, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::Power { has_digit: false },
            (Self::Exponent | Self::Power { .. }, b'0'..=b'9') => Self::Power { has_digit: true },
            (Self::Zero | Self::Prefix, b'x') => Self::Hexadecimal { has_digit: false },
            (Self::Hexadecimal { .. }, byte) if byte.is_ascii_hexdigit() => Self::Hexadecimal { has_digit: true },
            (Self::Null(letters), byte) if b"NULL".get(usize::from(letters)) == Some(&byte.to_ascii_uppercase()) => {
                Self::Null(letters + 1)
            }
            (Self::Charset, byte) if byte.is_ascii_alphanumeric() => self,
            (Self::Charset | Self::Introduced, b' ') => Self::Introduced,
            (Self::First | Self::Begin | Self::Charset | Self::Introduced | Self::Quotable | Self::Text, b'\'') => {
                Self::Text
            }
            (_, b' ' | b'\n' | b'\r' | b'\t') if self.is_whole() => Self::Whole,
            (_, b',') if self.is_whole() => Self::Begin,
            (_, b')') if self.is_whole() || self == Self::First => Self::Whole,
            _ => return None,
        };
        Some(next)
    }

    fn is_whole(self) -> bool {
        matches!(
            self,
            Self::Zero
                | Self::Number
                | Self::Fraction { has_digit: true }
                | Self::Power { has_digit: true }
                | Self::Hexadecimal { has_digit: true }
                | Self::Null(4)
                | Self::Text
                | Self::Whole
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `row`, without its first parenthesis, is one that a client writes. Its texts have no quotes in them.
    fn is_written(row: &str) -> bool {
        let mut place = Some(Literal::First);
        let mut is_inside = false;
        for byte in row.bytes() {
            is_inside ^= byte == b'\'';
            if !is_inside || byte == b'\'' {
                place = place.and_then(|place| place.after(byte));
            }
        }
        place == Some(Literal::Whole)
    }

    #[test]
    fn what_clients_write_is_a_value() {
        for row in [
            ")",
            "1)",
            "0,-1,007,0.5,-.5,1.,0.,1e20,-1.5E-10,1.e5,1e+3)",
            "'',NULL,'a,b)',0x00fF,_binary 'a',_utf8mb4'a',_binary 0x41)",
            "x'41',b'01',_latin1 x'41')",
            " 1 , 'a' ,\n NULL )",
            "'it''s')",
        ] {
            assert!(is_written(row), "({row}");
        }
    }

    #[test]
    fn what_is_computed_is_none() {
        for row in [
            "f())",
            "sleep(1))",
            "(1))",
            "(SELECT 1))",
            "1+1)",
            "1-1)",
            "'a' 'b')",
            "'a'=f())",
            "@a)",
            "@@version)",
            "`a`)",
            "a)",
            "\"a\")",
            "NULLIF(1,1))",
            "NULL IS NULL)",
            "N)",
            "0x)",
            "0xfg)",
            "0b1)",
            "1a)",
            "1e)",
            "1e+)",
            "-)",
            "--1)",
            "-'1')",
            "_binary)",
            "_binary f())",
            "_binary 0)",
            "_binary 01)",
            "_binary 0.5)",
            "_binary 1)",
            ".)",
            "-.)",
            ".e5)",
            "1.2.3)",
            "1..2)",
            "1.a)",
            "_binary NULL)",
            "x)",
            "xor('a'))",
            "1/*!,f()*/)",
            "/*!f()*/)",
            "1 f)",
            "1,,2)",
            "1,)",
            ",1)",
            "DEFAULT)",
            "TRUE)",
            "1;)",
            "1#)",
        ] {
            assert!(!is_written(row), "({row}");
        }
    }
}
