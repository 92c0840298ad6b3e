//! Brokers as processes of this machine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::install::{self, tail};
use super::node::{self, Node, Plan};
use super::place::{self, Place};
use super::ports;
use super::probe;
use super::process::{self, Condition, wait};
use super::state::{Extras, State, Way};
use super::table::{Broker, Family, offset};
use super::{kafka, rabbitmq, redis, sqs};
use crate::report::{Outcome, Problem};

/// How long a broker may take to its first answer; three nodes start at once, on few cores.
const START: Duration = Duration::from_secs(120);
/// How long a broker may take to end in order.
const STOP: Duration = Duration::from_secs(30);
/// Megabytes that data and logs of a broker may take at once; RabbitMQ stops publishers below 200.
const ROOM: u64 = 300;

fn nodes<'a>(place: &'a Place, broker: &'static Broker, state: &'a State) -> impl Iterator<Item = Node<'a>> {
    (1..=broker.nodes).map(move |number| Node { place, broker, extras: state.extras, ports: &state.ports, number })
}

fn plan(node: &Node<'_>) -> Outcome<Plan> {
    match node.broker.family {
        Family::RabbitMq => rabbitmq::plan(node),
        Family::Kafka => kafka::plan(node),
        Family::Redis => redis::plan(node),
        Family::ElasticMq => sqs::elasticmq(node),
        Family::Moto => sqs::moto(node),
    }
}

/// How one node fares.
#[must_use]
pub fn condition(state: &State, number: u16) -> Condition {
    state.processes.get(&number.to_string()).map_or(Condition::Gone, process::Process::condition)
}

/// Brings a broker up with `extras`, or leaves it alone when it is.
///
/// # Errors
/// When it does not get healthy, with what to do.
pub fn up(place: &Place, broker: &'static Broker, extras: Extras) -> Outcome<()> {
    let mut state = match State::read(place, broker)? {
        Some(state) => state,
        None => {
            let state = State {
                way: Way::Native,
                extras: Extras::default(),
                ports: ports::take(place, broker)?,
                processes: BTreeMap::new(),
                settled: None,
                version: String::new(),
            };
            state.write(place, broker)?;
            state
        }
    };
    let wanted = state.extras.and(extras.within(broker));
    if wanted != state.extras {
        if state.processes.values().any(|process| process.condition() != Condition::Gone) {
            println!("{}: restarting it for its new options", broker.name);
            halt(place, broker, &mut state)?;
        }
        state.extras = wanted;
        state.write(place, broker)?;
    }
    let all: Vec<u16> = (1..=broker.nodes).collect();
    start(place, broker, &mut state, &all)
}

