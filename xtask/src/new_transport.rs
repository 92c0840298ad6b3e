//! `cargo xtask new-transport`: a transport that compiles, runs, and fails its checks with instructions.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::brokers::place;
use crate::report::{Doing, Outcome, Problem};
use crate::workspace;

/// What `cargo xtask new-transport` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Its name: small letters, digits and hyphens, such as `nats`.
    name: String,
    /// Makes a package of its own in this folder, for a transport that lives outside this repository.
    #[arg(long)]
    outside: Option<PathBuf>,
}

/// The files of a transport, and where they go.
const FILES: [(&str, &str); 9] = [
    ("Cargo.toml", include_str!("../templates/transport/Cargo.toml.txt")),
    ("README.md", include_str!("../templates/transport/README.md")),
    ("src/lib.rs", include_str!("../templates/transport/src/lib.rs")),
    ("src/config.rs", include_str!("../templates/transport/src/config.rs")),
    ("src/error.rs", include_str!("../templates/transport/src/error.rs")),
    ("src/transport.rs", include_str!("../templates/transport/src/transport.rs")),
    ("src/publisher.rs", include_str!("../templates/transport/src/publisher.rs")),
    ("src/consumer.rs", include_str!("../templates/transport/src/consumer.rs")),
    ("tests/conformance.rs", include_str!("../templates/transport/tests/conformance.rs")),
];

/// Runs the task.
///
/// # Errors
/// When the name cannot be one, when the folder exists, or a file cannot be written.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let name = named(&options.name)?;
    let root = workspace::metadata(false)?.workspace_root;
    let folder = match &options.outside {
        Some(folder) => folder.clone(),
        None => root.join("transports").join(&name.kebab),
    };
    if folder.exists() {
        return Err(Problem::new(format!(
            "{} exists already: choose another name, or remove it first",
            folder.display()
        )));
    }
    let home = if options.outside.is_some() { Home::Own(&root) } else { Home::Here };
    for (path, template) in FILES {
        let to = folder.join(path);
        place::make(to.parent().unwrap_or(&folder))?;
        place::write(&to, &filled(template, &name, &home))?;
    }
    let command = match home {
        Home::Here => {
            join_workspace(&root.join("Cargo.toml"), &name)?;
            format!("cargo test -p pontoon-{} --test conformance", name.kebab)
        }
        Home::Own(_) => format!("cd {} && cargo test --test conformance", folder.display()),
    };
    println!("{} is there: it compiles, and fails its checks.", folder.display());
    println!("next: docs/guide/transports.md, beginning with \"Read and decide\"; then");
    println!("  {command}");
    Ok(ExitCode::SUCCESS)
}

/// Where the package lives.
enum Home<'a> {
    /// In this workspace.
    Here,
    /// In one of its own; this one is there.
    Own(&'a Path),
}

/// A name as packages, modules and types have it.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    /// `azure-bus`.
    pub kebab: String,
    /// `azure_bus`.
    pub snake: String,
    /// `AzureBus`.
    pub pascal: String,
}

/// Reads a name.
///
/// # Errors
/// When a package cannot be called so.
pub fn named(text: &str) -> Outcome<Name> {
    let starts = text.starts_with(|letter: char| letter.is_ascii_lowercase());
    let plain = text.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-');
    if !starts || !plain || text.ends_with('-') || text.contains("--") || text.len() > 40 {
        return Err(Problem::new(format!(
            "`{text}` cannot be the name of a transport: at most 40 small letters, digits and single hyphens, beginning \
             with a letter, such as `nats`"
        )));
    }
    let pascal = text.split('-').map(|part| part[..1].to_ascii_uppercase() + &part[1..]).collect();
    Ok(Name { kebab: text.to_owned(), snake: text.replace('-', "_"), pascal })
}

fn filled(template: &str, name: &Name, home: &Home<'_>) -> String {
    let shared = |fields: &[&str]| fields.iter().map(|field| format!("{field}.workspace = true")).collect::<Vec<_>>();
    let (package, core, conformance, tokio, tail) = match home {
        Home::Here => (
            shared(&["version", "edition", "rust-version", "license"]).join("\n"),
            "pontoon-core.workspace = true".to_owned(),
            "pontoon-conformance.workspace = true".to_owned(),
            "workspace = true, ".to_owned(),
            "\n[lints]\nworkspace = true\n".to_owned(),
        ),
        Home::Own(root) => (
            "version = \"0.1.0\"\nedition = \"2024\"\nrust-version = \"1.95\"".to_owned(),
            format!("pontoon-core = {{ path = {:?} }}", root.join("core")),
            format!("pontoon-conformance = {{ path = {:?} }}", root.join("conformance-tests")),
            "version = \"1\", ".to_owned(),
            "\n[workspace]\n\n# Checks run side by side and some are heavy: optimise a little.\n[profile.test]\nopt-level = 1\n\
             debug = false\n"
                .to_owned(),
        ),
    };
    let text = template
        .replace("@package@", &package)
        .replace("@core@", &core)
        .replace("@conformance@", &conformance)
        .replace("@tokio@", &tokio)
        .replace("@tail@", &tail)
        .replace("@name@", &name.kebab)
        .replace("@snake@", &name.snake)
        .replace("@Name@", &name.pascal);
    format!("{}\n", text.trim_end())
}

/// Adds the package to the workspace's members and to its table of versions.
fn join_workspace(manifest: &Path, name: &Name) -> Outcome<()> {
    let text = std::fs::read_to_string(manifest).doing(|| format!("reading {}", manifest.display()))?;
    place::write(manifest, &joined(&text, name)?)
}

/// The root manifest with this transport as a member.
///
/// # Errors
/// When the place for it cannot be found.
pub fn joined(text: &str, name: &Name) -> Outcome<String> {
    let kebab = &name.kebab;
    let lost =
        |what: &str| Problem::new(format!("the root Cargo.toml has no {what}: add `transports/{kebab}` by hand"));
    let member = "\"transports/memory\"";
    let version = text
        .lines()
        .find(|line| line.starts_with("pontoon-memory = "))
        .ok_or_else(|| lost("line for pontoon-memory"))?;
    if !text.contains(member) {
        return Err(lost("member transports/memory"));
    }
    let own = version.replace("memory", kebab);
    let text = text.replacen(member, &format!("{member}, \"transports/{kebab}\""), 1);
    Ok(text.replacen(version, &format!("{version}\n{own}"), 1))
}
