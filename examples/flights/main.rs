//! The main job: 2,000 real flights through a queue that keeps the order of each airport.
//!
//! Publishes every flight, handles them with several workers, retries what fails, dead-letters what is hopeless, and
//! ends with a line that a judge wrote who compared the handlers' journal with the input:
//!
//! ```text
//! published=2000 handled=1970 dead_lettered=30 retried=499 duplicates=0 out_of_order=0 lost=0
//! ```
//!
//! Which broker carries them is a URL; nothing here knows more about it. Exit status: 0 when every promise was kept,
//! 1 when the judge found one broken or the broker could not be used, 2 for flags or files that cannot be used, 130
//! after a second SIGINT.

mod args;
mod board;
mod bridge;
mod conduct;
mod crew;
mod desk;
mod flight;
mod input;
mod journal;
mod judge;
mod plan;
mod publish;
mod report;
mod sabotage;
mod stop;
mod tally;
mod watch;
mod wrong;

use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use clap::Parser;

use args::Args;
use board::Board;
use desk::Office;
use journal::Journal;
use judge::{Evidence, Verdict};
use plan::{MAX_ATTEMPTS, Plan};
use stop::Stop;
use tally::Tally;
use wrong::Wrong;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(verdict) if verdict.is_good() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(wrong) => {
            eprintln!("flights: {wrong}");
            wrong.exit_code()
        }
    }
}

async fn run(args: &Args) -> Result<Verdict, Wrong> {
    let stop = Stop::listen(args.deadline).map_err(Wrong::Signals)?;
    eprintln!("flights: starting; Ctrl-C ends it early");
    let input = input::read(&args.input, args.poison).map_err(Wrong::Input)?;
    let journal = Journal::create(args.journal.as_deref()).map_err(Wrong::Journal)?;
    let journal = Arc::new(journal);
    stop.keep(&journal);
    let office = Arc::new(Office {
        run: run_id(),
        plan: Plan::new(input.len(), args.fail_rate, args.poison, args.seed),
        work: args.work,
        journal: journal.clone(),
        board: Board::default(),
        tally: Tally::new(input.len()),
        open: RwLock::new(true),
    });

    let ending = conduct::conduct(args, &input, &office, &stop).await.map_err(Wrong::Broker)?;

    office.close();
    let airports = office.board.totals();
    let entries = journal::parse(&journal.read_back().map_err(Wrong::Journal)?);
    let letters =
        ending.letters.as_ref().map(|letters| letters.iter().map(report::Letter::for_judge).collect::<Vec<_>>());
    let (entries, mut problems) = match entries {
        Ok(entries) => (entries, ending.problems),
        Err(problem) => (Vec::new(), vec![problem]),
    };
    let mut verdict = judge::judge(&Evidence {
        input: &input,
        journal: &entries,
        max_attempts: MAX_ATTEMPTS,
        confirmed: &ending.confirmed,
        dead_letters: letters.as_deref(),
        abandoned: &office.tally.unended(),
        interrupted: stop.interrupted(),
        depth: ending.depth,
        explained: ending.explained,
        printed: &report::printed(&airports),
    });
    verdict.problems.append(&mut problems);
    eprint!("{}", report::complaints(&verdict));
    // Whoever closed our output does not want it.
    let _ = writeln!(std::io::stdout(), "{}", report::text(&airports, ending.letters.as_deref(), &input, &verdict));
    Ok(verdict)
}

/// Different for each run: the time it began.
fn run_id() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
