//! Depth and purge.

use std::sync::Arc;

use pontoon_core::driver::{BoxFuture, DepthReport, QueueDepth, QueuePurge};
use pontoon_core::{Result, Source};

use crate::consumer::Reading;
use crate::error;
use crate::resp::{Value, command};
use crate::scripts::{DEPTH, PURGE};
use crate::transport::Client;

/// Asks the server.
#[derive(Debug)]
pub(crate) struct Counts(pub(crate) Arc<Client>);

fn flag(is: bool) -> &'static [u8] {
    if is { b"1" } else { b"0" }
}

impl QueueDepth for Counts {
    fn depth<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<DepthReport>> {
        Box::pin(async move {
            let reading = Reading::of(source, &self.0.config);
            let mut socket = self.0.open("ask depth").await?;
            let (mut sums, mut exact) = ([0u64; 3], true);
            for keys in &reading.shards {
                let arguments = [reading.group.as_bytes(), flag(reading.delete)];
                DEPTH.call(socket.out(), &[&keys.stream, &keys.due], &arguments);
                let told = socket.answer("ask depth").await?;
                let Value::List(told) = told else {
                    return Err(error::no_such_group("ask depth", source.channel.name.as_str(), &reading.group));
                };
                let number = |at: usize| told.get(at).and_then(Value::int).unwrap_or_default().max(0).unsigned_abs();
                sums.iter_mut().enumerate().for_each(|(at, sum)| *sum += number(at));
                exact &= number(3) == 1;
            }
            let mut report = DepthReport::exact(sums[0], sums[1], sums[2]);
            report.exact = exact;
            Ok(report)
        })
    }
}

impl QueuePurge for Counts {
    fn purge<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let reading = Reading::of(source, &self.0.config);
            let mut socket = self.0.open("purge").await?;
            let mut gone = 0;
            for keys in &reading.shards {
                // What comes while it runs stays.
                command(socket.out(), &[b"XREVRANGE", keys.stream.as_bytes(), b"+", b"-", b"COUNT", b"1"]);
                let last = socket.answer("purge").await?;
                let Some(last) = last.list().first().and_then(|entry| entry.list().first()).map(Value::text) else {
                    continue;
                };
                loop {
                    let arguments = [reading.group.as_bytes(), last.as_bytes(), flag(reading.delete)];
                    PURGE.call(socket.out(), &[&keys.stream], &arguments);
                    let told = socket.answer("purge").await?;
                    let number = |at: usize| told.list().get(at).and_then(Value::int).unwrap_or_default();
                    gone += number(0).max(0).unsigned_abs();
                    if number(1) == 0 {
                        break;
                    }
                }
            }
            Ok(gone)
        })
    }
}
