//! What a check works with: channels of its own, publishers and consumers that write down what they do, a hand on the
//! broker, and at the end the judgement of what was written down.

mod broken;
mod events;
mod facade;
mod finish;
mod harms;
mod judge;
mod letters;
mod open;
mod place;
mod raw;
mod reader;
mod sender;
mod taken;
mod tap;
mod waits;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pontoon::Broker;
use pontoon_core::driver::{AnyTransport, DepthReport, Ensure, Transport};
use pontoon_core::engine::Environment;
use pontoon_core::{Capabilities, ChannelKind, Error, ErrorKind, EventHook, Level, Order, Result, Retry, Source};

use crate::checks::Check;
use crate::harness::{Harness, Profile, Site, Timings};
use crate::history::{FaultKind, Recorder, SourceName, Subscription, What};
use crate::mutants::{self, Defect};
use crate::run::Plan;
use crate::tap::Run;

pub(crate) use broken::hold;
pub use broken::{Broken, Held};
pub use events::{Events, Heard};
pub(crate) use facade::{names, with_channel};
pub use judge::Judgement;
pub use place::Place;
pub use raw::{RawConsumer, RawProducer};
pub use reader::Reader;
pub use sender::{Ended, Sender, all_confirmed};
pub use taken::{End, Taken};

/// The surroundings of one run of one check. Cheap to clone; clones are the same scene.
#[derive(Clone)]
pub struct Scene(Arc<Inner>);

struct Inner {
    check: Check,
    profile: Profile,
    timings: Timings,
    plan: Plan,
    site: Arc<dyn Site>,
    transport: AnyTransport,
    /// Its number is part of every name, so that runs never meet.
    run: Run,
    events: Events,
    names: AtomicU32,
    publishers: AtomicU32,
    consumers: AtomicU32,
    used: Mutex<Used>,
}

/// What a check made, to be closed and read to its end when it is judged.
#[derive(Default)]
struct Used {
    places: Vec<Place>,
    readers: Vec<Reader>,
    senders: Vec<Sender>,
    harms: Vec<FaultKind>,
    /// The retry policies of consumers, by channel.
    policies: Vec<(String, Retry)>,
    judgement: Judgement,
}

impl Scene {
    pub(crate) async fn open(harness: &Arc<dyn Harness>, profile: &Profile, check: Check, plan: Plan) -> Result<Scene> {
        let site = if check.kills() {
            harness.open_to_kill(profile, plan.seed).await?
        } else {
            harness.open(profile, plan.seed).await?
        };
        let transport = mutants::wrap(site.connect().await?, plan.defect.clone());
        let events = Events::new(plan.defect.clone());
        let environment = Environment::new().seeded(plan.seed);
        let run = if harness.timings().paused { plan.seed } else { pontoon_core::os_seed() };
        Ok(Scene(Arc::new(Inner {
            check,
            profile: profile.clone(),
            timings: harness.timings(),
            plan,
            site,
            transport,
            run: Run::new(run, Recorder::new(), environment),
            events,
            names: AtomicU32::new(0),
            publishers: AtomicU32::new(0),
            consumers: AtomicU32::new(0),
            used: Mutex::default(),
        })))
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn defect(&self) -> &Arc<dyn Defect> {
        &self.0.plan.defect
    }

    /// What is tested.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.0.profile
    }

    /// Whether a topic is tested.
    #[must_use]
    pub fn is_topic(&self) -> bool {
        self.0.profile.kind == ChannelKind::Topic
    }

    /// How long things may take.
    #[must_use]
    pub fn timings(&self) -> &Timings {
        &self.0.timings
    }

