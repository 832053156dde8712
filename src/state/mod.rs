//! What is known now: the ledger as last read, promises kept, forecasts, what runs, what repositories said.
//!
//! Scheduler, service, operations and commands tell it; `status`, metrics, pages and the scheduler read it. It reads the ledger in the
//! background: nobody who asks for a [`View`] waits for a database.

mod forecasts;
mod kept_promises;
pub mod process_facts;
pub mod service;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

use self::forecasts::Forecasts;
use self::kept_promises::KeptPromises;
use self::service::ServiceState;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::forecast::Forecast;
use crate::domain::history::MetRatios;
use crate::error::{Error, Result};
use crate::ledger::{Ledger, LedgerSnapshot};

/// How often the ledger is asked whether anything changed.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// How long a snapshot serves while nothing changes: percentiles over 30 days move by themselves.
const LONGEST_USE: TimeDelta = TimeDelta::seconds(60);

/// What this process knows. Shared between those who tell it and those who ask.
pub struct State {
    clock: Arc<dyn Clock>,
    wake: Notify,
    /// Only for whoever reads the ledger; never held by a scrape.
    kept: tokio::sync::Mutex<KeptPromises>,
    /// As `kept`.
    foreseen: tokio::sync::Mutex<Forecasts>,
    live: RwLock<Live>,
    /// Something that is shown has changed.
    news: Notify,
}

/// What a [`View`] is made from beside the moment and the service; of two that are equal the same is said.
#[derive(Clone)]
pub struct Edition {
    config: Arc<Config>,
    met_ratios: Arc<BTreeMap<String, MetRatios>>,
    forecasts: Arc<BTreeMap<String, Forecast>>,
    revision: i64,
    read: DateTime<Utc>,
}

impl PartialEq for Edition {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
            && Arc::ptr_eq(&self.met_ratios, &other.met_ratios)
            && Arc::ptr_eq(&self.forecasts, &other.forecasts)
            && (self.revision, self.read) == (other.revision, other.read)
    }
}

/// What everything that is shown is made from, as it is at one moment.
#[derive(Clone)]
pub struct View {
    /// Configuration in use.
    pub config: Arc<Config>,
    /// What the service knows beside the ledger.
    pub service: ServiceState,
    /// The ledger, as last read.
    pub snapshot: Arc<LedgerSnapshot>,
    /// By source: share of the last 30 days in which each promise was kept.
    pub met_ratios: Arc<BTreeMap<String, MetRatios>>,
    /// By source: how long a restore would take; a source of which that cannot be said is missing.
    pub forecasts: Arc<BTreeMap<String, Forecast>>,
    /// Now.
    pub now: DateTime<Utc>,
}

struct Live {
    config: Arc<Config>,
    service: ServiceState,
    snapshot: Option<Arc<LedgerSnapshot>>,
    met_ratios: Arc<BTreeMap<String, MetRatios>>,
    forecasts: Arc<BTreeMap<String, Forecast>>,
    /// When the snapshot was really read; its own `taken` also moves when it was found unchanged.
    read: DateTime<Utc>,
    trouble: Option<String>,
    /// When the ledger was last looked at, well or not, on the monotonic clock.
    looked: Duration,
}

impl View {
    /// What is shown where nothing but this is known.
    pub fn new(config: Config, snapshot: LedgerSnapshot, service: ServiceState, now: DateTime<Utc>) -> Self {
        let (config, snapshot) = (Arc::new(config), Arc::new(snapshot));
        Self { config, service, snapshot, met_ratios: Arc::default(), forecasts: Arc::default(), now }
    }
}

