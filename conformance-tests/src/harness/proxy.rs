//! A proxy between a client and its broker, in the process of the test: it cuts connections, and lets them fall silent.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A TCP proxy in front of one address. Its tasks run on the runtime it was opened in, and end with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    upstream: SocketAddr,
    /// Raised to end every connection.
    cuts: watch::Sender<u64>,
    silent: watch::Sender<bool>,
    replies_to_lose: AtomicU64,
    requests_to_break: AtomicU64,
    random: Mutex<fastrand::Rng>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Reply,
}

impl Proxy {
    /// Listens on a free port of this machine and passes everything on to this address.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn open(upstream: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            upstream,
            cuts: watch::Sender::new(0),
            silent: watch::Sender::new(false),
            replies_to_lose: AtomicU64::new(0),
            requests_to_break: AtomicU64::new(0),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        });
        tokio::spawn(accept(listener, state.clone()));
        Ok(Proxy { address, state })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection; new ones work.
    pub fn cut(&self) {
        self.state.cuts.send_modify(|count| *count += 1);
    }

    /// Keeps connections open and passes nothing on, or passes on again.
    pub fn hush(&self, silent: bool) {
        self.state.silent.send_replace(silent);
    }

    /// So many of the next replies are dropped, each with its connection.
    pub fn lose_replies(&self, count: u64) {
        self.state.replies_to_lose.store(count, Ordering::SeqCst);
    }

    /// So many of the next requests, or their replies, break off somewhere, each with its connection.
    pub fn break_requests(&self, count: u64) {
        self.state.requests_to_break.store(count, Ordering::SeqCst);
    }

    /// Passes everything on again.
    pub fn heal(&self) {
        self.lose_replies(0);
        self.break_requests(0);
        self.hush(false);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connection(client, state.clone()));
    }
}

async fn connection(client: TcpStream, state: Arc<State>) {
    let mut cut = state.cuts.subscribe();
    let Ok(broker) = TcpStream::connect(state.upstream).await else { return };
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let ((from_client, to_client), (from_broker, to_broker)) = (client.into_split(), broker.into_split());
    // Whichever ends first takes the other with it.
    tokio::select! {
        () = pass(from_client, to_broker, Direction::Request, &state) => {}
        () = pass(from_broker, to_client, Direction::Reply, &state) => {}
        _ = cut.changed() => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, direction: Direction, state: &State) {
    let mut buffer = vec![0; 16 << 10];
    let mut silent = state.silent.subscribe();
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if silent.wait_for(|silent| !silent).await.is_err() {
            return;
        }
        let passed = state.passes(direction, count);
        if to.write_all(&buffer[..passed]).await.is_err() || passed < count {
            return;
        }
    }
}

impl State {
    /// How many of so many bytes pass before the connection ends: all of them where it does not.
    fn passes(&self, direction: Direction, count: usize) -> usize {
        if direction == Direction::Reply && take_one(&self.replies_to_lose) {
            return 0;
        }
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        // Not always at once, so that it strikes in the middle of something.
        if random.u8(..4) == 0 && take_one(&self.requests_to_break) {
            return random.usize(..count);
        }
        count
    }
}

fn take_one(count: &AtomicU64) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// An upstream that answers every byte with itself.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn ask(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_all(b"x").await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn it_passes_cuts_falls_silent_and_loses_replies() {
        let proxy = Proxy::open(echo().await, 1).await.unwrap();
        let connect = || TcpStream::connect(proxy.address());
        let mut one = connect().await.unwrap();
        assert_eq!(ask(&mut one).await.unwrap(), b'x');
        proxy.cut();
        assert!(ask(&mut one).await.is_err(), "it was cut");

        let mut two = connect().await.unwrap();
        assert_eq!(ask(&mut two).await.unwrap(), b'x');
        proxy.hush(true);
        let waiting = tokio::time::timeout(Duration::from_millis(50), ask(&mut two)).await;
        assert!(waiting.is_err(), "nothing passes, and nothing ends");
        proxy.hush(false);
        assert_eq!(two.read_u8().await.unwrap(), b'x');

        proxy.lose_replies(1);
        assert!(ask(&mut two).await.is_err(), "the reply is lost");
        let mut three = connect().await.unwrap();
        assert_eq!(ask(&mut three).await.unwrap(), b'x');
        proxy.break_requests(1);
        let mut answered = 0;
        while answered < 1_000 && ask(&mut three).await.is_ok() {
            answered += 1;
        }
        assert!(answered < 1_000, "it breaks off sooner or later");
        proxy.heal();
        assert_eq!(ask(&mut connect().await.unwrap()).await.unwrap(), b'x');
    }
}
