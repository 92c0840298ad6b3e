//! Puts the reports of several runs together, and writes them for people and for programs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use pontoon_conformance::report::{Report, html, junit, terminal};

/// Puts the JSON reports of conformance runs together and writes them in other forms. The exit status is 1 when
/// something failed or could not be judged.
#[derive(Debug, Parser)]
struct Options {
    /// Reports, as PONTOON_CONFORMANCE_REPORT names them.
    #[arg(required = true)]
    reports: Vec<PathBuf>,
    /// Where to write all of them as one JSON object.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where to write them as JUnit XML.
    #[arg(long)]
    junit: Option<PathBuf>,
    /// Where to write them as one HTML page that needs nothing else.
    #[arg(long)]
    html: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool, String> {
    let reports = options.reports.iter().map(|path| read(path)).collect::<Result<Vec<Report>, String>>()?;
    let report = reports.into_iter().reduce(Report::with).ok_or("no report was given")?;
    if let Some(path) = &options.json {
        write(path, &serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?)?;
    }
    if let Some(path) = &options.junit {
        write(path, &junit(&report)?)?;
    }
    if let Some(path) = &options.html {
        write(path, &html(&report))?;
    }
    print!("{}", terminal(&report));
    Ok(report.is_well())
}

fn read(path: &Path) -> Result<Report, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{} is not a conformance report: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
