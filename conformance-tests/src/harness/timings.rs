//! How long a check waits, by one factor.

use std::time::Duration;

/// The bounds of waiting. All waits of the suite are "in the end, within a bound": a factor stretches every bound, and
/// nothing else.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Timings {
    /// Whether checks run on tokio's paused clock: for transports that live in the process and on that clock.
    pub paused: bool,
    /// Stretches every bound: above 1 for slow machines.
    pub scale: f64,
    /// How long what must come may take, before scaling.
    pub patience: Duration,
    /// How long nothing may come before it is believed that nothing comes, before scaling.
    pub quiet: Duration,
    /// How inexact the broker's and the machine's clocks are, before scaling: what "not before" and "at the latest"
    /// leave room for.
    pub slack: Duration,
}

impl Timings {
    /// For transports that live in the process: paused time, which costs nothing, so that bounds are wide.
    #[must_use]
    pub fn paused() -> Self {
        Timings {
            paused: true,
            scale: 1.0,
            patience: Duration::from_secs(120),
            quiet: Duration::from_secs(60),
            slack: Duration::from_millis(20),
        }
    }

    /// For brokers: real time. The environment variable `PONTOON_SLOW` (a number, 1 by default) is the factor.
    #[must_use]
    pub fn real() -> Self {
        let scale = std::env::var("PONTOON_SLOW").ok().and_then(|text| text.parse().ok()).filter(|s: &f64| *s > 0.0);
        Timings {
            paused: false,
            scale: scale.unwrap_or(1.0),
            patience: Duration::from_secs(20),
            quiet: Duration::from_millis(1_500),
            slack: Duration::from_millis(250),
        }
    }

    /// How long what must come may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience.mul_f64(self.scale)
    }

    /// How long nothing may come before it is believed that nothing comes.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        self.quiet.mul_f64(self.scale)
    }

    /// How late something may be without being wrong.
    #[must_use]
    pub fn slack(&self) -> Duration {
        self.slack.mul_f64(self.scale)
    }
}
