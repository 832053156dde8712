//! Looking at repositories and sandboxes, on threads that nobody waits for: a file system that hangs must not keep the service
//! from ending, from saying that it hangs, or from looking at the other repositories. Each has a look of its own.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::damage::DamageWatch;
use crate::app::{App, Source};
use crate::clock::Stopwatch;
use crate::display;
use crate::ledger::is_damage;
use crate::operations::ledger_health::ledgers_set_aside;
use crate::operations::observe::{by_repository, count_sandboxes, in_words, observe_repository, prepare};
use crate::operations::ownership::last_said_of_others;
use crate::run_context::Cancel;
use crate::scheduler::AppWork;
use crate::state::State;
use crate::state::service::RepositoryState;

/// How often the sandboxes are counted: what runs makes and destroys them.
const CENSUS_INTERVAL: Duration = Duration::from_secs(2);
/// Every how many counts it is tried whether the state directory can be written.
const STATE_CHECK: u32 = 4;
/// How soon a thread notices that the end was asked for.
const NOTICE: Duration = Duration::from_millis(100);

/// Asks for a look at the repositories before its time.
#[derive(Debug, Clone, Default)]
pub(super) struct Nudge(Arc<AtomicBool>);

impl Nudge {
    /// The next look is due.
    pub(super) fn look_soon(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_given(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

/// Look now, again and again, and whenever there is a nudge, until `stop`. What comes back is disconnected when everything
/// was looked at once.
pub(super) fn begin(
    work: &Arc<AppWork>,
    state: &Arc<State>,
    damage: &DamageWatch,
    nudge: &Nudge,
    stop: &Cancel,
) -> Receiver<()> {
    let (looked, first_look) = channel();
    let looks = Arc::new(Looks {
        work: work.clone(),
        state: state.clone(),
        damage: damage.clone(),
        under_way: Mutex::default(),
        unrecorded: Mutex::default(),
    });
    let (nudge, its_stop, its_looks) = (nudge.clone(), stop.clone(), looks.clone());
    std::thread::spawn(move || {
        its_looks.round(Some(&looked));
        drop(looked);
        let interval = || its_looks.work.app().config.scheduler.listing_interval;
        repeat(interval, &nudge, &its_stop, || its_looks.round(None));
    });
    let its_stop = stop.clone();
    looks.check_state();
    std::thread::spawn(move || {
        let mut counts = 0_u32;
        repeat(
            || CENSUS_INTERVAL,
            &Nudge::default(),
            &its_stop,
            || {
                census(&looks.work, &looks.state);
                looks.give_up_hanging();
                counts = counts.wrapping_add(1);
                if counts.is_multiple_of(STATE_CHECK) {
                    looks.check_state();
                }
            },
        );
    });
    first_look
}

/// The looks of one service.
struct Looks {
    work: Arc<AppWork>,
    state: Arc<State>,
    damage: DamageWatch,
    /// By repository. One that hangs goes on, and no other is begun beside it.
    under_way: Mutex<BTreeMap<String, Vec<UnderWay>>>,
    /// By repository: why what was seen there could not be written down.
    unrecorded: Mutex<BTreeMap<String, String>>,
}

/// A look that has begun.
struct UnderWay {
    /// Which driver is asked: a changed configuration brings another one for the same name.
    driver: usize,
    since: Stopwatch,
    /// It was said that it hangs.
    is_late: bool,
}

impl Looks {
    /// Begin a look at every repository where none is under way. Each drops its copy of `looked` when it ends.
    fn round(self: &Arc<Self>, looked: Option<&Sender<()>>) {
        let app = self.work.app();
        let all = catch_unwind(AssertUnwindSafe(|| {
            if prepare(&app).is_err_and(|error| is_damage(&error)) {
                self.damage.look(&app);
            }
            by_repository(&app)
        }));
        let Ok(repositories) = all else {
            tracing::error!("cannot list repositories: the program panicked (a bug)");
            return;
        };
        locked(&self.unrecorded).retain(|name, _| repositories.contains_key(name));
        let now = app.clock.wall();
        self.state.update_service(|service| {
            service.repositories.retain(|name, _| repositories.contains_key(name));
            for name in repositories.keys() {
                service.repositories.entry(name.clone()).or_insert_with(|| RepositoryState::awaited(now));
            }
        });
        for (name, sources) in repositories {
            if self.enter(&name, driver(&sources), &app) {
                self.begin(&app, name, sources, looked.cloned());
            }
        }
    }

    /// What is full or read-only now is told now: nothing can begin there.
    fn check_state(&self) {
        let app = self.work.app();
        self.damage.look_for_loss(&app);
        let unwritable = app.check_state().err();
        let set_aside = ledgers_set_aside(&app);
        let recorded = locked(&self.unrecorded).values().next().cloned();
        let mut is_new = false;
        self.state.update_service(|service| {
            is_new = unwritable.is_some() && service.state_trouble.is_none();
            service.state_trouble = unwritable.as_ref().map(in_words).or(recorded);
            service.ledgers_set_aside = set_aside;
        });
        if let Some(error) = unwritable.filter(|_| is_new) {
            tracing::error!(hint = error.hint_text(), "cannot clean up the state directory: {error}");
        }
    }

    fn begin(self: &Arc<Self>, app: &Arc<App>, name: String, sources: Vec<Source>, looked: Option<Sender<()>>) {
        let (looks, app) = (self.clone(), app.clone());
        let thread = std::thread::Builder::new().name(format!("look {name}"));
        let (its_name, its_driver) = (name.clone(), driver(&sources));
        let spawned = thread.spawn(move || {
            looks.look(&app, &name, &sources);
            drop(looked);
        });
        if let Err(error) = spawned {
            tracing::error!("cannot list repository {its_name}: cannot start a thread: {error}");
            self.leave(&its_name, its_driver);
        }
    }

    /// Recovery points are never remembered from a success: the repository is asked what it lists.
    fn look(&self, app: &App, name: &str, sources: &[Source]) {
        let seen = catch_unwind(AssertUnwindSafe(|| observe_repository(app, sources)));
        let was_late = self.leave(name, driver(sources));
        let is_in_use = self.work.app().repository(name).is_some_and(|it| address(&it) == driver(sources));
        if !is_in_use {
            return;
        }
        let Ok(seen) = seen else {
            tracing::error!("cannot list repository {name}: the program panicked (a bug)");
            self.state.update_service(|service| {
                service.repositories.entry(name.to_owned()).or_default().hangs();
            });
            return;
        };
        if was_late {
            tracing::info!(repository = name, "the repository answers again");
        }
        if seen.unrecorded.as_ref().is_some_and(is_damage) {
            self.damage.look(app);
        }
        let unrecorded = seen.unrecorded.as_ref().map(|error| {
            tracing::error!(
                repository = name,
                hint = error.hint_text(),
                "cannot record what repository {name} lists: {error}"
            );
            in_words(error)
        });
        match &unrecorded {
            Some(why) => locked(&self.unrecorded).insert(name.to_owned(), why.clone()),
            None => locked(&self.unrecorded).remove(name),
        };
        self.state.update_service(|service| {
            service.repositories.insert(name.to_owned(), seen.state);
            // What was not seen this time stays as it was.
            for source in sources.iter().filter(|_| seen.state.up == Some(true)) {
                match last_said_of_others(app, &source.name) {
                    Some(said) => service.other_hosts.insert(source.name.clone(), said),
                    None => service.other_hosts.remove(&source.name),
                };
            }
            if unrecorded.is_some() {
                service.state_trouble = unrecorded;
            }
        });
        self.state.changed();
    }

    /// Whether a look at this driver may begin: none is under way.
    fn enter(&self, name: &str, driver: usize, app: &App) -> bool {
        let mut under_way = locked(&self.under_way);
        let of_it = under_way.entry(name.to_owned()).or_default();
        if of_it.iter().any(|look| look.driver == driver) {
            return false;
        }
        of_it.push(UnderWay { driver, since: Stopwatch::start(&app.clock), is_late: false });
        true
    }

    /// A look ended; whether it was said that it hangs.
    fn leave(&self, name: &str, driver: usize) -> bool {
        let mut under_way = locked(&self.under_way);
        let of_it = under_way.entry(name.to_owned()).or_default();
        let at = of_it.iter().position(|look| look.driver == driver);
        at.is_some_and(|at| of_it.swap_remove(at).is_late)
    }

    /// A repository that does not answer in time cannot be read, and what it said before is no longer true of now.
    fn give_up_hanging(&self) {
        let app = self.work.app();
        let limit = app.config.scheduler.listing_timeout;
        for (name, looks) in locked(&self.under_way).iter_mut() {
            let in_use = app.repository(name).map(|it| address(&it));
            for look in looks.iter_mut().filter(|look| !look.is_late && look.since.elapsed() > limit) {
                look.is_late = true;
                if in_use != Some(look.driver) {
                    continue;
                }
                let limit = display::limit(limit);
                tracing::error!(
                    repository = %name,
                    hint = "check for a hung mount; `listing_timeout` is the limit",
                    "cannot list repository {name}: no answer within {limit}"
                );
                self.state.update_service(|service| service.repositories.entry(name.clone()).or_default().hangs());
            }
        }
    }
}

fn driver(sources: &[Source]) -> usize {
    sources.first().map_or(0, |source| address(&source.repository))
}

/// What tells two drivers apart. A look holds its driver, so that no other one gets the same address meanwhile.
fn address<T: ?Sized>(of: &Arc<T>) -> usize {
    Arc::as_ptr(of).cast::<()>() as usize
}

fn census(work: &AppWork, state: &State) {
    // Trouble is said with every look at the repositories.
    if let Ok(sandboxes) = count_sandboxes(&work.app()) {
        state.update_service(|service| sandboxes.show(service));
    }
}

fn repeat(interval: impl Fn() -> Duration, nudge: &Nudge, stop: &Cancel, mut work: impl FnMut()) {
    let mut waited = Duration::ZERO;
    while !stop.is_cancelled() {
        std::thread::sleep(NOTICE);
        waited += NOTICE;
        if nudge.is_given() || waited >= interval() {
            waited = Duration::ZERO;
            work();
        }
    }
}

/// The value is plain data that no panic can leave half-changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
