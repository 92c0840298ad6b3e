//! `cargo xtask brokers`: real brokers by one command.
//!
//! By `docker compose` where an engine answers, else as processes of this machine. What is run
//! stands in [`table`]; [`native`] and [`compose`] are the two ways.

pub mod compose;
mod install;
mod kafka;
pub mod native;
pub mod node;
pub mod place;
pub mod ports;
pub mod probe;
pub mod process;
mod rabbitmq;
mod redis;
mod sqs;
pub mod state;
pub mod table;
mod tls;
pub mod urls;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use rustix::process::Signal;

use self::place::Place;
use self::process::Condition;
use self::state::{Extras, State, Way};
use self::table::{BROKERS, Broker};
use crate::report::{Outcome, Problem};

/// What `cargo xtask brokers` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

/// Names on the command line.
#[derive(Debug, Clone, Args)]
struct Names {
    /// Brokers, by name; NAME:NODE for one node of a cluster.
    #[arg(value_name = "BROKER")]
    names: Vec<String>,
    /// Means the three-node form of the brokers named.
    #[arg(long)]
    cluster: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Bring brokers to healthy, installing what is missing; all but those on request.
    Up {
        #[command(flatten)]
        names: Names,
        #[command(flatten)]
        extras: Extras,
        /// Use processes of this machine even where a container engine answers.
        #[arg(long)]
        native: bool,
    },
    /// End brokers; data stays.
    Down {
        #[command(flatten)]
        names: Names,
        /// Remove data, logs and certificates too, and with all brokers the installations.
        #[arg(long)]
        purge: bool,
    },
    /// Show how brokers fare.
    Status(Names),
    /// Print `export` lines with the addresses of brokers that are up.
    Env(Names),
    /// Kill brokers with SIGKILL; data stays.
    Kill(Names),
    /// Stop brokers with SIGSTOP: they hold their connections and say nothing.
    Pause(Names),
    /// Let paused brokers go on.
    Resume(Names),
    /// Start brokers again on their data, ending them first where they run.
    Restart(Names),
    /// Show the end of the brokers' logs.
    Logs {
        #[command(flatten)]
        names: Names,
        /// How many lines.
        #[arg(long, default_value_t = 50)]
        lines: usize,
    },
    /// Print docker-compose.yml as the table of values makes it.
    Compose(Extras),
}

/// A broker, or one node of it.
type Target = (&'static Broker, Option<u16>);

/// Runs the task.
///
/// # Errors
/// With what to do next.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let place = Place::find()?;
    match &options.action {
        Action::Up { names, extras, native } => up(&place, &targets(names, Many::Default)?, *extras, *native),
        Action::Down { names, purge } => down(&place, &targets(names, Many::Known)?, *purge, names.names.is_empty()),
        Action::Status(names) => status(&place, names),
        Action::Env(names) => env(&place, &targets(names, Many::Known)?),
        Action::Kill(names) => each(&place, names, kill),
        Action::Pause(names) => each(&place, names, pause),
        Action::Resume(names) => each(&place, names, resume),
        Action::Restart(names) => each(&place, names, restart),
        Action::Logs { names, lines } => logs(&place, &targets(names, Many::Known)?, *lines),
        Action::Compose(extras) => {
            print!("{}", compose::render(*extras));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What no names at all mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Many {
    /// Those that are not on request.
    Default,
    /// All of them.
    Known,
    /// A mistake.
    Refused,
}

fn targets(names: &Names, many: Many) -> Outcome<Vec<Target>> {
    if names.names.is_empty() && !names.cluster {
        return match many {
            Many::Default => {
                Ok(BROKERS.iter().filter(|broker| !broker.on_request).map(|broker| (broker, None)).collect())
            }
            Many::Known => Ok(BROKERS.iter().map(|broker| (broker, None)).collect()),
            Many::Refused => Err(Problem::new(format!("which broker? Name one or more of {}", known()))),
        };
    }
    if names.names.is_empty() {
        return Err(Problem::new("--cluster needs names: rabbitmq, kafka or redis"));
    }
    let mut targets: Vec<Target> = Vec::new();
    for word in &names.names {
        let target = target(word, names.cluster)?;
        let named = |known: &Target| known.0.name == target.0.name && known.1 == target.1;
        if !targets.iter().any(named) {
            targets.push(target);
        }
    }
    Ok(targets)
}

fn target(word: &str, cluster: bool) -> Outcome<Target> {
    let (name, number) = match word.split_once(':') {
        Some((name, number)) => (name, Some(number)),
        None => (word, None),
    };
    let full = if cluster && !name.ends_with("-cluster") { format!("{name}-cluster") } else { name.to_owned() };
    let broker = table::find(&full)
        .ok_or_else(|| Problem::new(format!("there is no broker `{full}`; there are {}", known())))?;
    let number = number
        .map(|text| {
            text.parse::<u16>()
                .ok()
                .filter(|number| (1..=broker.nodes).contains(number))
                .ok_or_else(|| Problem::new(format!("{} has nodes 1 to {}, not `{text}`", broker.name, broker.nodes)))
        })
        .transpose()?;
    Ok((broker, number))
}

fn known() -> String {
    BROKERS.iter().map(|broker| broker.name).collect::<Vec<_>>().join(", ")
}

/// Runs one thing per broker, all at once, and gathers what went wrong.
fn together(targets: &[Target], work: impl Fn(&'static Broker) -> Outcome<()> + Sync) -> Outcome<()> {
    let results: Vec<Outcome<()>> = std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = targets.iter().map(|(broker, _)| scope.spawn(move || work(broker))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(Problem::new("a thread of this command panicked"))))
            .collect()
    });
    let problems: Vec<String> =
        results.into_iter().filter_map(|result| result.err().map(|problem| problem.to_string())).collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Problem::new(problems.join("\nerror: ")))
}

