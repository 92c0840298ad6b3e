//! A consumer that writes down what it does.

use std::sync::Arc;
use std::time::Duration;

use pontoon_core::driver::AnyTransport;
use pontoon_core::engine::{Consumer, ConsumerOptions, DrainReport, FlushReport};
use pontoon_core::{Result, Source};

use super::hook::ConsumerHook;
use super::{Run, TappedDelivery};
use crate::history::{Handle, SourceName, Subscribe, What};

/// A consumer of a run. Clones are the same consumer.
#[derive(Clone)]
pub struct TappedConsumer {
    run: Run,
    inner: Consumer,
    number: u32,
    source: SourceName,
    hook: Arc<ConsumerHook>,
}

impl TappedConsumer {
    /// Opens a consumer of this run.
    ///
    /// # Errors
    /// As [`Consumer::open`].
    pub async fn open(
        run: &Run,
        transport: &AnyTransport,
        source: Source,
        options: ConsumerOptions,
    ) -> Result<TappedConsumer> {
        let number = run.next_handle();
        let hook = Arc::new(ConsumerHook::new(run.recorder().clone(), number));
        let environment = run.environment().clone().with_hook(hook.clone());
        let (name, prefetch) = (SourceName::from(&source), options.prefetch as u64);
        let inner = Consumer::open(transport, source, options, &environment).await?;
        let subscribe = Subscribe { consumer: number, source: name.clone(), prefetch: Some(prefetch) };
        run.recorder().record(What::Subscribe(subscribe));
        run.recorder().record(What::Connected { handle: Handle::Consumer(number) });
        Ok(TappedConsumer { run: run.clone(), inner, number, source: name, hook })
    }

    /// Its number in the run.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What it reads from.
    #[must_use]
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// The consumer beneath. What is taken from it is not recorded.
    #[must_use]
    pub fn inner(&self) -> &Consumer {
        &self.inner
    }

    /// The next delivery, recorded; as [`Consumer::next`].
    pub async fn next(&self) -> Option<Result<TappedDelivery>> {
        let delivery = self.inner.next().await?;
        Some(delivery.map(|delivery| {
            TappedDelivery::handed_out(&self.run, self.number, &self.source, self.hook.clone(), delivery)
        }))
    }

    /// Waits until everything settled so far is final.
    pub async fn flush(&self) -> FlushReport {
        self.run.recorder().record(What::Flush { consumer: self.number });
        let newest = self.hook.newest();
        let report = self.inner.flush().await;
        self.flushed(&report, newest);
        report
    }

    fn flushed(&self, report: &FlushReport, newest: u64) {
        let (consumer, stale, unknown) = (self.number, report.stale, report.unknown);
        if stale + unknown == 0 {
            self.hook.all_final(newest);
        }
        self.run.recorder().record(What::Flushed { consumer, stale, unknown });
    }

    /// Drains the consumer: what it did is final, and it holds nothing any more.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        // The report of a drain counts what was late since it began; this is for what was late before.
        let _ = tokio::time::timeout(within, self.flush()).await;
        self.run.recorder().record(What::Flush { consumer: self.number });
        let newest = self.hook.newest();
        let report = self.inner.drain(within).await;
        self.flushed(&report.late, newest);
        self.run.recorder().record(What::Unsubscribe { consumer: self.number });
        report
    }
}

impl std::fmt::Debug for TappedConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TappedConsumer").field("number", &self.number).field("source", &self.source).finish()
    }
}
