//! What is known about a broker between two commands: `state.json` in its folder.

use std::collections::BTreeMap;
use std::fs;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::place::{self, Place};
use super::process::Process;
use super::table::Broker;
use crate::report::{Doing, Outcome};

/// Options of a broker; they stay on until its data is purged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct Extras {
    /// Also listen with TLS, by a CA made on the spot.
    #[arg(long)]
    pub tls: bool,
    /// Also have a user `app` with few rights.
    #[arg(long)]
    pub users: bool,
}

impl Extras {
    /// What is asked for here or there.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { tls: self.tls || other.tls, users: self.users || other.users }
    }

    /// What `broker` can do of it.
    #[must_use]
    pub fn within(self, broker: &Broker) -> Self {
        Self { tls: self.tls && broker.tls, users: self.users && broker.users }
    }
}

/// How a broker is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// As processes of this machine.
    Native,
    /// As containers.
    Compose,
}

/// The state of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// How it is run.
    pub way: Way,
    /// Its options.
    pub extras: Extras,
    /// The first port of each node.
    pub ports: Vec<u16>,
    /// Its processes, by name: a node's number, or a helper's name.
    pub processes: BTreeMap<String, Process>,
    /// Whether everything after the first start was done, such as users.
    pub settled: Option<Extras>,
    /// The version found when it started.
    pub version: String,
}

impl State {
    /// Reads the state of a broker, if it has one.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(place: &Place, broker: &Broker) -> Outcome<Option<Self>> {
        let path = place.broker(broker.name).join("state.json");
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).doing(|| {
                format!(
                    "{} is damaged; end the processes by hand, then remove {}",
                    path.display(),
                    place.broker(broker.name).display()
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing(|| format!("reading {}", path.display())),
        }
    }

    /// Writes the state of a broker.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, place: &Place, broker: &Broker) -> Outcome<()> {
        let folder = place.broker(broker.name);
        place::make(&folder)?;
        let text = serde_json::to_string_pretty(self).doing(|| format!("writing down {}", broker.name))?;
        place::write(&folder.join("state.json"), &text)
    }
}
