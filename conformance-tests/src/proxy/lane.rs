//! One direction of one connection.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};

use super::strikes::Fate;
use super::{Direction, State};

/// The most bytes under way in one direction of one connection: beyond it the sender waits.
const UNDER_WAY: usize = 1 << 20;

/// The connection is to be reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    /// Because it was told to.
    OnPurpose,
    /// Because one side is gone: the other learns it in the same way.
    ByPeer,
}

/// Passes on what comes, until the sender closes its side.
///
/// # Errors
/// [`Reset`] when the connection is to end at once.
pub(super) async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    state: &State,
) -> Result<(), Reset> {
    let mut impairments = state.impairments(direction).subscribe();
    let mut now = impairments.borrow_and_update().clone();
    let mut pieces = Pieces::default();
    let mut buffer = vec![0; 16 << 10];
    // No piece goes before: the pause after the one before it.
    let mut next = Instant::now();
    let mut open = true;
    while open || pieces.bytes > 0 {
        tokio::select! {
            // What was asked for holds for every byte that is sent afterwards.
            biased;
            changed = impairments.changed() => {
                changed.map_err(|_| Reset::OnPurpose)?;
                now = impairments.borrow_and_update().clone();
            }
            read = from.read(&mut buffer), if open && pieces.bytes < UNDER_WAY => match read {
                Ok(count @ 1..) => {
                    let delay = now.latency + now.jitter.mul_f64(state.strikes.chance());
                    pieces.push(Instant::now() + delay, &buffer[..count]);
                }
                Ok(0) => open = false,
                Err(_) => return Err(Reset::ByPeer),
            },
            () = sleep_until(pieces.due().max(next)), if pieces.bytes > 0 && !now.silent => {
                let piece = pieces.take(now.piece(pieces.bytes));
                next = Instant::now() + now.pause_after(piece.len());
                let (passes, ends) = match state.strikes.fate(direction, &piece) {
                    Fate::Pass(all) => (all, false),
                    Fate::Cut(some) => (some, true),
                };
                let written = to.write_all(&piece[..passes]).await;
                if ends {
                    return Err(Reset::OnPurpose);
                }
                written.map_err(|_| Reset::ByPeer)?;
            }
        }
    }
    to.shutdown().await.map_err(|_| Reset::ByPeer)
}

/// What was read and not passed on, each piece with the moment it is due. First in, first out: nothing overtakes, however
/// the jitter falls.
#[derive(Default)]
struct Pieces {
    queue: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

impl Pieces {
    fn push(&mut self, due: Instant, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.queue.push_back((due, bytes.to_vec()));
    }

    fn due(&self) -> Instant {
        // Asked also when there is nothing: the answer is not used then.
        self.queue.front().map_or_else(|| Instant::now() + Duration::from_secs(3600), |(due, _)| *due)
    }

    /// Takes so many bytes, at most those of the first piece.
    fn take(&mut self, most: usize) -> Vec<u8> {
        let Some((_, first)) = self.queue.front_mut() else { return Vec::new() };
        let taken = if first.len() <= most {
            self.queue.pop_front().map(|(_, first)| first).unwrap_or_default()
        } else {
            first.drain(..most).collect()
        };
        self.bytes -= taken.len();
        taken
    }
}
