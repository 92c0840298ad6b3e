//! Brokers as containers, by `docker compose`.
//!
//! The file at the root of the checkout is the table of values rendered with its first ports; a
//! command renders its own copy below `target/brokers`, with ports that are free and its options.

mod render;

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::place::{self, Place};
use super::process::wait;
use super::state::{Extras, State, Way};
use super::table::{BROKERS, Broker, Family, offset};
use super::{kafka, ports, probe, rabbitmq, redis, tls};
use crate::report::{Doing, Outcome, Problem};

pub use render::render;

/// Ports inside of a container, where they differ from those outside.
mod inside {
    /// RabbitMQ.
    pub(super) const AMQP: u16 = 5672;
    /// RabbitMQ with TLS.
    pub(super) const AMQPS: u16 = 5671;
    /// RabbitMQ's HTTP API.
    pub(super) const HTTP: u16 = 15672;
    /// Redis.
    pub(super) const REDIS: u16 = 6379;
    /// Redis with TLS.
    pub(super) const REDIS_TLS: u16 = 6380;
    /// `ElasticMQ`.
    pub(super) const ELASTICMQ: u16 = 9324;
    /// moto.
    pub(super) const MOTO: u16 = 5000;
}

/// How long an engine may take to say that it is there.
const ENGINE: Duration = Duration::from_secs(10);
/// How long a container may take to its first answer, once its image is there.
const START: Duration = Duration::from_secs(180);

/// Whether `docker compose` is installed and an engine answers.
#[must_use]
pub fn engine_answers() -> bool {
    ["compose version", "info"].iter().all(|words| {
        let child = Command::new("docker")
            .args(words.split(' '))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else { return false };
        let mut well = false;
        // An engine that hangs is none.
        if !wait(ENGINE, || match child.try_wait() {
            Ok(None) => false,
            Ok(Some(status)) => {
                well = status.success();
                true
            }
            Err(_) => true,
        }) {
            let _ = child.kill();
            let _ = child.wait();
        }
        well
    })
}

/// Services of a broker in the file.
fn services(broker: &Broker, numbers: &[u16]) -> Vec<String> {
    if broker.nodes == 1 {
        return vec![broker.name.to_owned()];
    }
    numbers.iter().map(|number| format!("{}-{number}", broker.name)).collect()
}

/// Every service of a broker, the one that only holds a network included.
fn all(broker: &Broker) -> Vec<String> {
    let numbers: Vec<u16> = (1..=broker.nodes).collect();
    let mut all = services(broker, &numbers);
    all.extend(render::net_name(broker));
    all
}

fn file(place: &Place) -> PathBuf {
    place.state.join("docker-compose.yml")
}

/// Containers of different checkouts have different names.
fn project(place: &Place) -> String {
    let mut hasher = DefaultHasher::new();
    place.state.hash(&mut hasher);
    format!("pontoon-{:08x}", hasher.finish() & 0xffff_ffff)
}

fn compose(place: &Place) -> Command {
    let mut command = Command::new("docker");
    command.args(["compose", "--project-name", &project(place), "--file"]).arg(file(place)).stdin(Stdio::null());
    command
}

fn run(mut command: Command, what: &str) -> Outcome<()> {
    let status = command.status().doing(|| "running docker compose".to_owned())?;
    if status.success() {
        return Ok(());
    }
    Err(Problem::new(format!(
        "docker compose failed to {what} ({status}): its own message stands above; does \
         `docker info` answer, and is the registry reachable?"
    )))
}

/// Brings brokers up.
///
/// # Errors
/// When one does not get healthy.
pub fn up(place: &Place, brokers: &[&'static Broker], extras: Extras) -> Outcome<()> {
    let mut changed = Vec::new();
    for broker in brokers {
        let mut state = match State::read(place, broker)? {
            Some(state) => state,
            None => State {
                way: Way::Compose,
                extras: Extras::default(),
                ports: ports::take(place, broker)?,
                processes: std::collections::BTreeMap::new(),
                settled: None,
                version: broker.version.to_owned(),
            },
        };
        state.extras = state.extras.and(extras.within(broker));
        if state.settled.is_some_and(|settled| settled != state.extras) {
            changed.push(*broker);
        }
        state.write(place, broker)?;
    }
    write_file(place)?;
    let began = Instant::now();
    // Compose does not see that the content of a configuration changed; volumes stay.
    if !changed.is_empty() {
        start(place, &changed, &["--force-recreate"])?;
    }
    start(place, brokers, &[])?;
    for broker in brokers {
        let Some(mut state) = State::read(place, broker)? else {
            continue;
        };
        let well = wait(START, || state.ports.iter().all(|port| probe::answer(broker, *port).is_ok()));
        if !well {
            return Err(Problem::new(format!(
                "{} is not healthy after {START:?}: see `cargo xtask brokers logs {}`",
                broker.name, broker.name
            )));
        }
        settle(place, broker, &state)?;
        state.settled = Some(state.extras);
        state.write(place, broker)?;
        println!("{broker}: healthy after {:.1} s", began.elapsed().as_secs_f64());
    }
    Ok(())
}

fn start(place: &Place, brokers: &[&'static Broker], how: &[&str]) -> Outcome<()> {
    let mut command = compose(place);
    command.args(["up", "--detach"]).args(how);
    for broker in brokers {
        command.args(all(broker));
    }
    run(command, "start the brokers")
}

/// What the engine says of a node that does not run; nothing of one that does.
#[must_use]
pub fn condition(place: &Place, broker: &Broker, number: u16) -> Option<&'static str> {
    let service = services(broker, &[number]).concat();
    let output = Command::new("docker")
        .args(["ps", "--all", "--format", "{{.State}}"])
        .args(["--filter", &format!("label=com.docker.compose.project={}", project(place))])
        .args(["--filter", &format!("label=com.docker.compose.service={service}")])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "" => Some("down"),
        "paused" => Some("paused"),
        "exited" | "dead" => Some("ended"),
        _ => None,
    }
}

