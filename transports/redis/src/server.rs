//! What a server says of itself.

use pontoon_core::{Error, ErrorKind, Result};

use crate::error;
use crate::resp::{Value, command};
use crate::socket::Socket;

/// The oldest version that has what this transport needs.
const OLDEST: (u32, u32) = (7, 0);

/// A server's program, version and durability, as found when it was asked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// `redis` or `valkey`.
    pub(crate) program: &'static str,
    pub(crate) version: (u32, u32),
    /// Whether it keeps a file of what it did.
    pub(crate) append_only: bool,
    /// Whether what is confirmed is in its file, so that a kill of the process loses nothing.
    pub(crate) written: bool,
    /// Whether it is on the disk before it is confirmed.
    pub(crate) synced: bool,
    /// The policy by which it removes keys that nobody asked it to remove.
    pub(crate) evicts: Option<String>,
}

impl Server {
    /// Asks.
    ///
    /// # Errors
    /// `Unsupported` for a server that is too old, or is one of a cluster; `Permission` where `INFO` is not allowed.
    pub(crate) async fn ask(socket: &mut Socket) -> Result<Self> {
        command(socket.out(), &[b"INFO", b"server", b"persistence", b"memory"]);
        command(socket.out(), &[b"CONFIG", b"GET", b"appendfsync"]);
        let (info, sync) = (socket.answer("connect").await, socket.answer("connect").await);
        let mut server = Self::read(&info?.text())?;
        // Without the right to ask nothing is claimed.
        if let Ok(Value::List(pair)) = sync {
            let policy = pair.get(1).map(Value::text).unwrap_or_default();
            server.keeps(&policy);
        }
        Ok(server)
    }

    /// What follows from `appendfsync`. With `everysec` the server answers before it has written, for up to two seconds,
    /// whenever its last synchronisation is still under way: a kill then takes what was confirmed.
    fn keeps(&mut self, policy: &str) {
        self.written = self.append_only && matches!(policy, "always" | "no");
        self.synced = self.append_only && policy == "always";
    }

    fn read(info: &str) -> Result<Self> {
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim)
        };
        let unsupported =
            |what: String, help: &'static str| Err(Error::new(ErrorKind::Unsupported, "connect", what).with_help(help));
        let (program, version) = match field("valkey_version") {
            Some(version) => ("valkey", version),
            None => ("redis", field("redis_version").unwrap_or_default()),
        };
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
        let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next()) else {
            return Err(error::connection("connect", "the server does not tell its version"));
        };
        if (major, minor) < OLDEST {
            return unsupported(format!("{program} {version} is too old"), "use Redis 7.0 or later, or Valkey");
        }
        if field("redis_mode") == Some("cluster") {
            return unsupported("the server is one of a cluster".into(), "use a server that stands alone, for now");
        }
        let evicts = field("maxmemory_policy").filter(|policy| policy.starts_with("allkeys-")).map(str::to_owned);
        let append_only = field("aof_enabled") == Some("1");
        Ok(Server { program, version: (major, minor), append_only, written: false, synced: false, evicts })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_survives_follows_from_when_the_file_is_written() {
        let mut server = Server::read("redis_version:8.0.2\naof_enabled:1\n").unwrap();
        for (policy, survives) in
            [("always", (true, true)), ("no", (true, false)), ("everysec", (false, false)), ("", (false, false))]
        {
            server.keeps(policy);
            assert_eq!((server.written, server.synced), survives, "{policy}");
        }
        let mut memory = Server::read("redis_version:8.0.2\naof_enabled:0\n").unwrap();
        memory.keeps("always");
        assert_eq!((memory.written, memory.synced), (false, false));
    }

    #[test]
    fn a_server_is_known_by_what_it_says() {
        let info = "# Server\r\nredis_version:8.0.2\r\nredis_mode:standalone\r\naof_enabled:1\r\n\
                    maxmemory_policy:noeviction\r\n";
        let server = Server::read(info).unwrap();
        assert_eq!((server.program, server.version, server.append_only), ("redis", (8, 0), true));
        assert_eq!(server.evicts, None);
        let valkey = Server::read("redis_version:7.2.4\nvalkey_version:8.1.1\nmaxmemory_policy:allkeys-lru\n").unwrap();
        assert_eq!((valkey.program, valkey.version, valkey.append_only), ("valkey", (8, 1), false));
        assert_eq!(valkey.evicts.as_deref(), Some("allkeys-lru"));
        for (info, kind) in [
            ("redis_version:6.2.1", ErrorKind::Unsupported),
            ("redis_version:7.0.0\nredis_mode:cluster", ErrorKind::Unsupported),
            ("", ErrorKind::Connection),
        ] {
            assert_eq!(Server::read(info).unwrap_err().kind(), kind, "{info}");
        }
    }
}