impl State {
    /// A state that is not ready until its first [`State::refresh`].
    pub fn new(config: Arc<Config>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let live = Live {
            config,
            service: ServiceState::of_this_program(),
            snapshot: None,
            met_ratios: Arc::default(),
            forecasts: Arc::default(),
            read: DateTime::UNIX_EPOCH,
            trouble: Some("the ledger has not been read yet".to_owned()),
            looked: clock.monotonic(),
        };
        let (wake, news) = (Notify::new(), Notify::new());
        let (kept, foreseen) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { clock, wake, kept, foreseen, live: RwLock::new(live), news })
    }

    /// Speak of another configuration from now on.
    pub fn set_config(&self, config: Arc<Config>) {
        self.update(|live| live.config = config);
    }

    /// Change what the service knows beside the ledger.
    pub fn update_service(&self, change: impl FnOnce(&mut ServiceState)) {
        self.update(|live| change(&mut live.service));
    }

    /// Something was written to the ledger: have it read now instead of at the next interval.
    pub fn changed(&self) {
        self.wake.notify_one();
    }

    /// Read the ledger if it changed. After an error the old figures are served on (their timestamps age, and so do the
    /// alerts), but the service is not ready.
    pub async fn refresh(&self, ledger: &Ledger) -> Result<()> {
        let result = self.read(ledger).await;
        let looked = self.clock.monotonic();
        self.update(|live| {
            live.trouble = result.as_ref().err().map(ToString::to_string);
            live.looked = looked;
        });
        result
    }

    async fn read(&self, ledger: &Ledger) -> Result<()> {
        ledger.check_place()?;
        // A run of another process that was killed would look as if it ran for ever.
        ledger.recover().await?;
        let revision = ledger.revision().await?;
        let now = self.clock.wall();
        let is_current = self.look(|live| {
            let known = live.snapshot.as_ref().map(|snapshot| snapshot.revision);
            known == Some(revision) && now >= live.read && now - live.read < LONGEST_USE
        });
        if is_current {
            self.update(|live| {
                if let Some(snapshot) = &mut live.snapshot {
                    Arc::make_mut(snapshot).taken = now;
                }
            });
            return Ok(());
        }
        let snapshot = Arc::new(ledger.snapshot().await?);
        let met_ratios = Arc::new(self.kept.lock().await.ratios(ledger, &snapshot).await?);
        let forecasts = Arc::new(self.foreseen.lock().await.at(ledger, &snapshot).await?);
        self.update(|live| {
            live.met_ratios = met_ratios;
            live.forecasts = forecasts;
            live.read = snapshot.taken;
            live.snapshot = Some(snapshot);
        });
        Ok(())
    }

    /// [`State::refresh`] at every `interval` and after every [`State::changed`], for as long as it is polled.
    pub async fn keep_fresh(&self, ledger: &Ledger, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut was_in_trouble = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.wake.notified() => {}
            }
            let result = self.refresh(ledger).await;
            match &result {
                // Said once, not every five seconds.
                Err(error) if !was_in_trouble => {
                    tracing::error!(hint = error.hint_text(), "cannot refresh metrics: {error}");
                }
                Ok(()) if was_in_trouble => tracing::info!("metrics are refreshed again"),
                _ => {}
            }
            was_in_trouble = result.is_err();
        }
    }

    /// How long nobody has looked at the ledger; grows only if what keeps us fresh hangs.
    pub fn idle(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.look(|live| live.looked))
    }

    /// Why the service is not ready, if it is not. Whether the SLA is met is not asked here.
    pub fn trouble(&self) -> Option<String> {
        self.look(|live| live.trouble.clone().or_else(|| live.service.state_trouble.clone()))
    }

    /// As-of time of the newest recovery point of `source`, as last read from the ledger.
    pub fn newest_point(&self, source: &str) -> Option<DateTime<Utc>> {
        self.look(|live| live.snapshot.as_ref()?.sources.get(source)?.points.newest)
    }

    /// The same, and when the source was first seen: of one reading.
    pub fn newest_point_and_creation(&self, source: &str) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let of = |live: &Live| live.snapshot.as_ref()?.sources.get(source).map(|it| (it.points.newest, it.created));
        self.look(of).unwrap_or_default()
    }

    /// Everything at this moment. Errors: the ledger was never read.
    pub fn view(&self) -> Result<View> {
        self.edition().map(|(view, _)| view)
    }

    /// Until something that is shown changes. For one who waits.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// The clock that everything here is dated by.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Everything at this moment, and what of it lasts. Errors: the ledger was never read.
    pub fn edition(&self) -> Result<(View, Edition)> {
        let now = self.clock.wall();
        self.look(|live| {
            let snapshot = live.snapshot.clone()?;
            let (config, met_ratios) = (live.config.clone(), live.met_ratios.clone());
            let forecasts = live.forecasts.clone();
            let edition = Edition {
                config: config.clone(),
                met_ratios: met_ratios.clone(),
                forecasts: forecasts.clone(),
                revision: snapshot.revision,
                read: live.read,
            };
            Some((View { config, service: live.service.clone(), snapshot, met_ratios, forecasts, now }, edition))
        })
        .ok_or_else(|| Error::failed("cannot show the state: the ledger has not been read yet"))
    }

    // Every write leaves the data whole, so a poisoned lock says nothing about it.
    fn look<T>(&self, read: impl FnOnce(&Live) -> T) -> T {
        read(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn update(&self, write: impl FnOnce(&mut Live)) {
        write(&mut self.live.write().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_one();
    }
}
