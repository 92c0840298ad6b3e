//! Every kind of fault, seen from both ends, in both directions; and that no byte is ever invented.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use std::num::{NonZeroU64, NonZeroUsize};

use super::*;

/// Longer than anything takes that is to happen at all.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough to see that nothing comes.
const QUIET: Duration = Duration::from_millis(60);

/// A proxy with a server behind it, which hands out its ends of the connections.
struct Net {
    proxy: Proxy,
    server: TcpListener,
}

/// Both ends of one connection, by the direction that is looked at.
struct Wire {
    sends: TcpStream,
    receives: TcpStream,
}

impl Net {
    async fn new(seed: u64) -> Net {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Net { proxy: Proxy::open(server.local_addr().unwrap(), seed).await.unwrap(), server }
    }

    async fn wire(&self, direction: Direction) -> Wire {
        let client = TcpStream::connect(self.proxy.address()).await.unwrap();
        let (broker, _) = timeout(PATIENCE, self.server.accept()).await.unwrap().unwrap();
        let _ = (client.set_nodelay(true), broker.set_nodelay(true));
        match direction {
            Direction::Request => Wire { sends: client, receives: broker },
            Direction::Reply => Wire { sends: broker, receives: client },
        }
    }
}

impl Wire {
    async fn send(&mut self, bytes: &[u8]) {
        self.sends.write_all(bytes).await.unwrap();
    }

    async fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        timeout(PATIENCE, self.receives.read_exact(&mut bytes)).await.unwrap().unwrap();
        bytes
    }

    /// What arrives until the connection ends, and whether it ended by a reset.
    async fn rest(&mut self) -> (Vec<u8>, bool) {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match timeout(PATIENCE, self.receives.read(&mut buffer)).await.unwrap() {
                Ok(0) => return (bytes, false),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(_) => return (bytes, true),
            }
        }
    }

    async fn is_quiet(&mut self) -> bool {
        timeout(QUIET, self.receives.read_u8()).await.is_err()
    }

    /// Whether the way back still works: what one direction suffers the other does not.
    async fn answers(&mut self) -> bool {
        self.receives.write_all(b"!").await.unwrap();
        matches!(timeout(PATIENCE, self.sends.read_u8()).await, Ok(Ok(b'!')))
    }
}

fn text(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n % 251) as u8).collect()
}

#[tokio::test]
async fn what_is_well_passes_whole_and_ends_as_it_ends() {
    for direction in Direction::BOTH {
        let net = Net::new(1).await;
        let mut wire = net.wire(direction).await;
        let sent = text(300_000);
        let expected = sent.clone();
        let Wire { mut sends, receives } = wire;
        let sending = tokio::spawn(async move {
            sends.write_all(&sent).await.unwrap();
            sends.shutdown().await.unwrap();
            sends
        });
        wire = Wire { sends: TcpStream::connect(net.proxy.address()).await.unwrap(), receives };
        assert_eq!(wire.rest().await, (expected, false), "{direction:?}");
        wire.sends = sending.await.unwrap();
        assert!(wire.answers().await, "a closed half leaves the other open: {direction:?}");
    }
}

