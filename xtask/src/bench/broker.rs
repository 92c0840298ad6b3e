//! The broker of a benchmark: started for it unless it is up, and ended with it.

use crate::brokers::place::Place;
use crate::brokers::state::{Extras, State};
use crate::brokers::table::{self, Broker, Family, offset};
use crate::brokers::{self, probe, urls};
use crate::report::{Outcome, Problem};

/// A broker that is up; none where the transport needs none.
#[derive(Debug)]
pub(super) struct Running {
    url: String,
    /// What was started here.
    started: Vec<&'static Broker>,
    /// Whether nothing was there before.
    fresh: bool,
    /// Where a Redis is that writes no log for the time being: with `appendfsync always` its disk would be measured.
    without_log: Option<u16>,
}

/// Makes sure that this broker is up.
pub(super) fn start(place: &Place, name: Option<&str>) -> Outcome<Running> {
    let Some(name) = name else {
        return Ok(Running { url: String::new(), started: Vec::new(), fresh: false, without_log: None });
    };
    let broker = table::find(name).ok_or_else(|| Problem::new(format!("no broker `{name}` is in the table")))?;
    let fresh = State::read(place, broker)?.is_none();
    let started = brokers::not_up(place, &[broker])?;
    brokers::bring_up(place, &[broker], Extras::default(), false)?;
    let state = State::read(place, broker)?.ok_or_else(|| Problem::new(format!("{name} was not started")))?;
    let known = urls::of(place, broker, &state);
    let (_, url) = known.into_iter().next().ok_or_else(|| Problem::new(format!("{name} has no address")))?;
    let port = state.ports.first().map(|first| first + offset::PLAIN).filter(|_| broker.family == Family::Redis);
    if let Some(port) = port {
        log(port, "no")?;
    }
    Ok(Running { url, started, fresh, without_log: port })
}

impl Running {
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Ends it. One that was up before stays up, and one that had data keeps it.
    pub(super) fn end(&self, place: &Place) -> Outcome<()> {
        if let Some(port) = self.without_log {
            log(port, "yes")?;
        }
        brokers::take_down(place, &self.started, self.fresh)
    }
}

/// Whether a Redis writes its log.
fn log(port: u16, written: &str) -> Outcome<()> {
    let reply = probe::redis(port, &["CONFIG", "SET", "appendonly", written])?;
    if reply == "+OK" { Ok(()) } else { Err(Problem::new(format!("CONFIG SET appendonly {written}: {reply}"))) }
}
