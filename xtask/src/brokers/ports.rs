//! Blocks of ports that no server uses and no other checkout has taken.
//!
//! A block belongs to the checkout whose folder is named in it, also while its broker is down, so that
//! data comes back on the same ports. Leases are files in the cache folder, one a block.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::place::{self, Place};
use super::table::{Broker, PORTS_PER_NODE};
use crate::report::{Outcome, Problem};

/// Blocks end below the ports that systems hand out to outgoing connections.
const LAST: u16 = 32_000;

/// Takes one block for each node of `broker`, near its place in the table.
///
/// # Errors
/// When no block is free.
pub fn take(place: &Place, broker: &Broker) -> Outcome<Vec<u16>> {
    // Threads of this command wait here in silence, other commands at the file.
    static ONE: Mutex<()> = Mutex::new(());
    let leases = place.cache.join("ports");
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let _lock = place::lock(&place.cache, "ports")?;
    place::make(&leases)?;
    let owner = place.broker(broker.name);
    place::make(&owner)?;
    let mut taken = Vec::new();
    let mut base = broker.first_port;
    while taken.len() < usize::from(broker.nodes) {
        if base > LAST {
            return Err(Problem::new(format!(
                "no {PORTS_PER_NODE} free ports in a row between {} and {LAST} on 127.0.0.1 for \
                 {}: end a server that uses some (`ss -ltnp` shows them)",
                broker.first_port, broker.name
            )));
        }
        let lease = leases.join(base.to_string());
        if (!leased(&lease) || owned(&lease, &owner)) && block(base).all(free) {
            place::write(&lease, &owner.display().to_string())?;
            taken.push(base);
        }
        base += PORTS_PER_NODE;
    }
    Ok(taken)
}

/// Gives blocks back.
pub fn give_back(place: &Place, bases: impl IntoIterator<Item = u16>) {
    for base in bases {
        // A lease that stays behind is void anyway once the folder it names is gone.
        let _ = fs::remove_file(place.cache.join("ports").join(base.to_string()));
    }
}

fn leased(lease: &Path) -> bool {
    fs::read_to_string(lease).is_ok_and(|owner| Path::new(&owner).exists())
}

fn owned(lease: &Path, owner: &Path) -> bool {
    fs::read_to_string(lease).is_ok_and(|text| Path::new(&text) == owner)
}

fn block(base: u16) -> std::ops::Range<u16> {
    base..base + PORTS_PER_NODE
}

fn free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Whether a port is free, or soon is: other commands that look for free ports hold each for a moment.
fn free_in_the_end(port: u16) -> bool {
    (0..20).any(|_| {
        let is = free(port);
        if !is {
            std::thread::sleep(Duration::from_millis(50));
        }
        is
    })
}

/// Fails when a foreign process listens on one of a stopped node's ports; `own` are those that a
/// helper of its broker may hold.
///
/// # Errors
/// When one is taken, naming the process where the system tells.
pub fn check_free(name: &str, base: u16, own: &[u16]) -> Outcome<()> {
    let foreign = |port: &u16| !own.contains(port) && !free_in_the_end(*port);
    let Some(port) = block(base).find(foreign) else {
        return Ok(());
    };
    let holder = holder(port).map_or_else(
        || "a process that this user may not see".to_owned(),
        |(pid, command)| format!("process {pid} ({command})"),
    );
    Err(Problem::new(format!(
        "port {port} of {name} is taken by {holder}, which this command did not start and does not \
         touch: end it, or give up the data of {name} with `cargo xtask brokers down --purge {name}`; \
         the next `up` then takes other ports"
    )))
}

/// Which process listens on a loopback port, where `/proc` tells.
fn holder(port: u16) -> Option<(u32, String)> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = fs::read_to_string(table).ok()?;
        text.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let local = u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()?;
            // 0A is LISTEN.
            let listens = *fields.get(3)? == "0A";
            (local == port && listens).then_some(fields.get(9)?.to_string())
        })
    })?;
    let link = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse::<u32>().ok()?;
        let holds = fs::read_dir(entry.path().join("fd"))
            .ok()?
            .flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == link.as_str()));
        holds.then(|| {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            (pid, name.trim().to_owned())
        })
    })
}

/// State folders of other checkouts that hold ports.
#[must_use]
pub fn other_owners(place: &Place) -> Vec<String> {
    let mut owners: Vec<String> = fs::read_dir(place.cache.join("ports"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|lease| fs::read_to_string(lease.path()).ok())
        .filter(|owner| Path::new(owner).exists() && !Path::new(owner).starts_with(&place.state))
        .collect();
    owners.sort();
    owners.dedup();
    owners
}
