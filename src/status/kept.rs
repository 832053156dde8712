//! What the shares of all promises of a source say together.

use crate::domain::history::{MetRatios, Share, Verdict};
use crate::domain::sla::Objective;

/// Whether the promises of a source were kept over the last 30 days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kept {
    /// Every promise for at least the promised share of the time; this is the smallest share.
    Enough(f64),
    /// At least one for less than that; this is the smallest share.
    TooLittle(f64),
    /// There is not enough time to judge at least one by, and no other was kept too little; these are its days.
    NotYet(f64),
    /// Of at least one promise nothing is known, and no other was kept too little.
    Unknown,
}

/// The share of the last 30 days against the promised share.
pub fn kept(ratios: Option<&MetRatios>, promised: f64) -> Kept {
    let known: Vec<Share> = Objective::ALL
        .iter()
        .filter_map(|objective| ratios.and_then(|ratios| ratios.get(objective)))
        .copied()
        .collect();
    let worst = |shares: &mut dyn Iterator<Item = &Share>| shares.filter_map(|share| share.ratio()).fold(1.0, f64::min);
    let mut too_little = known.iter().filter(|share| share.verdict(promised) == Verdict::TooLittle).peekable();
    let early = known.iter().filter(|share| share.verdict(promised) == Verdict::NotYet);
    if too_little.peek().is_some() {
        Kept::TooLittle(worst(&mut too_little))
    } else if known.len() < Objective::ALL.len() {
        Kept::Unknown
    } else if let Some(shortest) = early.min_by_key(|share| share.judged) {
        Kept::NotYet(shortest.judged_days())
    } else {
        Kept::Enough(worst(&mut known.iter()))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_share_that_nobody_knows_is_not_taken_for_kept() {
        let of_hours =
            |(met, judged): &(i64, i64)| Share { met: TimeDelta::hours(*met), judged: TimeDelta::hours(*judged) };
        let ratios = |shares: &[(i64, i64)]| -> MetRatios {
            Objective::ALL.into_iter().zip(shares.iter().map(of_hours)).collect()
        };
        let whole = (700, 700);
        assert_eq!(kept(None, 0.99), Kept::Unknown);
        assert_eq!(kept(Some(&ratios(&[whole; 4])), 0.99), Kept::Unknown);
        assert_eq!(kept(Some(&ratios(&[whole, (693, 700), whole, whole, whole])), 0.99), Kept::Enough(0.99));
        assert_eq!(kept(Some(&ratios(&[(350, 700)])), 0.99), Kept::TooLittle(0.5));
        assert_eq!(kept(Some(&ratios(&[whole, (0, 0), whole, whole, whole])), 0.99), Kept::NotYet(0.0));
        assert_eq!(kept(Some(&ratios(&[whole, (11, 12), whole, whole, whole])), 0.99), Kept::NotYet(0.5));
        assert_eq!(kept(Some(&ratios(&[(11, 12), (350, 700), whole, whole, whole])), 0.99), Kept::TooLittle(0.5));
    }
}