    /// Randomness that the run's seed repeats.
    #[must_use]
    pub fn random(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.0.plan.seed)
    }

    /// What happened so far, and is judged in the end.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        self.0.run.recorder()
    }

    /// What belongs to this run: its number, its record, its environment.
    fn run(&self) -> &Run {
        &self.0.run
    }

    /// What the event hook heard.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// The transport under test, for what publishers and consumers do not offer.
    #[must_use]
    pub fn transport(&self) -> &AnyTransport {
        &self.0.transport
    }

    /// The transport under test as an application has it.
    #[must_use]
    pub fn broker(&self) -> Broker {
        Broker::builder().hook(self.0.events.clone()).seed(self.0.plan.seed).build(self.0.transport.clone())
    }

    /// Another connection to the same broker, as another process would have it.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub async fn connect(&self) -> Result<AnyTransport> {
        Ok(mutants::wrap(self.0.site.connect().await?, self.defect().clone()))
    }

    /// What the profile declares, for an unordered channel.
    ///
    /// # Errors
    /// When no name can be made.
    pub fn capabilities(&self) -> Held<Capabilities> {
        Ok(self.0.transport.capabilities(&self.place()?.channel))
    }

    /// The order profiles that the profile offers.
    #[must_use]
    pub fn ordered(&self) -> [Order; 2] {
        [Order::BLOCK, Order::FallBehind]
    }

    /// A channel with a name of its own and a dead-letter channel; a topic has the subscription `one`.
    ///
    /// # Errors
    /// When no name can be made.
    pub fn place(&self) -> Held<Place> {
        let number = self.0.names.fetch_add(1, Ordering::Relaxed);
        let check = self.0.check.name.to_ascii_lowercase();
        Ok(Place::new(self.0.profile.kind, &format!("{check}.{:x}.{number}", self.run().number()))?)
    }

    /// As [`place`](Self::place), always a queue.
    ///
    /// # Errors
    /// When no name can be made.
    pub fn queue(&self) -> Held<Place> {
        let place = self.place()?;
        Ok(Place::new(ChannelKind::Queue, place.channel.name.as_str())?)
    }

    /// Declares a channel with its dead-letter channel and this subscription. From then on it is part of the judgement.
    ///
    /// # Errors
    /// Of the transport.
    pub async fn declare(&self, place: &Place) -> Held {
        if let Some(dead) = place.dead() {
            self.0.transport.ensure(&Ensure::new(dead.channel)).await?;
        }
        let mut ensure = Ensure::new(place.channel.clone());
        ensure.subscriptions.extend(place.subscription.clone());
        self.0.transport.ensure(&ensure).await?;
        self.adopt(place)
    }

    /// Makes a place part of the judgement without declaring it.
    pub(crate) fn adopt(&self, place: &Place) -> Held {
        let mut used = self.used();
        if !used.places.iter().any(|known| known.label() == place.label()) {
            used.places.push(place.clone());
            let source = SourceName::from(&place.source()?);
            let earliest = place.subscription.as_ref().is_some_and(|s| s.start == pontoon_core::Start::Earliest);
            self.recorder().record(What::Subscription(Subscription { source, earliest }));
        }
        Ok(())
    }

    /// Where a handle is opened whose events this record hears.
    fn environment(&self, record: Arc<dyn EventHook>) -> Environment {
        let tap = tap::Tap { events: self.0.events.clone(), record };
        self.run().environment().clone().with_hook(Arc::new(tap))
    }

    /// How many messages a source holds.
    ///
    /// # Errors
    /// Of the transport; `lying-capability` when it cannot tell although it declares that it can.
    pub async fn depth(&self, place: &Place) -> Held<DepthReport> {
        depth_of(&self.0.transport, &place.source()?)
            .await?
            .ok_or_else(|| Broken::new("lying-capability", "depth is declared, and the transport offers no way to ask"))
    }

    /// How long a lease lasts; `None` where the broker has none.
    ///
    /// # Errors
    /// Of opening.
    pub async fn lease(&self) -> Held<Option<Duration>> {
        let place = self.place()?;
        self.declare(&place).await?;
        let how = pontoon_core::driver::OpenConsumer::new(place.source()?, 1);
        Ok(self.0.transport.open_consumer(how).await?.lease)
    }

    /// Changes how the run is judged.
    pub fn judge(&self, change: impl FnOnce(&mut Judgement)) {
        change(&mut self.used().judgement);
    }
}

/// How many messages a source holds; `None` where the transport cannot tell.
async fn depth_of(transport: &AnyTransport, source: &Source) -> Result<Option<DepthReport>> {
    let declared = transport.capabilities(&source.channel).level(pontoon_core::Capability::Depth);
    match transport.extensions().depth {
        Some(depth) if declared > Level::Absent => depth.depth(source).await.map(Some),
        _ => Ok(None),
    }
}

/// An error of this kind, or an anomaly of this name.
///
/// # Errors
/// When it succeeded, or failed otherwise.
pub fn refused<T>(result: Result<T>, kind: ErrorKind, anomaly: &str, what: &str) -> Held<Error> {
    match result {
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => Err(Broken::new(anomaly, format!("{what}: expected {kind:?}, found {error:?}"))),
        Ok(_) => Err(Broken::new(anomaly, format!("{what}: expected {kind:?}, and it was accepted"))),
    }
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("check", &self.0.check).field("profile", &self.0.profile.name).finish()
    }
}
