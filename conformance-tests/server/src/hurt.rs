//! What can be made to go wrong while the process runs.

use pontoon_memory::{Chance, Fault};

use crate::protocol::{Malformed, Put, Take};

/// What is to go wrong: [`MemoryServer::hurt`](crate::MemoryServer::hurt). Killing and pausing the process are methods
/// of their own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Hurt {
    /// Every connection that publishes or consumes ends.
    Cut,
    /// Every connection that publishes or consumes falls silent and stays open. New ones work.
    Freeze,
    /// A channel is deleted with everything it holds.
    Delete(String),
    /// A fault of the model, from now on. What it stores and does not confirm does not survive a restart.
    Fault(Fault, Chance),
    /// The faults of the model end.
    Heal,
}

pub(crate) fn put_hurt(to: &mut Vec<u8>, hurt: &Hurt) {
    match hurt {
        Hurt::Cut => to.push(0),
        Hurt::Freeze => to.push(1),
        Hurt::Delete(channel) => {
            to.push(2);
            to.put_text(channel);
        }
        Hurt::Fault(fault, chance) => {
            to.push(3);
            to.push(Fault::ALL.iter().position(|known| known == fault).map_or(u8::MAX, |at| at as u8));
            to.put_text(&chance.to_string());
        }
        Hurt::Heal => to.push(4),
    }
}

pub(crate) fn take_hurt(from: &mut Take) -> Result<Hurt, Malformed> {
    Ok(match from.u8()? {
        0 => Hurt::Cut,
        1 => Hurt::Freeze,
        2 => Hurt::Delete(from.text()?),
        3 => {
            let fault = Fault::ALL.get(usize::from(from.u8()?)).ok_or(Malformed("there is no such fault"))?;
            Hurt::Fault(*fault, from.text()?.parse().map_err(|_| Malformed("a chance cannot be read"))?)
        }
        4 => Hurt::Heal,
        _ => return Err(Malformed("there is no such way to be hurt")),
    })
}
