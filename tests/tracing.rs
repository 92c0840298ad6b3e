//! Events as `tracing` writes them. In a process of its own: a call site that another test's thread reaches first,
//! without a subscriber, is switched off for all.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use pontoon::middleware::Spans;
use pontoon::prelude::*;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

const LOOSE: Queue<u64> = Queue::new("loose").dead_letter("loose.dead");

/// Keeps what is written, down to a level, as lines of text.
#[derive(Clone)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    level: Level,
}

struct Text(String);
impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "pontoon" && *metadata.level() <= self.level
    }
    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.level.into())
    }
    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut text = Text(format!("span {}", attributes.metadata().name()));
        attributes.record(&mut text);
        self.lines.lock().unwrap().push(text.0);
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.lines.lock().unwrap().push(text.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[test]
fn events_are_written_at_sensible_levels() {
    // The level is a global of `tracing`: both runs are one test.
    for level in [Level::WARN, Level::TRACE] {
        let lines = Lines { lines: Arc::default(), level };
        let written = lines.lines.clone();
        tracing::subscriber::with_default(lines, || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            runtime.block_on(work());
        });
        let written = written.lock().unwrap();
        let dead: Vec<&String> = written.iter().filter(|line| line.contains("dead-lettered")).collect();
        assert_eq!(dead.len(), 1, "{written:#?}");
        assert!(dead[0].starts_with("WARN") && dead[0].contains("source=loose") && dead[0].contains("reason=rejected"));
        let spans = written.iter().filter(|line| line.starts_with("span handle source=loose id=")).count();
        let per_message = written.iter().filter(|line| line.starts_with("TRACE")).count();
        if level == Level::WARN {
            assert_eq!((written.len(), spans, per_message), (1, 0, 0), "{written:#?}");
        } else {
            assert_eq!(spans, 3);
            assert_eq!(written.iter().filter(|line| line.starts_with("DEBUG") && line.contains("retried")).count(), 1);
            assert_eq!(per_message, 2 + 3 + 1, "two published, three delivered, one acknowledged: {written:#?}");
        }
    }
}

async fn work() {
    async fn handler(number: u64, attempt: Attempt) -> Outcome {
        match (number, attempt.at_least) {
            (0, _) => reject("unwanted"),
            (_, 1) => Err(pontoon::Failure::new("once")),
            _ => done(),
        }
    }
    let broker = pontoon::connect("memory://").await.unwrap();
    broker.publisher(LOOSE).await.unwrap().publish_all(0..2).await.into_result().unwrap();
    let worker = Worker::new(broker.clone()).handle(LOOSE, handler, Retry::DEFAULT).layer(Spans);
    let idle = async {
        loop {
            let depth = broker.depth(&LOOSE).await.unwrap();
            if depth.ready + depth.delayed.unwrap_or(0) + depth.in_flight.unwrap_or(0) == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    assert!(worker.run_until(idle).await.unwrap().is_clean());
}
