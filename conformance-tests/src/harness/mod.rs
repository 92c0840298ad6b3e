//! What the suite asks of whoever brings a transport: how to connect, what to test, how slow it may be, and, where it
//! can be had, how to hurt the broker.

mod control;
mod disk;
mod process;
mod profile;
mod timings;

use std::sync::{Arc, Mutex};

use pontoon_core::driver::{AnyTransport, BoxFuture};
use pontoon_core::{Error, ErrorKind, Result};

pub use crate::proxy::Proxy;
pub use control::{Control, Harm, HarmKind, NoControl};
pub use disk::Disk;
pub use process::BrokerProcess;
pub use profile::Profile;
pub use timings::Timings;

/// A backend to be tested. An author implements this and [`Site`]; everything else is the suite's.
pub trait Harness: Send + Sync + 'static {
    /// The transport's name in reports: `memory`, `rabbitmq`.
    fn name(&self) -> &str;

    /// What is tested, each by its own name. A check runs once for each of them.
    fn profiles(&self) -> Vec<Profile>;

    /// How long things may take.
    fn timings(&self) -> Timings;

    /// Brings up what one check works with. `seed` is there for brokers whose behaviour can be seeded. Names are unique
    /// in each check, so that all may share one broker.
    ///
    /// # Errors
    /// When the broker cannot be reached: the check is then *indeterminate*.
    fn open<'a>(&'a self, profile: &'a Profile, seed: u64) -> BoxFuture<'a, Result<Arc<dyn Site>>>;

    /// Brings up what one check works with that kills the broker: the same, unless other checks share it.
    ///
    /// # Errors
    /// When the broker cannot be reached: the check is then *indeterminate*.
    fn open_to_kill<'a>(&'a self, profile: &'a Profile, seed: u64) -> BoxFuture<'a, Result<Arc<dyn Site>>> {
        self.open(profile, seed)
    }

    /// Held by a check that kills the broker of this profile: where such checks share one they take turns, and waiting for
    /// one's turn is no part of the time that a check may take. `None` where each has a broker of its own.
    fn turns<'a>(&'a self, _profile: &'a Profile) -> Option<&'a Mutex<()>> {
        None
    }

    /// Brings up what one storm works with: the same, unless checks share a broker that a storm may kill. Storms run one
    /// after another, and no check beside them.
    ///
    /// # Errors
    /// When the broker cannot be reached: the storm is then *indeterminate*.
    fn open_for_storm<'a>(&'a self, profile: &'a Profile, seed: u64) -> BoxFuture<'a, Result<Arc<dyn Site>>> {
        self.open(profile, seed)
    }

    /// A connection to the broker that [`Site::address`] names, made in another process than the one that opened the site:
    /// for processes that are killed.
    ///
    /// # Errors
    /// When the broker cannot be reached, or processes of their own are not supported.
    fn join<'a>(&'a self, _profile: &'a Profile, _address: &'a str) -> BoxFuture<'a, Result<AnyTransport>> {
        Box::pin(async {
            Err(Error::new(ErrorKind::Unsupported, "join broker", "this harness has no address for other processes")
                .with_help("implement `Harness::join` beside `Site::address`"))
        })
    }
}

/// The broker as one check has it.
pub trait Site: Send + Sync + 'static {
    /// A connection of its own, as another process would have it.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    fn connect(&self) -> BoxFuture<'_, Result<AnyTransport>>;

    /// How the broker can be hurt: [`NoControl`] where it cannot.
    fn control(&self) -> &dyn Control;

    /// How another process of this machine reaches the same broker by [`Harness::join`]; `None` where it cannot, so that
    /// no processes are killed.
    fn address(&self) -> Option<String> {
        None
    }
}