#[tokio::test]
async fn latency_delays_and_does_not_slow_down() {
    for direction in Direction::BOTH {
        let net = Net::new(1).await;
        let mut wire = net.wire(direction).await;
        let latency = Duration::from_millis(80);
        net.proxy.impair(direction, Impairments { latency, jitter: latency / 4, ..Impairments::default() });
        let began = Instant::now();
        for byte in 0..10 {
            wire.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(wire.receive(10).await, (0..10).collect::<Vec<u8>>(), "{direction:?}");
        let took = began.elapsed();
        assert!(took >= latency, "{direction:?}: {took:?}");
        assert!(took < latency * 8, "ten delays are one when they travel side by side: {direction:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_rate_is_kept() {
    for direction in Direction::BOTH {
        let net = Net::new(1).await;
        let mut wire = net.wire(direction).await;
        net.proxy.impair(direction, Impairments { rate: NonZeroU64::new(100_000), ..Impairments::default() });
        let began = Instant::now();
        wire.send(&text(20_000)).await;
        assert_eq!(wire.receive(20_000).await, text(20_000));
        // The last piece has its pause behind it.
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(180), "{direction:?}: {took:?}");
        assert!(wire.answers().await, "{direction:?}");
    }
}

#[tokio::test]
async fn slices_come_one_by_one() {
    for direction in Direction::BOTH {
        let net = Net::new(1).await;
        let mut wire = net.wire(direction).await;
        let gap = Duration::from_millis(2);
        net.proxy.impair(direction, Impairments { slice: NonZeroUsize::new(1), gap, ..Impairments::default() });
        let began = Instant::now();
        wire.send(&text(64)).await;
        let (mut bytes, mut reads, mut buffer) = (Vec::new(), 0, [0; 64]);
        while bytes.len() < 64 {
            let count = timeout(PATIENCE, wire.receives.read(&mut buffer)).await.unwrap().unwrap();
            bytes.extend_from_slice(&buffer[..count]);
            reads += 1;
        }
        assert_eq!(bytes, text(64));
        assert!(reads > 1, "{direction:?}");
        assert!(began.elapsed() >= gap * 63, "{direction:?}");
    }
}

#[tokio::test]
async fn silence_holds_up_and_loses_nothing() {
    for direction in Direction::BOTH {
        let net = Net::new(1).await;
        let mut wire = net.wire(direction).await;
        net.proxy.impair(direction, Impairments { silent: true, ..Impairments::default() });
        wire.send(b"held").await;
        assert!(wire.is_quiet().await, "{direction:?}");
        assert!(wire.answers().await, "only one way is silent: {direction:?}");
        // A connection that is made meanwhile is silent too, and open.
        let mut other = net.wire(direction).await;
        other.send(b"x").await;
        assert!(other.is_quiet().await, "{direction:?}");
        net.proxy.heal();
        assert_eq!(wire.receive(4).await, b"held");
        assert_eq!(other.receive(1).await, b"x");
        net.proxy.hush(true);
        wire.send(b"y").await;
        assert!(wire.is_quiet().await, "both ways: {direction:?}");
        net.proxy.hush(false);
        assert_eq!(wire.receive(1).await, b"y");
    }
}

#[tokio::test]
async fn a_cut_comes_after_exactly_so_many_bytes() {
    for direction in Direction::BOTH {
        for at in [0, 1, 5, 4_095, 4_096, 9_999] {
            let net = Net::new(1).await;
            let mut wire = net.wire(direction).await;
            net.proxy.cut_after(direction, at);
            // In pieces: what has passed counts.
            let before = if at > 4_000 { 4_000 } else { 0 };
            wire.send(&text(10_000)[..before]).await;
            let mut arrived = wire.receive(before).await;
            wire.send(&text(10_000)[before..]).await;
            let (rest, reset) = wire.rest().await;
            arrived.extend(rest);
            // A reset may overtake what is on its way, as it does on a network; no byte beyond the cut is ever seen.
            assert!(arrived.len() as u64 <= at && text(10_000).starts_with(&arrived), "{direction:?} at {at}");
            assert!(reset, "{direction:?} at {at}");
            let counts = net.proxy.counts();
            let passed = if direction == Direction::Request { counts.request_bytes } else { counts.reply_bytes };
            assert_eq!((passed, counts.resets), (at, 1), "{direction:?}");
            // Once: the next connection is well.
            let mut next = net.wire(direction).await;
            next.send(&text(10_000)).await;
            assert_eq!(next.receive(10_000).await, text(10_000));
        }
    }
}

#[tokio::test]
async fn a_reset_ends_every_connection_and_no_new_one() {
    for direction in Direction::BOTH {
        let net = Net::new(1).await;
        let mut wires = Vec::new();
        for _ in 0..20 {
            let mut wire = net.wire(direction).await;
            wire.send(b"a").await;
            assert_eq!(wire.receive(1).await, b"a");
            wires.push(wire);
        }
        net.proxy.cut();
        for wire in &mut wires {
            assert_eq!(wire.rest().await, (vec![], true), "{direction:?}");
        }
        assert_eq!((net.proxy.counts().connections, net.proxy.counts().resets), (20, 20));
        let mut next = net.wire(direction).await;
        next.send(b"b").await;
        assert_eq!(next.receive(1).await, b"b");
    }
}

#[tokio::test]
async fn what_is_lost_takes_its_connection_with_it() {
    for direction in Direction::BOTH {
        let net = Net::new(1).await;
        let mut wire = net.wire(direction).await;
        wire.send(b"seen").await;
        assert_eq!(wire.receive(4).await, b"seen");
        net.proxy.lose(direction, 1);
        wire.send(b"lost").await;
        assert_eq!(wire.rest().await, (vec![], true), "{direction:?}");
        assert_eq!(net.proxy.counts().lost, 1);
        let mut next = net.wire(direction).await;
        next.send(b"seen").await;
        assert_eq!(next.receive(4).await, b"seen", "one was to be lost: {direction:?}");
    }
}

#[tokio::test]
async fn pieces_break_off_within() {
    for direction in Direction::BOTH {
        let net = Net::new(7).await;
        net.proxy.break_off(1);
        let mut wire = net.wire(direction).await;
        let mut sent = 0;
        // One in four pieces breaks: a thousand are far more than it takes.
        while sent < 1_000 && net.proxy.counts().resets == 0 {
            sent += 1;
            if wire.sends.write_all(&text(100)).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (arrived, reset) = wire.rest().await;
        assert!(reset && arrived.len() < sent * 100, "{direction:?}");
        let whole: Vec<u8> = (0..sent).flat_map(|_| text(100)).collect();
        assert!(whole.starts_with(&arrived), "{direction:?}");
    }
}

#[tokio::test]
async fn a_broker_that_is_gone_is_seen_as_such() {
    let net = Net::new(1).await;
    let Net { proxy, server } = net;
    drop(server);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let ended = timeout(PATIENCE, client.read_u8()).await.unwrap();
    assert!(ended.is_err(), "the client is not left waiting");
}

/// The heart of it: whatever is done, what arrives is the beginning of what was sent, and all of it unless the
/// connection was ended.
#[tokio::test]
async fn no_byte_is_invented_and_none_overtakes() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let direction = Direction::BOTH[random.usize(..2)];
        let net = Net::new(seed).await;
        let mut wire = net.wire(direction).await;
        let sent = text(random.usize(1..60_000));
        let mut ends = false;
        let ms = |n| Duration::from_millis(n);
        let harm = |random: &mut fastrand::Rng, ends: &mut bool| match random.u8(..7) {
            0 => net.proxy.cut_after(direction, random.u64(..60_000)),
            1 => net.proxy.lose(direction, 1),
            2 => net.proxy.break_off(1),
            3 => {
                *ends = true;
                net.proxy.cut();
            }
            _ => net.proxy.impair(
                direction,
                Impairments {
                    latency: ms(random.u64(..10)),
                    jitter: ms(random.u64(..10)),
                    rate: NonZeroU64::new(random.u64(..4_000_000)),
                    slice: NonZeroUsize::new(random.usize(..2_000)),
                    ..Impairments::default()
                },
            ),
        };
        let mut at = 0;
        while at < sent.len() {
            let piece = random.usize(1..=sent.len() - at);
            if wire.sends.write_all(&sent[at..at + piece]).await.is_err() {
                break;
            }
            at += piece;
            if random.bool() {
                harm(&mut random, &mut ends);
            }
            if random.u8(..4) == 0 {
                tokio::time::sleep(ms(random.u64(..3))).await;
            }
        }
        let _ = wire.sends.shutdown().await;
        let (arrived, reset) = wire.rest().await;
        assert!(sent.starts_with(&arrived), "seed {seed}");
        let counts = net.proxy.counts();
        assert_eq!(reset, counts.resets > 0, "seed {seed}: only what was told to ends early: {counts:?}, cut: {ends}");
        assert!(reset || arrived.len() == sent.len(), "seed {seed}: {} of {}", arrived.len(), sent.len());
    }
}

#[tokio::test]
async fn only_what_is_picked_is_struck() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let picks = |_: Direction, piece: &[u8]| piece == b"x";
    let proxy = Proxy::open_picking(server.local_addr().unwrap(), 1, picks).await.unwrap();
    let net = Net { proxy, server };
    let mut wire = net.wire(Direction::Request).await;
    net.proxy.lose(Direction::Request, 1);
    wire.send(b"y").await;
    assert_eq!(wire.receive(1).await, b"y", "it is not picked");
    wire.send(b"x").await;
    assert!(wire.rest().await.0.is_empty(), "it is lost, with its connection");
    assert_eq!(net.proxy.counts().lost, 1);
}
