//! Jars by Maven, with everything they depend on.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use super::{attempt, place};
use crate::report::Outcome;

pub(super) fn install(folder: &Path, artifacts: &[&str], log: &Path) -> Outcome<()> {
    place::write(&folder.join("pom.xml"), &pom(artifacts))?;
    // A repository of its own, gone afterwards: the user's stays as it is.
    let repository = folder.join("repository");
    attempt(artifacts.first().unwrap_or(&""), log, || {
        let mut command = Command::new("mvn");
        command
            .args(["-q", "-B", "dependency:copy-dependencies"])
            .arg(format!("-DoutputDirectory={}", folder.join("libs").display()))
            .arg(format!("-Dmaven.repo.local={}", repository.display()))
            .current_dir(folder);
        command
    })?;
    place::remove(&repository)
}

fn pom(artifacts: &[&str]) -> String {
    let mut dependencies = String::new();
    for artifact in artifacts {
        let mut parts = artifact.split(':');
        let mut part = || parts.next().unwrap_or_default();
        let (group, name, version) = (part(), part(), part());
        let _ = writeln!(
            dependencies,
            "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>\
             <version>{version}</version></dependency>"
        );
    }
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>pontoon</groupId>\
         <artifactId>brokers</artifactId><version>1</version>\n<dependencies>\n{dependencies}\
         </dependencies></project>\n"
    )
}
