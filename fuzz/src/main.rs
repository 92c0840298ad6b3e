//! Runs the targets for a time; ends with code 1 when one panicked.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pontoon_fuzz::corpus;
use pontoon_fuzz::hunt::hunt;
use pontoon_fuzz::targets::{TARGETS, Target};

/// The command line.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only these targets, instead of all.
    targets: Vec<String>,
    /// How long, in all.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Begins another sequence of inputs; a random one is taken, and printed, when there is none.
    #[arg(long)]
    seed: Option<u64>,
    /// Where an input that makes a target panic is written.
    #[arg(long, default_value = "target/fuzz")]
    found: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let chosen = chosen(&arguments.targets)?;
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let time = Duration::from_secs(arguments.seconds) / u32::try_from(chosen.len())?;
    let mut panics = 0;
    for target in chosen {
        let committed = corpus::read(&corpus::folder(), target.name)?.into_iter().map(|(_, input)| input).collect();
        let found = hunt(target, committed, seed, time);
        println!("{:<9} {:>9} inputs, {:>5} kinds of answers, seed {seed}", target.name, found.inputs, found.kinds);
        if let Some(input) = found.panicked {
            panics += 1;
            let path = arguments.found.join(format!("{}-{seed}", target.name));
            std::fs::create_dir_all(&arguments.found)?;
            std::fs::write(&path, input)?;
            println!("{} PANICKED: see above; the input is in {}", target.name, path.display());
        }
    }
    println!("{panics} panics");
    Ok(if panics == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Target>, String> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    let known = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    let find = |name: &String| {
        let found = TARGETS.iter().find(|target| target.name == name);
        found.ok_or_else(|| format!("there is no target `{name}`; there are {}", known()))
    };
    names.iter().map(find).collect()
}