/// Writes the file with the ports and options of every broker that has a state.
fn write_file(place: &Place) -> Outcome<()> {
    let mut layout = render::Layout::plain();
    for broker in BROKERS {
        if let Some(state) = State::read(place, broker)? {
            layout.set(broker, state.ports, state.extras);
        }
    }
    layout.certificates = tls::folder(place).display().to_string();
    place::make(&place.state)?;
    place::write(&file(place), &layout.render())
}

fn settle(place: &Place, broker: &Broker, state: &State) -> Outcome<()> {
    let at = |offset: u16| -> Vec<u16> { state.ports.iter().map(|base| base + offset).collect() };
    match broker.family {
        Family::RabbitMq => {
            at(offset::HTTP).into_iter().try_for_each(|http| rabbitmq::settle(http, broker.nodes, state.extras.users))
        }
        Family::Kafka => {
            kafka::gather(&at(offset::PLAIN))?;
            if !state.extras.users {
                return Ok(());
            }
            let mut command = compose(place);
            command.args(["exec", "--no-TTY", broker.name]);
            command.args(["/opt/kafka/bin/kafka-acls.sh", "--bootstrap-server"]);
            command.arg(format!("127.0.0.1:{}", state.ports.first().unwrap_or(&0)));
            command.args(kafka::rights());
            run(command, "give Kafka's user its rights")
        }
        Family::Redis if broker.nodes > 1 => redis::gather(&at(offset::PLAIN), &at(offset::PEERS)),
        Family::Redis | Family::ElasticMq | Family::Moto => Ok(()),
    }
}

/// Ends brokers, and removes their volumes when `purge` is set.
///
/// # Errors
/// When compose refuses.
pub fn down(place: &Place, brokers: &[&'static Broker], purge: bool) -> Outcome<()> {
    let mut command = compose(place);
    command.args(["rm", "--stop", "--force"]);
    let mut names = String::new();
    for broker in brokers {
        let services = all(broker);
        command.args(&services);
        for service in services {
            let _ = writeln!(names, "{}_{service}", project(place));
        }
    }
    run(command, "end the brokers")?;
    if !purge {
        return Ok(());
    }
    let mut remove = Command::new("docker");
    remove.args(["volume", "rm", "--force"]).args(names.lines()).stdin(Stdio::null()).stdout(Stdio::null());
    run(remove, "remove the volumes")?;
    let others = BROKERS.iter().filter(|broker| !brokers.iter().any(|purged| purged.name == broker.name));
    for broker in others {
        if State::read(place, broker)?.is_some_and(|state| state.way == Way::Compose) {
            return Ok(());
        }
    }
    // Compose makes the volumes of every service, and a network, whatever is started.
    let mut command = compose(place);
    command.args(["down", "--volumes"]);
    run(command, "remove what is left")
}

/// Runs `kill`, `pause`, `unpause` or `restart` on nodes.
///
/// # Errors
/// When compose refuses.
pub fn each(place: &Place, broker: &Broker, numbers: &[u16], verb: &str) -> Outcome<()> {
    let mut command = compose(place);
    command.arg(verb).args(services(broker, numbers));
    run(command, verb)?;
    if verb != "restart" {
        return Ok(());
    }
    let Some(state) = State::read(place, broker)? else {
        return Ok(());
    };
    let well = wait(START, || {
        numbers.iter().all(|number| {
            state.ports.get(usize::from(*number) - 1).is_some_and(|port| probe::answer(broker, *port).is_ok())
        })
    });
    if well {
        println!("{}: healthy", broker.name);
        return Ok(());
    }
    Err(Problem::new(format!(
        "{} is not healthy after {START:?}: see `cargo xtask brokers logs {}`",
        broker.name, broker.name
    )))
}

/// Shows the end of the logs.
///
/// # Errors
/// When compose refuses.
pub fn logs(place: &Place, broker: &Broker, numbers: &[u16], lines: usize) -> Outcome<()> {
    let mut command = compose(place);
    command.args(["logs", "--tail", &lines.to_string()]).args(services(broker, numbers));
    run(command, "show logs")
}
