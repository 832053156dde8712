//! The fault campaign: a seeded random driver does harm to a small world of all three kinds, and an independent model says
//! after each step whether a rule of the documented interface was broken.
//!
//! `make campaign ARGS="--minutes 30 --seed 7"` runs it for longer; what it finds it prints with the shortest way to see it
//! again. The seed decides every step, its fault, and how late in the operation that comes; which instruction it meets is
//! up to the machine.
//!
//! A round is a new world and so many steps. Its seed is the first seed plus its number, so that no long run has to be
//! repeated for a step near its end.

mod chance;
mod command;
mod content;
mod disks;
mod faults;
mod judge;
mod parties;
mod plan;
mod self_test;
mod service;
mod steps;
mod table;
mod world;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use content::Servers;
use judge::Broken;
use plan::{Party, Step};
use table::{Outcome, Table};
use world::World;

use crate::support::Product;

/// Steps of one round.
const STEPS: u64 = 40;
/// How long before the end the last step begins, so that the slice ends in time.
const LAST_STEP: Duration = Duration::from_secs(45);
/// As much as a repetition of single steps may take.
const LONG: Duration = Duration::from_secs(3600);
/// Steps of the slice that every run of the tests takes: the same ones on a quick machine.
const SLICE: u64 = 24;

/// What the campaign was asked for, in `CAMPAIGN`.
struct Asked {
    minutes: u64,
    seed: u64,
    /// One round with so many steps.
    steps: Option<u64>,
    /// Nothing was asked for: a run of all tests.
    slice: bool,
    /// Worlds beside each other.
    worlds: u64,
    /// One round with this step alone.
    only: Option<u64>,
    /// Every fault is a signal to this party.
    aim: Option<Party>,
    product: Product,
}

impl Asked {
    fn read() -> Self {
        let text = std::env::var("CAMPAIGN");
        let (slice, steps) = (text.is_err(), text.is_err().then_some(SLICE));
        let (minutes, seed, worlds, only, aim, product) = (3, 1, 1, None, None, Product::MariaDb);
        let mut asked = Self { minutes, seed, steps, slice, worlds, only, aim, product };
        let text = text.unwrap_or_default();
        let mut asked_for = text.split_whitespace();
        let usage = "--minutes N --seed N --steps N --only N --worlds N --aim load|sandbox --mysql";
        while let Some(word) = asked_for.next() {
            let mut number =
                || asked_for.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{usage}"));
            match word {
                "--minutes" => asked.minutes = number(),
                "--seed" => asked.seed = number(),
                "--worlds" => asked.worlds = number(),
                "--steps" => asked.steps = Some(number()),
                "--only" => asked.only = Some(number()),
                "--aim" => {
                    asked.aim = Some(match asked_for.next() {
                        Some("load") => Party::Load,
                        Some("sandbox") => Party::SandboxServer,
                        _ => panic!("{usage}"),
                    });
                }
                "--mysql" => asked.product = Product::MySql,
                other => panic!("CAMPAIGN has {other:?}: {usage}"),
            }
        }
        asked
    }

    /// One round of chosen steps.
    fn is_one(&self) -> bool {
        self.steps.is_some() || self.only.is_some()
    }

    fn arguments(&self, seed: u64, which: &str) -> String {
        let aim = match self.aim {
            None => "",
            Some(Party::Load) => " --aim load",
            Some(_) => " --aim sandbox",
        };
        let product = if self.product == Product::MySql { " --mysql" } else { "" };
        format!("make campaign ARGS=\"--seed {seed} {which}{aim}{product}\"")
    }

    fn step(&self, seed: u64, number: u64) -> Step {
        self.aim.map_or_else(|| Step::of(seed, number), |party| Step::aimed(seed, number, party))
    }
}

/// A rule that was broken, and how to see it again.
struct Found {
    seed: u64,
    step: Step,
    broken: Broken,
}

/// Live through these steps of a seed in a new world; what was broken first.
fn round(servers: &mut Servers, seed: u64, steps: &[Step], until: Instant, table: &mut Table) -> Option<Found> {
    let mut world = World::new(servers, seed);
    if let Err(broken) = steps::begin_round(&mut world) {
        return Some(Found { seed, step: steps[0].clone(), broken });
    }
    for step in steps.iter().take_while(|_| Instant::now() < until) {
        let started = Instant::now();
        world.log.push(format!("== {step:?}"));
        let taken = steps::take(&mut world, step);
        let outcomes = taken.as_ref().map_or_else(|_| vec![Outcome::Broken], Clone::clone);
        println!("seed {seed} {step:?}: {outcomes:?} after {:.1?}", started.elapsed());
        for outcome in outcomes {
            table.add(step.fault.kind(), outcome);
        }
        if let Err(broken) = taken {
            world.keep(&kept(seed, step.number));
            return Some(Found { seed, step: step.clone(), broken });
        }
    }
    None
}

fn kept(seed: u64, number: u64) -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("campaign-{seed}-{number}"))
}

/// The shortest way to see it again that is known: the step alone, if that breaks the same rule.
fn shortest(asked: &Asked, servers: &mut Servers, found: &Found) -> String {
    let (seed, number) = (found.seed, found.step.number);
    let late = Instant::now() + Duration::from_secs(600);
    let again = round(servers, seed, std::slice::from_ref(&found.step), late, &mut Table::default());
    if again.is_some_and(|again| again.broken.rule == found.broken.rule) {
        return asked.arguments(seed, &format!("--only {number}"));
    }
    asked.arguments(seed, &format!("--steps {number}"))
}

#[test]
fn a_slice_of_three_minutes_of_faults_loses_no_point_and_tells_nothing_false() {
    let asked = Asked::read();
    let until = Instant::now()
        + if asked.is_one() && !asked.slice {
            LONG
        } else {
            Duration::from_secs(60 * asked.minutes).saturating_sub(LAST_STEP)
        };
    let next = AtomicU64::new(asked.seed);
    let results = Mutex::new((Table::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..asked.worlds {
            scope.spawn(|| live(&asked, until, &next, &results));
        }
    });
    let (table, findings) = results.into_inner().unwrap();
    println!("{table}\n{} faults", table.tried());
    assert!(findings.is_empty(), "{} rules were broken:\n{}", findings.len(), findings.join("\n"));
}

/// Round after round until the time is over; what is found is added to the findings.
fn live(asked: &Asked, until: Instant, next: &AtomicU64, results: &Mutex<(Table, Vec<String>)>) {
    let mut servers = Servers::start(asked.product);
    let one = asked.is_one();
    let numbers: Vec<u64> = match (asked.only, asked.steps) {
        (Some(only), _) => vec![only],
        (None, steps) => (1..=steps.unwrap_or(STEPS)).collect(),
    };
    loop {
        let seed = next.fetch_add(1, Ordering::SeqCst);
        let mut table = Table::default();
        let steps: Vec<Step> = numbers.iter().map(|number| asked.step(seed, *number)).collect();
        let found = round(&mut servers, seed, &steps, until, &mut table);
        results.lock().unwrap().0.merge(table);
        if let Some(found) = found {
            let (rule, what) = (found.broken.rule, &found.broken.what);
            println!("BROKEN {rule:?} by seed {seed} {:?}: {what}", found.step);
            let again = if one { String::new() } else { shortest(asked, &mut servers, &found) };
            println!("  again: {again}\n  kept: {}", kept(seed, found.step.number).display());
            let finding = format!("{rule:?} by {}: {what}\n  again: {again}", found.step.fault.kind());
            results.lock().unwrap().1.push(finding);
        }
        if one || Instant::now() >= until {
            return;
        }
    }
}
