//! Runs the example as a process of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// The longest any run of these tests may take: beyond it something hangs.
const HANG: Duration = Duration::from_secs(120);

/// A run under way.
pub(crate) struct Running {
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<()>,
    told: Arc<Told>,
}

/// What it told on stderr so far.
#[derive(Default)]
struct Told {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

/// A run that ended.
pub(crate) struct Ended {
    /// Its exit status; `None` when a signal ended it.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// When it was seen to have ended.
    pub(crate) at: Instant,
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    Running::start(args).end()
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let mut out = child.stdout.take().expect("stdout is piped");
        let err = child.stderr.take().expect("stderr is piped");
        let told = Arc::new(Told::default());
        let teller = told.clone();
        Running {
            child,
            stdout: thread::spawn(move || {
                let mut text = String::new();
                out.read_to_string(&mut text).expect("stdout is text");
                text
            }),
            stderr: thread::spawn(move || {
                for line in BufReader::new(err).lines() {
                    teller.lines.lock().expect("no panic").push(line.expect("stderr is text"));
                    teller.changed.notify_all();
                }
            }),
            told,
        }
    }

    /// Waits until a line of stderr holds this text.
    pub(crate) fn wait_for(&self, text: &str) {
        let lines = self.told.lines.lock().expect("no panic");
        let seen = |lines: &mut Vec<String>| !lines.iter().any(|line| line.contains(text));
        let (lines, timeout) = self.told.changed.wait_timeout_while(lines, HANG, seen).expect("no panic");
        assert!(!timeout.timed_out(), "{text:?} is not among {lines:#?}");
    }

    /// Sends SIGINT, and says when. A process that has just ended is left alone.
    pub(crate) fn interrupt(&mut self) -> Instant {
        self.signal("-INT")
    }

    /// Sends SIGTERM, and says when.
    pub(crate) fn terminate(&mut self) -> Instant {
        self.signal("-TERM")
    }

    fn signal(&mut self, name: &str) -> Instant {
        let before = Instant::now();
        // The child is not reaped before `try_wait` says so: its number is its own.
        if self.child.try_wait().expect("a child").is_none() {
            let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
            assert!(sent.expect("kill runs").success());
        }
        before
    }

    pub(crate) fn end(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => break status,
                None if begun.elapsed() > HANG => {
                    self.child.kill().expect("a child");
                    panic!("still running after {HANG:?}: {:#?}", self.told.lines.lock().expect("no panic"));
                }
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        let at = Instant::now();
        let stdout = self.stdout.join().expect("no panic");
        self.stderr.join().expect("no panic");
        let stderr = self.told.lines.lock().expect("no panic").join("\n");
        Ended { status: status.code(), stdout, stderr, at }
    }
}

impl Ended {
    /// The figures of the last line.
    pub(crate) fn figures(&self) -> Figures {
        let last = self.stdout.lines().last().unwrap_or_else(|| panic!("no last line; stderr: {}", self.stderr));
        Figures(
            last.split(' ')
                .map(|figure| {
                    let (name, value) = figure.split_once('=').unwrap_or_else(|| panic!("{last}"));
                    (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{last}")))
                })
                .collect(),
        )
    }

    /// Everything it said, for the message of an assertion.
    pub(crate) fn told(&self) -> String {
        let last = self.stdout.lines().last().unwrap_or_default();
        format!("status {:?}, last line {last:?}, stderr:\n{}", self.status, self.stderr)
    }
}

/// The figures of the last line, by name.
#[derive(Debug)]
pub(crate) struct Figures(BTreeMap<String, usize>);

impl Figures {
    pub(crate) fn get(&self, name: &str) -> usize {
        *self.0.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn sum(&self, names: &[&str]) -> usize {
        names.iter().map(|name| self.get(name)).sum()
    }
}

/// Removed when the test is done with it.
pub(crate) struct TempFile(PathBuf);

impl TempFile {
    pub(crate) fn new(name: &str) -> Self {
        TempFile(std::env::temp_dir().join(format!("flights-{}-{name}", std::process::id())))
    }

    pub(crate) fn with(name: &str, content: &str) -> Self {
        let file = Self::new(name);
        std::fs::write(&file.0, content).expect("a writable temporary directory");
        file
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().expect("a temporary directory with a name in UTF-8")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// `target/<profile>/examples/flights`, beside the directory of this test.
///
/// `cargo test` builds it. `cargo test NAME` and `cargo test --test flights` do not: an old binary would then answer for
/// code that is no longer there, so it is built here.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a file");
        let profile = test.parent().and_then(Path::parent).expect("tests are built in target/<profile>/deps");
        let binary = profile.join("examples").join(format!("flights{}", std::env::consts::EXE_SUFFIX));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let newest = newest(&root.join("examples/flights")).expect("the example has sources");
        if modified(&binary).is_none_or(|built| built < newest) {
            let how = if profile.ends_with("release") { "release" } else { "test" };
            let mut cargo = Command::new(env!("CARGO"));
            cargo.current_dir(root).args(["build", "--quiet", "--example", "flights", "--profile", how]);
            assert!(cargo.status().expect("cargo runs").success(), "the example does not build");
        }
        binary
    })
}

/// When a source was last changed. Unit tests are no part of the binary: cargo leaves it alone when they change.
fn newest(directory: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(directory).expect("the example's sources").flatten().map(|entry| entry.path());
    let built = entries.filter(|path| path.file_name() != Some("tests.rs".as_ref()));
    built.filter_map(|path| if path.is_dir() { newest(&path) } else { modified(&path) }).max()
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|data| data.modified()).ok()
}
