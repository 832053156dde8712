//! Random choices that a seed repeats. Every step has choices of its own, so that a step can be tried without those before it.

#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// The choices of one step of one seed.
    pub fn of(seed: u64, step: u64) -> Self {
        let mut chance = Self(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        // Neighbouring seeds must not begin alike.
        chance.next();
        chance.next();
        chance
    }

    /// splitmix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// True in so many cases of a hundred.
    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    /// One of these, each as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, all: &[(u64, T)]) -> T {
        let mut at = self.below(all.iter().map(|(weight, _)| weight).sum());
        for (weight, thing) in all {
            if at < *weight {
                return *thing;
            }
            at -= weight;
        }
        unreachable!("the weights add up")
    }
}

#[test]
fn a_seed_repeats_its_choices_and_steps_differ() {
    let few = |seed, step| {
        let mut chance = Chance::of(seed, step);
        [(); 4].map(|()| chance.below(1_000))
    };
    assert_eq!(few(7, 3), few(7, 3));
    assert_ne!(few(7, 3), few(7, 4));
    assert_ne!(few(7, 3), few(8, 3));
    let mut chance = Chance::of(1, 1);
    assert!((0..1_000).all(|_| chance.weighted(&[(0, "never"), (1, "always")]) == "always"));
}
