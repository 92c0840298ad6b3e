//! A Python with one package, for tests that speak to a broker as other programs do.

use std::fs;
use std::path::PathBuf;

use super::super::place::{self, Place};
use super::{MARK, pypi, tools};
use crate::report::{Doing, Outcome};

/// The interpreter of an environment with this package, made if it is not there.
///
/// # Errors
/// When it cannot be made, with what to do.
pub(in super::super) fn ensure(place: &Place, requirement: &str) -> Outcome<PathBuf> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name = format!("python-{}", requirement.chars().map(plain).collect::<String>());
    // Another checkout may be installing the same thing.
    let _lock = place::lock(&place.cache, &name)?;
    let folder = place.installation(&name);
    let program = folder.join("bin/python");
    // Written last: without it the installation was interrupted.
    if folder.join(MARK).exists() && program.exists() {
        return Ok(program);
    }
    println!("{name}: not installed; installing into {}", folder.display());
    tools::ensure_python()?;
    place::remove(&folder)?;
    place::make(&place.cache)?;
    pypi::install(&folder, requirement, &place.cache.join(format!("{name}.log")))?;
    fs::write(folder.join(MARK), requirement).doing(|| format!("marking {name}"))?;
    Ok(program)
}
