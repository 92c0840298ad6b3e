//! The consumers of one transport, and what is given back for those that went without leaving.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pontoon_core::Result;

use super::member::{Member, Reading};
use crate::socket::Socket;

/// The most consumers that are kept after they went until somebody reads their source again. Those beyond it are found
/// by their leases.
const GONE: usize = 1024;

/// A consumer in use, by both of its halves. Whoever drops it without having made it leave leaves it to [`Members`],
/// which never lost sight of it: what it held is given back as soon as the server can be reached again.
#[derive(Debug)]
pub(crate) struct Membership(Arc<Member>);

impl Deref for Membership {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.0
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.0.goes();
    }
}

/// The consumers of one transport that have not left, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Members(Mutex<Vec<Arc<Member>>>);

impl Members {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Member>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new consumer; no other has its name, now or later.
    pub(crate) fn join(&self, reading: Reading, generation: u32) -> Membership {
        let random = pontoon_core::os_seed();
        let member = Arc::new(Member::new(format!("pontoon-{random:016x}-{generation}"), reading));
        let mut all = self.lock();
        all.retain(|known| !known.is_left());
        if all.iter().filter(|known| known.is_gone()).count() > GONE
            && let Some(oldest) = all.iter().position(|known| known.is_gone())
        {
            all.remove(oldest);
        }
        all.push(member.clone());
        Membership(member)
    }

    /// Those for whom something is still to be given back.
    fn present(&self) -> Vec<Arc<Member>> {
        self.lock().iter().filter(|known| !known.is_left()).cloned().collect()
    }

    /// Gives back what consumers of this process held that went without leaving, of one source.
    ///
    /// # Errors
    /// Of the connection; they are then kept.
    pub(crate) async fn bury(&self, reading: &Reading, socket: &mut Socket) -> Result<()> {
        for member in self.present() {
            if member.is_gone() && member.reading == *reading {
                leave(&member, socket).await?;
            }
        }
        Ok(())
    }

    /// Makes all consumers leave: the transport closes.
    ///
    /// # Errors
    /// Of the connection; those that did not leave are then kept.
    pub(crate) async fn leave_all(&self, socket: &mut Socket) -> Result<()> {
        for member in self.present() {
            leave(&member, socket).await?;
        }
        Ok(())
    }

    /// Whether there is nobody who could leave.
    pub(crate) fn is_empty(&self) -> bool {
        self.present().is_empty()
    }
}

async fn leave(member: &Member, socket: &mut Socket) -> Result<()> {
    for _ in 0..member.put_leave(socket.out()) {
        socket.answer("close consumer").await?;
    }
    member.has_left();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn reading(group: &str) -> Reading {
        Reading {
            group: group.to_owned(),
            shards: Vec::new(),
            members: String::new(),
            ordered: false,
            trims: false,
            delete: false,
            retention_ms: 0,
            lease: Duration::from_secs(1),
        }
    }

    /// A transport is closed while an engine on another thread lets go of its consumer: at no moment of that is the
    /// consumer neither in use nor among those that are gone.
    #[test]
    fn a_consumer_that_goes_is_never_out_of_sight() {
        for round in 0..200 {
            let members = Members::default();
            let one = members.join(reading("group"), round);
            let name = one.name.clone();
            std::thread::scope(|scope| {
                let going = scope.spawn(move || drop(one));
                for _ in 0..1_000 {
                    let over = going.is_finished();
                    assert_eq!(members.present().iter().filter(|known| known.name == name).count(), 1);
                    if over {
                        break;
                    }
                }
            });
            assert!(members.present().iter().all(|known| known.is_gone()));
        }
    }

    #[test]
    fn those_that_are_gone_are_kept_up_to_a_bound_and_those_that_left_are_not() {
        let members = Members::default();
        let in_use = members.join(reading("group"), 0);
        for generation in 0..2_000 {
            drop(members.join(reading("group"), generation));
        }
        assert!((GONE..=GONE + 3).contains(&members.present().len()), "{}", members.present().len());
        assert!(members.present().iter().any(|known| known.name == in_use.name), "it is in use");
        in_use.has_left();
        assert!(members.present().iter().all(|known| known.name != in_use.name));
    }
}
