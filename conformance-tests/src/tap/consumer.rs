//! A consumer that writes down what it does.

use std::time::Duration;

use pontoon_core::driver::AnyTransport;
use pontoon_core::engine::{Consumer, ConsumerOptions, DrainReport, FlushReport};
use pontoon_core::{Result, Source};

use super::{ConsumerRecord, Run, TappedDelivery};
use crate::history::SourceName;

/// A consumer of a run. Clones are the same consumer.
#[derive(Clone)]
pub struct TappedConsumer {
    record: ConsumerRecord,
    inner: Consumer,
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
        let record = ConsumerRecord::new(run, run.next_handle(), &source);
        let environment = run.environment().clone().with_hook(record.hook());
        let prefetch = options.prefetch as u64;
        let inner = Consumer::open(transport, source, options, &environment).await?;
        record.opened(Some(prefetch));
        Ok(TappedConsumer { record, inner })
    }

    /// Its number in the run.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.record.number()
    }

    /// What it reads from.
    #[must_use]
    pub fn source(&self) -> &SourceName {
        self.record.source()
    }

    /// The consumer beneath. What is taken from it is not recorded.
    #[must_use]
    pub fn inner(&self) -> &Consumer {
        &self.inner
    }

    /// The next delivery, recorded; as [`Consumer::next`].
    pub async fn next(&self) -> Option<Result<TappedDelivery>> {
        let delivery = self.inner.next().await?;
        Some(delivery.map(|delivery| TappedDelivery::handed_out(&self.record, delivery)))
    }

    /// Up to so many deliveries at once, each recorded; as [`Consumer::next_batch`].
    ///
    /// # Errors
    /// As [`Consumer::next_batch`].
    pub async fn next_batch(&self, max: usize) -> Result<Option<Vec<TappedDelivery>>> {
        let batch = self.inner.next_batch(max).await?;
        let recorded = |delivery| TappedDelivery::handed_out(&self.record, delivery);
        Ok(batch.map(|batch| batch.map(recorded).collect()))
    }

    /// Waits until everything settled so far is final.
    pub async fn flush(&self) -> FlushReport {
        let newest = self.record.flush_begins();
        let report = self.inner.flush().await;
        self.record.flush_ended(newest, report.stale, report.unknown);
        report
    }

    /// Drains the consumer: what it did is final, and it holds nothing any more.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        // The report of a drain counts what was late since it began; this is for what was late before.
        let _ = tokio::time::timeout(within, self.flush()).await;
        let newest = self.record.flush_begins();
        let report = self.inner.drain(within).await;
        self.record.flush_ended(newest, report.late.stale, report.late.unknown);
        self.record.closed();
        report
    }
}

impl std::fmt::Debug for TappedConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TappedConsumer").field("record", &self.record).finish()
    }
}
