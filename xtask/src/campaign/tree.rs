//! A copy of the checkout, in which sources can be changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::brokers::place;
use crate::report::{Doing, Outcome, Problem};

/// What git knows of the checkout, and what is new in it.
pub(super) fn files(root: &Path) -> Outcome<Vec<PathBuf>> {
    let words = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let output = Command::new("git").args(words).current_dir(root).output().doing(|| "running git".to_owned())?;
    let names = String::from_utf8_lossy(&output.stdout);
    let files: Vec<PathBuf> = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    let mut files: Vec<PathBuf> = files.into_iter().filter(|file| root.join(file).is_file()).collect();
    files.sort();
    if files.is_empty() {
        return Err(Problem::new("git lists no files here: mutants need a checkout"));
    }
    Ok(files)
}

/// Makes `to` the same as the checkout, without touching what is so already: cargo goes by times.
pub(super) fn copy(root: &Path, files: &[PathBuf], to: &Path) -> Outcome<()> {
    for file in files {
        let (from, to) = (root.join(file), to.join(file));
        let content = std::fs::read(&from).doing(|| format!("reading {}", from.display()))?;
        if std::fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        if let Some(folder) = to.parent() {
            place::make(folder)?;
        }
        std::fs::write(&to, content).doing(|| format!("writing {}", to.display()))?;
    }
    let known: std::collections::BTreeSet<&PathBuf> = files.iter().collect();
    gone(to, to, &|file| known.contains(&file.to_path_buf()))
}

/// Removes from the copy what the checkout no longer has.
fn gone(root: &Path, folder: &Path, known: &dyn Fn(&Path) -> bool) -> Outcome<()> {
    for entry in std::fs::read_dir(folder).doing(|| format!("reading {}", folder.display()))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            gone(root, &path, known)?;
        } else if path.strip_prefix(root).is_ok_and(|file| !known(file)) {
            std::fs::remove_file(&path).doing(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}
