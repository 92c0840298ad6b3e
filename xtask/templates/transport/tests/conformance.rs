//! Everything that pontoon promises, put to the test on @name@.

use std::process::ExitCode;
use std::sync::Arc;

use pontoon_conformance::harness::{Control, Harness, NoControl, Profile, Site, Timings};
use pontoon_core::driver::{AnyTransport, BoxFuture};
use pontoon_core::{ChannelKind, Result};
use pontoon_@snake@::@Name@Config;

struct @Name@;

/// The broker as one check has it. Names are unique in each check, so that all may share one broker.
struct Broker {
    config: @Name@Config,
}

impl Harness for @Name@ {
    fn name(&self) -> &str {
        "@name@"
    }

    /// What is tested: one profile for each kind of channel, and for each version of the broker that differs.
    fn profiles(&self) -> Vec<Profile> {
        vec![Profile::new("@name@-queue", ChannelKind::Queue)]
    }

    fn timings(&self) -> Timings {
        Timings::real()
    }

    fn open<'a>(&'a self, _: &'a Profile, _seed: u64) -> BoxFuture<'a, Result<Arc<dyn Site>>> {
        Box::pin(async {
            // Start the broker here, or take its address from the environment.
            let config = @Name@Config::new("127.0.0.1:1");
            Ok(Arc::new(Broker { config }) as Arc<dyn Site>)
        })
    }
}

impl Site for Broker {
    fn connect(&self) -> BoxFuture<'_, Result<AnyTransport>> {
        Box::pin(async { pontoon_@snake@::connect(self.config.clone()).await })
    }

    /// How the broker can be hurt: with a `Proxy` before it connections are cut, with its process it is killed. Without
    /// control the checks that need it do not apply, and there are no storms.
    fn control(&self) -> &dyn Control {
        &NoControl
    }
}

fn main() -> ExitCode {
    pontoon_conformance::main(@Name@, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected.toml"))
}
