//! Where things are: state below `target/brokers` of the checkout, installations in the user's
//! cache folder, which all checkouts share.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::report::{Doing, Outcome, Problem};

/// The folders of one checkout.
#[derive(Debug, Clone)]
pub struct Place {
    /// The root of the checkout.
    pub checkout: PathBuf,
    /// Data, logs and process ids.
    pub state: PathBuf,
    /// Installations, shared by checkouts.
    pub cache: PathBuf,
}

impl Place {
    /// Finds the folders: `PONTOON_BROKERS_DIR` replaces `target/brokers`, `XDG_CACHE_HOME`
    /// replaces `~/.cache`.
    ///
    /// # Errors
    /// When there is no home folder to cache in.
    pub fn find() -> Outcome<Self> {
        // Cargo says at run time where this package is, right for every checkout.
        let here = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let checkout = here.parent().unwrap_or(&here).to_owned();
        let state =
            std::env::var_os("PONTOON_BROKERS_DIR").map_or_else(|| checkout.join("target/brokers"), PathBuf::from);
        let cache = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
            (Some(cache), _) if Path::new(&cache).is_absolute() => PathBuf::from(cache),
            (_, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".cache"),
            _ => {
                return Err(Problem::new(
                    "neither XDG_CACHE_HOME nor HOME is set, so there is no folder for \
                     installations: set XDG_CACHE_HOME",
                ));
            }
        };
        Ok(Self {
            checkout,
            state: std::path::absolute(&state).doing(|| format!("finding {}", state.display()))?,
            cache: cache.join("pontoon"),
        })
    }

    /// The folder of one broker's state.
    #[must_use]
    pub fn broker(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    /// The folder of one installation.
    #[must_use]
    pub fn installation(&self, name: &str) -> PathBuf {
        self.cache.join(name)
    }
}

/// Held while one command changes something; released when dropped, also by a crash.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Takes the lock `name` in `folder`, and says so when another command has it.
///
/// # Errors
/// When the folder cannot be written.
pub fn lock(folder: &Path, name: &str) -> Outcome<Lock> {
    make(folder)?;
    let path = folder.join(format!("{name}.lock"));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .doing(|| format!("opening {}", path.display()))?;
    if file.try_lock().is_err() {
        println!("waiting for another command that holds {}", path.display());
        file.lock().doing(|| format!("locking {}", path.display()))?;
    }
    Ok(Lock(file))
}

/// Whether another command holds a lock in `folder`.
#[must_use]
pub fn busy(folder: &Path) -> bool {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "lock"))
        .filter_map(|entry| File::open(entry.path()).ok())
        .any(|file| file.try_lock().is_err())
}

/// Makes a folder and its parents.
///
/// # Errors
/// When the file system refuses.
pub fn make(folder: &Path) -> Outcome<()> {
    fs::create_dir_all(folder).doing(|| format!("making the folder {}", folder.display()))
}

/// Writes a file whole: another process sees the old text or the new one.
///
/// # Errors
/// When the file system refuses.
pub fn write(path: &Path, text: &str) -> Outcome<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, text).and_then(|()| fs::rename(&partial, path)).doing(|| format!("writing {}", path.display()))
}

/// Removes a folder that this tool made, if it is there.
///
/// Refuses while anything is mounted below it: a device folder mounted there would be emptied too.
///
/// # Errors
/// When something is mounted below it or the file system refuses.
pub fn remove(folder: &Path) -> Outcome<()> {
    if fs::symlink_metadata(folder).is_err() {
        return Ok(());
    }
    let real = fs::canonicalize(folder).doing(|| format!("finding {}", folder.display()))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if let Some(mount) =
        mounts.lines().filter_map(|line| line.split(' ').nth(4)).find(|mount| Path::new(mount).starts_with(&real))
    {
        return Err(Problem::new(format!(
            "{mount} is mounted, so {} is not removed: unmount it with `umount {mount}`",
            folder.display()
        )));
    }
    fs::remove_dir_all(folder).doing(|| format!("removing {}", folder.display()))
}

/// Fails when `folder`'s disk has less room than `needed` megabytes.
///
/// # Errors
/// When there is too little room, with what to do.
pub fn room(folder: &Path, needed: u64, what: &str) -> Outcome<()> {
    make(folder)?;
    let disk = rustix::fs::statvfs(folder).doing(|| format!("asking for room in {}", folder.display()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize) / 1_000_000;
    if free >= needed {
        return Ok(());
    }
    Err(Problem::new(format!(
        "{what} needs {needed} MB in {}, and {free} MB are free: make room there, or point \
         XDG_CACHE_HOME (installations) or PONTOON_BROKERS_DIR (data) to another disk",
        folder.display()
    )))
}
