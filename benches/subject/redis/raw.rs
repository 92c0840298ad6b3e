//! What all subjects by hand share: the commands, and how a message becomes an entry.

use std::time::{SystemTime, UNIX_EPOCH};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Value};

use crate::bodies::Check;
use crate::{Failure, QUEUE, failure};

/// The group of queues, as the library names it.
pub(super) const GROUP: &str = "pontoon";
const CONSUMER: &str = "by-hand";
/// How many entries one look at the stream takes.
const PAGE: usize = 1000;

/// Two connections of the client library: what publishes or acknowledges does not wait behind what reads.
pub(super) struct Raw {
    pub(super) writes: MultiplexedConnection,
    pub(super) reads: MultiplexedConnection,
}

impl Raw {
    pub(super) async fn connect(url: &str) -> Result<Self, Failure> {
        let client = Client::open(url)?;
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let writes = client.get_multiplexed_async_connection_with_config(&config).await?;
        let reads = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Raw { writes, reads })
    }

    /// An empty stream with its group, and nothing beside it.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        let beside = format!("{{{QUEUE}}}--*");
        let others: Vec<Vec<u8>> = redis::cmd("KEYS").arg(beside).query_async(&mut self.writes).await?;
        redis::cmd("DEL").arg(QUEUE).arg(others).exec_async(&mut self.writes).await?;
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATE").arg(QUEUE).arg(GROUP).arg("0").arg("MKSTREAM");
        create.exec_async(&mut self.writes).await?;
        Ok(())
    }

    /// Looks at every entry of the stream.
    pub(super) async fn see_all(&mut self, count: usize, check: &mut Check) -> Result<(), Failure> {
        let mut from = "-".to_owned();
        for _ in 0..count.div_ceil(PAGE) {
            let mut range = redis::cmd("XRANGE");
            range.arg(QUEUE).arg(&from).arg("+").arg("COUNT").arg(PAGE);
            let page = self.writes.send_packed_command(&range).await?;
            for entry in list(&page) {
                let (id, body) = id_and_body(entry)?;
                check.see(body);
                from = format!("({}", String::from_utf8_lossy(id));
            }
        }
        Ok(())
    }

    /// The fields of the oldest entry, each with the length of its value.
    pub(super) async fn first(&mut self) -> Result<String, Failure> {
        let mut range = redis::cmd("XRANGE");
        range.arg(QUEUE).arg("-").arg("+").arg("COUNT").arg(1);
        let page = self.writes.send_packed_command(&range).await?;
        let fields = list(&page).first().map(list).and_then(|entry| entry.get(1));
        let fields = list(fields.ok_or_else(|| failure("the stream is empty"))?);
        let text = |value: &Value| String::from_utf8_lossy(bytes(value)).into_owned();
        let each = fields.chunks_exact(2).map(|pair| format!("{}={}", text(&pair[0]), bytes(&pair[1]).len()));
        Ok(each.collect::<Vec<_>>().join(" "))
    }
}

/// What is the same in all messages of a batch.
pub(super) struct Stamp {
    id: [u8; 36],
    millis: String,
}

impl Stamp {
    pub(super) fn now() -> Self {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut id = *b"00000000-0000-7000-8000-000000000000";
        let digits = format!("{millis:012x}");
        id[..8].copy_from_slice(&digits.as_bytes()[..8]);
        id[9..13].copy_from_slice(&digits.as_bytes()[8..12]);
        Stamp { id, millis: millis.to_string() }
    }

    /// Adds a message to a command: the fields that the library writes.
    pub(super) fn put(&mut self, number: usize, body: &[u8], to: &mut Cmd) {
        for (at, digit) in self.id[24..].iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (4 * (11 - at))) & 15];
        }
        to.arg(QUEUE).arg("NOMKSTREAM").arg("*");
        to.arg("pontoon-v").arg("1").arg("pontoon-id").arg(&self.id[..]);
        to.arg("pontoon-timestamp").arg(&self.millis).arg("body").arg(body);
    }
}

/// A read of what is new, for one consumer of the group.
pub(super) fn read(count: usize) -> Cmd {
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP").arg(GROUP).arg(CONSUMER).arg("COUNT").arg(count).arg("STREAMS").arg(QUEUE).arg(">");
    read
}

/// The entries that a read brought.
pub(super) fn entries(reply: &Value) -> &[Value] {
    list(reply).first().and_then(|stream| list(stream).get(1)).map(list).unwrap_or_default()
}

pub(super) fn id_and_body(entry: &Value) -> Result<(&[u8], &[u8]), Failure> {
    let [id, fields] = list(entry) else { return Err(failure("an entry has two parts")) };
    let body = list(fields).chunks_exact(2).find(|pair| bytes(&pair[0]) == b"body");
    Ok((bytes(id), body.map(|pair| bytes(&pair[1])).ok_or_else(|| failure("an entry has no body"))?))
}

fn list(value: &Value) -> &[Value] {
    if let Value::Array(list) = value { list } else { &[] }
}

fn bytes(value: &Value) -> &[u8] {
    if let Value::BulkString(bytes) = value { bytes } else { &[] }
}
