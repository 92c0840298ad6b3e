//! A disk whose power can be cut.

use std::path::{Path, PathBuf};
use std::process::Command;

use pontoon_core::{Error, ErrorKind, Result};

/// Room for what a broker of a test stores, and for what `cargo xtask brokers` wants to be free, in bytes.
const SIZE: u64 = 448 << 20;

/// A file system in a file, mounted on a folder: what a program has written and not synchronised is in the machine's memory
/// and not in the file, so that a copy of the file is what a loss of power would leave. For brokers that store on it.
///
/// It takes root, Linux, loop devices and `mkfs.ext4`. Dropping it unmounts the folder and removes the file.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    folder: PathBuf,
}

impl Disk {
    /// Makes one beside `folder`, empty, and mounts it there.
    ///
    /// # Errors
    /// With what is missing on this machine.
    pub fn on(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        let image = folder.with_extension("img");
        std::fs::create_dir_all(&folder).map_err(|error| wrong(format!("{}: {error}", folder.display())))?;
        let file = std::fs::File::create(&image).and_then(|file| file.set_len(SIZE));
        file.map_err(|error| wrong(format!("{}: {error}", image.display())))?;
        let disk = Disk { image, folder };
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), disk.image.as_ref()])?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where programs store.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stores all that was written so far.
    ///
    /// # Errors
    /// With what the operating system says.
    pub fn sync(&self) -> Result<()> {
        run("sync", &["--file-system".as_ref(), self.folder.as_ref()])
    }

    /// What is in the file now is what is left: to be called while whoever stores here stands still, so that nobody is told
    /// of anything afterwards. `end` is to end them. Then the folder has what was left, as after a start of the machine.
    ///
    /// # Errors
    /// With what the operating system says; and whatever `end` says.
    pub fn lose_power(&self, end: impl FnOnce() -> Result<()>) -> Result<()> {
        let left = self.image.with_extension("left");
        run("cp", &["--sparse=always".as_ref(), self.image.as_ref(), left.as_ref()])?;
        end()?;
        self.unmount()?;
        std::fs::rename(&left, &self.image).map_err(|error| wrong(format!("{}: {error}", self.image.display())))?;
        self.mount()
    }

    fn mount(&self) -> Result<()> {
        // The journal is not written by a timer: what is stored was asked for, or had to be.
        let options = "loop,commit=600,noatime";
        run("mount", &["-o".as_ref(), options.as_ref(), self.image.as_ref(), self.folder.as_ref()])
    }

    fn unmount(&self) -> Result<()> {
        // Lazily: a process that is on its way out may still hold it.
        run("umount", &["--lazy".as_ref(), self.folder.as_ref()])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("{error}");
        }
        let _ = std::fs::remove_file(&self.image);
        let _ = std::fs::remove_dir(&self.folder);
    }
}

fn run(program: &str, words: &[&std::ffi::OsStr]) -> Result<()> {
    let output = Command::new(program).args(words).output().map_err(|error| wrong(format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(wrong(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

fn wrong(what: String) -> Error {
    Error::new(ErrorKind::Internal, "use a disk of its own", what)
        .with_help("it takes root, Linux, loop devices and mkfs.ext4")
}
