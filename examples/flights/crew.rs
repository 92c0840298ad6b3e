//! The workers, each with a subscription of its own.

use std::sync::Arc;
use std::time::Duration;

use pontoon::{Broker, Retry, Worker, WorkerReport};
use tokio::task::{JoinError, JoinSet};

use super::args::Args;
use super::desk::{Desk, Office, on_flight};
use super::flight::FLIGHTS;
use super::plan::MAX_ATTEMPTS;
use super::stop::Stop;

/// Short waits: keys are blocked for milliseconds, and a run ends in seconds.
const RETRY: Retry = Retry::exponential(Duration::from_millis(2), Duration::from_millis(50)).attempts(MAX_ATTEMPTS);
/// Deliveries that one worker holds at most.
pub(crate) const PREFETCH: usize = 64;

/// Shares of the time allowed for stopping: in which workers drain, and after which nobody waits for them any more.
const DRAINED_BY: f64 = 0.7;
const GONE_BY: f64 = 0.8;

/// The workers at work.
#[derive(Debug)]
pub(crate) struct Crew {
    workers: JoinSet<pontoon::Result<WorkerReport>>,
    abandoned: usize,
    problems: Vec<String>,
}

impl Crew {
    /// Starts them.
    pub(crate) fn hire(args: &Args, broker: &Broker, office: &Arc<Office>, stop: &Stop) -> Self {
        let mut workers = JoinSet::new();
        for worker in 0..args.workers {
            let desk = Desk { worker, office: office.clone() };
            let drain = args.deadline.mul_f64(DRAINED_BY);
            let worker = Worker::new(broker.clone()).state(desk).handle(FLIGHTS, on_flight, RETRY).prefetch(PREFETCH);
            workers.spawn(worker.drain_within(drain).run_until(stop.wait()));
        }
        Crew { workers, abandoned: 0, problems: Vec::new() }
    }

    /// Waits for one of them to end; says whether one was left. Dropping the future loses nothing.
    pub(crate) async fn one_ended(&mut self, stop: &Stop) -> bool {
        let Some(ended) = self.workers.join_next().await else { return false };
        self.note(ended, stop);
        true
    }

    fn note(&mut self, ended: Result<pontoon::Result<WorkerReport>, JoinError>, stop: &Stop) {
        match ended {
            Ok(Ok(report)) => {
                self.abandoned += report.abandoned.len();
                eprintln!("worker: {report}");
                if !stop.is_stopping() {
                    self.problems.push("a worker ended before its time".to_owned());
                }
            }
            Ok(Err(error)) => self.problems.push(format!("a worker ended with an error: {error}")),
            Err(error) => self.problems.push(format!("a worker ended: {error}")),
        }
    }

    /// Waits for all of them to drain. What went wrong with them, in words.
    pub(crate) async fn dismiss(mut self, office: &Office, stop: &Stop) -> Vec<String> {
        let drained = stop.within(GONE_BY, async { while self.one_ended(stop).await {} }).await.is_some();
        let foreign = office.tally.foreigners();
        if foreign > 0 {
            eprintln!("{foreign} messages of earlier runs were settled and not counted");
        }
        let (unended, abandoned) = (office.tally.unended().len(), self.abandoned);
        if !drained {
            let late = "workers did not drain by their deadline".to_owned();
            // What they hold is accounted for as left or abandoned: after an interruption that is what a deadline is for.
            if stop.interrupted() { eprintln!("{late}") } else { self.problems.push(late) }
        } else if unended > abandoned {
            self.problems.push(format!("{unended} handlers never ended, and workers report {abandoned} as abandoned"));
        }
        self.problems
    }
}