/// Brings brokers up; tells which of them were not before.
fn up(place: &Place, targets: &[Target], extras: Extras, native: bool) -> Outcome<ExitCode> {
    if let Some((broker, _)) = targets.iter().find(|(_, number)| number.is_some()) {
        return Err(Problem::new(format!(
            "`up` takes whole brokers; for one node there is `restart {}:NODE`",
            broker.name
        )));
    }
    let brokers: Vec<&'static Broker> = targets.iter().map(|(broker, _)| *broker).collect();
    for broker in &brokers {
        let able = extras.within(broker);
        if able != extras {
            println!(
                "{}: has no {}",
                broker.name,
                match (extras.tls && !able.tls, extras.users && !able.users) {
                    (true, true) => "TLS and no users with few rights",
                    (true, false) => "TLS",
                    _ => "users with few rights",
                }
            );
        }
    }
    bring_up(place, &brokers, extras, native)?;
    println!("addresses: eval \"$(cargo xtask brokers env)\"");
    Ok(ExitCode::SUCCESS)
}

/// Brings brokers up with `extras`, installing what is missing.
///
/// # Errors
/// When one does not get healthy.
pub fn bring_up(place: &Place, brokers: &[&'static Broker], extras: Extras, native: bool) -> Outcome<()> {
    let _lock = place::lock(&place.state, "brokers")?;
    let mut by_compose = Vec::new();
    let mut by_process = Vec::new();
    let mut engine = None;
    for broker in brokers {
        let way = match State::read(place, broker)? {
            Some(state) => state.way,
            None if native => Way::Native,
            None if *engine.get_or_insert_with(compose::engine_answers) => Way::Compose,
            None => Way::Native,
        };
        match way {
            Way::Compose => by_compose.push(*broker),
            Way::Native => by_process.push(*broker),
        }
    }
    if !by_process.is_empty() {
        if cfg!(not(target_os = "linux")) {
            return Err(Problem::new(
                "no container engine answers `docker info`, and without one brokers run on Linux \
                 only: start the engine and run this again",
            ));
        }
        install::ensure(place, &by_process, extras.tls)?;
    }
    if extras.tls {
        tls::make(place)?;
    }
    if !by_compose.is_empty() {
        compose::up(place, &by_compose, extras)?;
    }
    let targets: Vec<Target> = by_process.iter().map(|broker| (*broker, None)).collect();
    together(&targets, |broker| native::up(place, broker, extras))
}

/// Whether brokers can run as processes here: some need mounts of their own.
#[must_use]
pub fn native_works() -> bool {
    cfg!(target_os = "linux") && rustix::process::geteuid().is_root()
}

/// Installs brokers for the native way, and the tools for their options, without starting them.
///
/// # Errors
/// When something cannot be installed, with what to do.
pub fn install(place: &Place, brokers: &[&'static Broker]) -> Outcome<()> {
    if brokers.is_empty() {
        return Ok(());
    }
    install::ensure(place, brokers, true)
}

/// The Python interpreter of an environment with this package, made if it is not there.
///
/// # Errors
/// When it cannot be made, with what to do.
pub fn python(place: &Place, requirement: &str) -> Outcome<PathBuf> {
    install::python(place, requirement)
}

/// Whether a broker's native installation is complete.
#[must_use]
pub fn installed(place: &Place, broker: &Broker) -> bool {
    install::complete(place, broker)
}

/// Brokers of `brokers` that do not run.
///
/// # Errors
/// When a state cannot be read.
pub fn not_up(place: &Place, brokers: &[&'static Broker]) -> Outcome<Vec<&'static Broker>> {
    let mut missing = Vec::new();
    for broker in brokers {
        let up = State::read(place, broker)?
            .is_some_and(|state| (1..=broker.nodes).all(|number| health(place, broker, &state, number) == "healthy"));
        if !up {
            missing.push(*broker);
        }
    }
    Ok(missing)
}

fn down(place: &Place, targets: &[Target], purge: bool, all: bool) -> Outcome<ExitCode> {
    if targets.iter().any(|(_, number)| number.is_some()) {
        return Err(Problem::new("`down` takes whole brokers; for one node there is `kill`"));
    }
    let thorough = purge && all;
    if !thorough && !place.state.exists() {
        println!("no broker is up");
        return Ok(ExitCode::SUCCESS);
    }
    let lock = place::lock(&place.state, "brokers")?;
    let brokers: Vec<&'static Broker> = targets.iter().map(|(broker, _)| *broker).collect();
    take_down(place, &brokers, purge)?;
    if thorough {
        place::remove(&place.state)?;
        install::purge(place)?;
    }
    drop(lock);
    Ok(ExitCode::SUCCESS)
}

/// Ends brokers, and removes their data when `purge` is set.
///
/// # Errors
/// When one cannot be ended.
pub fn take_down(place: &Place, brokers: &[&'static Broker], purge: bool) -> Outcome<()> {
    let mut known = Vec::new();
    for broker in brokers {
        match State::read(place, broker) {
            Ok(Some(state)) => known.push((*broker, state)),
            Ok(None) => {}
            Err(problem) => return Err(problem),
        }
    }
    let composed: Vec<&'static Broker> =
        known.iter().filter(|(_, state)| state.way == Way::Compose).map(|(broker, _)| *broker).collect();
    if !composed.is_empty() {
        compose::down(place, &composed, purge)?;
    }
    let targets: Vec<Target> = known.iter().map(|(broker, _)| (*broker, None)).collect();
    together(&targets, |broker| {
        let Some(mut state) = State::read(place, broker)? else {
            return Ok(());
        };
        let ran = state.processes.values().any(|process| process.condition() != Condition::Gone);
        if state.way == Way::Native {
            native::halt(place, broker, &mut state)?;
        }
        if purge {
            ports::give_back(place, state.ports.iter().copied());
            place::remove(&place.broker(broker.name))?;
            println!("{}: down, its data removed", broker.name);
        } else if ran || state.way == Way::Compose {
            println!("{}: down", broker.name);
        }
        Ok(())
    })
}

/// How one node fares, in a word.
fn health(place: &Place, broker: &Broker, state: &State, number: u16) -> &'static str {
    let port = usize::from(number).checked_sub(1).and_then(|index| state.ports.get(index));
    let Some(port) = port else {
        return "down";
    };
    if state.way == Way::Native {
        match native::condition(state, number) {
            Condition::Gone if state.processes.contains_key(&number.to_string()) => return "ended",
            Condition::Gone => return "down",
            Condition::Paused => return "paused",
            Condition::Running => {}
        }
    } else if let Some(word) = compose::condition(place, broker, number) {
        return word;
    }
    if probe::answer(broker, *port).is_ok() { "healthy" } else { "silent" }
}

fn status(place: &Place, names: &Names) -> Outcome<ExitCode> {
    let targets = targets(names, Many::Known)?;
    let mut well = true;
    println!("{:<18} {:<10} {:<9} {:>8}  {:<16}", "broker", "version", "state", "pid", "address");
    for (broker, only) in &targets {
        let state = State::read(place, broker)?;
        for number in 1..=broker.nodes {
            if only.is_some_and(|only| only != number) {
                continue;
            }
            let name = if broker.nodes == 1 { broker.name.to_owned() } else { format!("{}:{number}", broker.name) };
            let Some(state) = &state else {
                let word = if install::complete(place, broker) { "down" } else { "absent" };
                println!("{name:<18} {:<10} {word:<9}", broker.version);
                well = false;
                continue;
            };
            let word = health(place, broker, state, number);
            well &= word == "healthy";
            let pid =
                state.processes.get(&number.to_string()).map(|process| process.pid.to_string()).unwrap_or_default();
            let address =
                state.ports.get(usize::from(number) - 1).map(|port| format!("127.0.0.1:{port}")).unwrap_or_default();
            println!("{name:<18} {:<10} {word:<9} {pid:>8}  {address:<16}", state.version);
        }
    }
    // Without names this is a look at things; with names it is a question.
    Ok(if well || names.names.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn env(place: &Place, targets: &[Target]) -> Outcome<ExitCode> {
    let mut any = false;
    let mut printed = Vec::new();
    for (broker, _) in targets {
        let Some(state) = State::read(place, broker)? else {
            continue;
        };
        if !(1..=broker.nodes).any(|number| health(place, broker, &state, number) == "healthy") {
            continue;
        }
        any = true;
        for (name, value) in urls::of(place, broker, &state) {
            // The certificates are the same for all.
            if !printed.contains(&name) {
                println!("export {name}='{value}'");
                printed.push(name);
            }
        }
    }
    if any {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Problem::new("no broker is up: run `cargo xtask brokers up`"))
}

/// Runs an action on every node named.
fn each(
    place: &Place,
    names: &Names,
    act: fn(&Place, &'static Broker, &mut State, &[u16]) -> Outcome<()>,
) -> Outcome<ExitCode> {
    let targets = targets(names, Many::Refused)?;
    let _lock = place::lock(&place.state, "brokers")?;
    for (broker, number) in targets {
        let mut state = State::read(place, broker)?.ok_or_else(|| {
            Problem::new(format!("{} is not up: run `cargo xtask brokers up {}`", broker.name, broker.name))
        })?;
        let numbers = number.map_or_else(|| (1..=broker.nodes).collect(), |number| vec![number]);
        act(place, broker, &mut state, &numbers)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn kill(place: &Place, broker: &'static Broker, state: &mut State, numbers: &[u16]) -> Outcome<()> {
    if state.way == Way::Compose {
        return compose::each(place, broker, numbers, "kill");
    }
    for number in numbers {
        native::kill(broker, state, *number)?;
    }
    println!("{}: killed", broker.name);
    Ok(())
}

fn pause(place: &Place, broker: &'static Broker, state: &mut State, numbers: &[u16]) -> Outcome<()> {
    if state.way == Way::Compose {
        return compose::each(place, broker, numbers, "pause");
    }
    for number in numbers {
        native::signal(broker, state, *number, Signal::STOP)?;
    }
    println!("{}: paused", broker.name);
    Ok(())
}

fn resume(place: &Place, broker: &'static Broker, state: &mut State, numbers: &[u16]) -> Outcome<()> {
    if state.way == Way::Compose {
        return compose::each(place, broker, numbers, "unpause");
    }
    for number in numbers {
        native::signal(broker, state, *number, Signal::CONT)?;
    }
    println!("{}: goes on", broker.name);
    Ok(())
}

fn restart(place: &Place, broker: &'static Broker, state: &mut State, numbers: &[u16]) -> Outcome<()> {
    if state.way == Way::Compose {
        return compose::each(place, broker, numbers, "restart");
    }
    for number in numbers {
        native::stop(state, *number)?;
    }
    native::start(place, broker, state, numbers)
}

fn logs(place: &Place, targets: &[Target], lines: usize) -> Outcome<ExitCode> {
    for (broker, only) in targets {
        let Some(state) = State::read(place, broker)? else {
            continue;
        };
        let numbers: Vec<u16> = match only {
            Some(number) => vec![*number],
            None => (1..=broker.nodes).collect(),
        };
        if state.way == Way::Compose {
            compose::logs(place, broker, &numbers, lines)?;
            continue;
        }
        for number in numbers {
            let log = place.broker(broker.name).join(number.to_string()).join("server.log");
            println!("== {}", log.display());
            println!("{}", install::tail(&log, lines));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The address of a broker that a test needs, from the environment that `cargo xtask test` and
/// `cargo xtask brokers env` set.
///
/// # Panics
/// When the variable is not set, with the command to run: a test without its broker fails.
#[must_use]
pub fn address(variable: &str) -> String {
    match std::env::var(variable) {
        Ok(address) if !address.is_empty() => address,
        _ => panic!("{}", missing(variable)),
    }
}

/// What to do when `variable` is not set.
#[must_use]
pub fn missing(variable: &str) -> String {
    let name =
        BROKERS.iter().find(|broker| format!("{}_URL", broker.variable) == variable).map_or("", |broker| broker.name);
    format!(
        "this test needs a broker, and {variable} is not set: run `cargo xtask test`, or \
         `cargo xtask brokers up {name}` and `eval \"$(cargo xtask brokers env)\"` first"
    )
}