/// Starts those of `numbers` that do not run, and waits until they are healthy.
///
/// # Errors
/// When one does not get healthy, with what to do.
pub fn start(place: &Place, broker: &'static Broker, state: &mut State, numbers: &[u16]) -> Outcome<()> {
    let began = Instant::now();
    let mut started = 0;
    for number in numbers {
        match condition(state, *number) {
            Condition::Running => {}
            Condition::Paused => {
                println!("{}: resuming it", label(broker, *number));
                signal(broker, state, *number, Signal::CONT)?;
            }
            Condition::Gone => {
                launch(place, broker, state, *number)?;
                started += 1;
            }
        }
    }
    for number in numbers {
        healthy(place, broker, state, *number)?;
    }
    let whole = (1..=broker.nodes).all(|number| condition(state, number) == Condition::Running);
    if whole && (started > 0 || state.settled != Some(state.extras)) {
        settle(place, broker, state)?;
        state.settled = Some(state.extras);
        state.write(place, broker)?;
    }
    let ports: Vec<_> =
        numbers.iter().filter_map(|number| state.ports.get(usize::from(*number) - 1)).map(u16::to_string).collect();
    let ports = ports.join(", ");
    if started == 0 {
        println!("{}: is up on 127.0.0.1:{ports}", broker.name);
    } else {
        println!(
            "{} {}: healthy on 127.0.0.1:{ports} after {:.1} s",
            broker.name,
            state.version,
            began.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

fn label(broker: &Broker, number: u16) -> String {
    if broker.nodes == 1 { broker.name.to_owned() } else { format!("{}:{number}", broker.name) }
}

fn launch(place: &Place, broker: &'static Broker, state: &mut State, number: u16) -> Outcome<()> {
    let name = label(broker, number);
    place::room(&place.state, ROOM, &name)?;
    state.version = install::version(place, broker);
    let (plan, folder, log) = {
        let Some(node) = nodes(place, broker, state).find(|node| node.number == number) else {
            return Err(Problem::new(format!("{} has no node {number}", broker.name)));
        };
        // A helper in the first node's block may run while the node itself is started anew.
        let helper_runs = state
            .processes
            .iter()
            .any(|(name, process)| name.parse::<u16>().is_err() && process.condition() != Condition::Gone);
        let own = if helper_runs { vec![node.port(offset::EPMD)] } else { Vec::new() };
        ports::check_free(&name, node.port(0), &own)?;
        place::make(&node.folder())?;
        (plan(&node)?, node.folder(), node.log())
    };
    if let Some(first) = &plan.first {
        node::run(&format!("preparing {name}"), first, &folder)?;
    }
    if let Some((helper, launch, port)) = &plan.helper {
        let runs = state.processes.get(*helper).is_some_and(|process| process.condition() != Condition::Gone);
        if !runs {
            let process = process::start(&launch.words, &launch.env, &folder, &log)?;
            state.processes.insert((*helper).to_owned(), process);
            state.write(place, broker)?;
            let answers = || std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok();
            if !wait(Duration::from_secs(10), answers) {
                return Err(Problem::new(format!(
                    "{helper} of {name} does not listen on port {port}:\n{}",
                    tail(&log, 5)
                )));
            }
        }
    }
    println!("{name}: starting");
    let process = process::start(&plan.server.words, &plan.server.env, &folder, &log)?;
    state.processes.insert(number.to_string(), process);
    // Known before anything else can go wrong, so that `down` finds it.
    state.write(place, broker)
}

/// Listeners beside the plain one; some brokers open them one after the other.
fn further(node: &Node<'_>) -> Vec<u16> {
    let mut ports = Vec::new();
    if node.extras.tls {
        ports.push(node.port(offset::TLS));
    }
    if node.extras.users && node.broker.family == Family::Kafka {
        ports.push(node.port(offset::SASL));
    }
    ports
}

fn healthy(place: &Place, broker: &'static Broker, state: &State, number: u16) -> Outcome<()> {
    let name = label(broker, number);
    let Some(node) = nodes(place, broker, state).find(|node| node.number == number) else {
        return Ok(());
    };
    let mut last = String::new();
    let mut ended = false;
    let well =
        wait(START, || match probe::answer(broker, node.plain()).and_then(|()| probe::listen(&further(&node))) {
            Ok(()) => true,
            Err(problem) => {
                last = problem.to_string();
                ended = condition(state, number) == Condition::Gone;
                ended
            }
        });
    if well && !ended {
        return Ok(());
    }
    let how =
        if ended { "ended while starting".to_owned() } else { format!("is not healthy after {START:?} ({last})") };
    Err(Problem::new(format!(
        "{name} {how}; the last lines of {}:\n{}\nSee `cargo xtask brokers logs {}`; with damaged \
         data, `cargo xtask brokers down --purge {}` starts afresh",
        node.log().display(),
        tail(&node.log(), 10),
        broker.name,
        broker.name
    )))
}

/// What is left to do once every node answers.
fn settle(place: &Place, broker: &'static Broker, state: &State) -> Outcome<()> {
    let at = |offset: u16| -> Vec<u16> { state.ports.iter().map(|base| base + offset).collect() };
    match broker.family {
        Family::RabbitMq => {
            at(offset::HTTP).into_iter().try_for_each(|http| rabbitmq::settle(http, broker.nodes, state.extras.users))
        }
        Family::Kafka => {
            kafka::gather(&at(offset::PLAIN))?;
            let fresh = state.settled.is_none_or(|settled| !settled.users);
            match nodes(place, broker, state).next() {
                Some(node) if state.extras.users && fresh => kafka::settle(&node),
                _ => Ok(()),
            }
        }
        Family::Redis if broker.nodes > 1 => redis::gather(&at(offset::PLAIN), &at(offset::PEERS)),
        Family::Redis | Family::ElasticMq | Family::Moto => Ok(()),
    }
}

/// Signals one node.
///
/// # Errors
/// When it does not run.
pub fn signal(broker: &Broker, state: &State, number: u16, signal: Signal) -> Outcome<()> {
    let sent = match state.processes.get(&number.to_string()) {
        Some(process) => process.signal(signal)?,
        None => false,
    };
    if sent {
        return Ok(());
    }
    Err(Problem::new(format!(
        "{} does not run: `cargo xtask brokers restart {}` starts it",
        label(broker, number),
        label(broker, number)
    )))
}

/// Kills one node and waits until it is gone; its data stays.
///
/// # Errors
/// When it does not run.
pub fn kill(broker: &Broker, state: &State, number: u16) -> Outcome<()> {
    signal(broker, state, number, Signal::KILL)?;
    match state.processes.get(&number.to_string()) {
        Some(process) => process.kill(),
        None => Ok(()),
    }
}

/// Ends one node in order.
///
/// # Errors
/// When it cannot be ended.
pub fn stop(state: &State, number: u16) -> Outcome<()> {
    match state.processes.get(&number.to_string()) {
        Some(process) => process.stop(STOP),
        None => Ok(()),
    }
}

/// Ends every process of a broker, all nodes at once and helpers last; its data stays.
///
/// # Errors
/// When one cannot be ended.
pub fn halt(place: &Place, broker: &'static Broker, state: &mut State) -> Outcome<()> {
    let (servers, helpers): (Vec<_>, Vec<_>) =
        state.processes.iter().partition(|(name, _)| name.parse::<u16>().is_ok());
    // All are told before any is waited for: a node of a cluster may wait for the others.
    std::thread::scope(|scope| {
        let threads: Vec<_> = servers.iter().map(|(_, process)| scope.spawn(|| process.stop(STOP))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(Problem::new("stopping panicked"))))
    })?;
    for (_, process) in helpers {
        process.stop(STOP)?;
    }
    state.processes.clear();
    state.write(place, broker)
}
