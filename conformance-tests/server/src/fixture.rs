//! The server as a process of its own: started, killed, paused and restarted by a test.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pontoon_core::Result;
use rustix::process::{Pid, Signal, kill_process};

use crate::Hurt;
use crate::program::{ASKED, built, failed};

/// How to start a [`MemoryServer`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServerOptions {
    /// When the file is synchronised: `always`, `everysec` or `none`; empty for the server's default.
    pub sync: String,
    /// Settings of the model, such as `("lease", "2s")`.
    pub settings: Vec<(String, String)>,
    /// How often it says that it is there; `None` for the server's default.
    pub beat: Option<Duration>,
    /// The folder of its file, which stays; `None` for one of its own, which goes with it.
    pub folder: Option<PathBuf>,
    /// The program, and what to start it with.
    program: Program,
}

/// What to run.
#[derive(Clone, Debug, Default)]
enum Program {
    /// What cargo builds when it is first needed.
    #[default]
    Built,
    /// This file.
    At(PathBuf),
    /// The one that runs now.
    This,
}

impl ServerOptions {
    /// Says when the file is synchronised.
    #[must_use]
    pub fn with_sync(mut self, sync: impl Into<String>) -> Self {
        self.sync = sync.into();
        self
    }

    /// Adds a setting of the model.
    #[must_use]
    pub fn with_setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Says how often the server tells its clients that it is there: they notice silence within twice that time. In
    /// whole milliseconds, at least one.
    #[must_use]
    pub fn with_beat(mut self, every: Duration) -> Self {
        self.beat = Some(every);
        self
    }

    /// Puts its file into this folder, which stays when the server is dropped.
    #[must_use]
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Names the program. Otherwise cargo builds it when it is first needed, which takes a while.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Program::At(program.into());
        self
    }

    /// Starts the program that runs now, which begins with [`run_if_asked`](crate::run_if_asked): nothing needs to be built.
    #[must_use]
    pub fn in_this_program(mut self) -> Self {
        self.program = Program::This;
        self
    }
}

/// A memory server in a process of its own, on a port of its own, with its file in a folder of its own. Dropping it
/// ends the process and removes the folder; the process also ends when this one does.
///
/// Methods block for as long as the process takes: use `tokio::task::spawn_blocking` where that matters.
#[derive(Debug)]
pub struct MemoryServer {
    options: ServerOptions,
    folder: PathBuf,
    port: u16,
    process: Option<Child>,
}

/// How long a server may take to begin to listen.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How long its port may be taken by somebody else when it is started again.
const PORT_WITHIN: Duration = Duration::from_secs(5);

static FOLDERS: AtomicU64 = AtomicU64::new(0);

impl MemoryServer {
    /// Starts a server that holds nothing.
    ///
    /// # Errors
    /// `Internal` saying what the program, or starting it, said.
    pub fn start(options: ServerOptions) -> Result<Self> {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let own = || std::env::temp_dir().join(format!("pontoon-memory-server-{}-{number}", std::process::id()));
        let folder = options.folder.clone().unwrap_or_else(own);
        std::fs::create_dir_all(&folder)
            .map_err(|error| failed("cannot make a folder for its file").with_source(error))?;
        let mut server = MemoryServer { options, folder, port: 0, process: None };
        server.restart()?;
        Ok(server)
    }

    /// Where clients find it; the same after a restart.
    #[must_use]
    pub fn url(&self) -> String {
        format!("memory-server://127.0.0.1:{}", self.port)
    }

    /// Its append-only file.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data.aof")
    }

    /// The process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Kills the process at once (SIGKILL), paused or not. Does nothing when it is not running.
    ///
    /// # Errors
    /// `Internal` with what the operating system says.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().map_err(|error| failed("cannot kill it").with_source(error))?;
            process.wait().map_err(|error| failed("cannot wait for its end").with_source(error))?;
        }
        Ok(())
    }

    /// Stops the process where it is (SIGSTOP): its connections stay open and silent.
    ///
    /// # Errors
    /// `Internal` when it is not running.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused process go on (SIGCONT).
    ///
    /// # Errors
    /// `Internal` when it is not running.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.ok_or_else(|| failed("it is not running; restart it first"))?;
        kill_process(pid, signal).map_err(|error| failed("cannot send it a signal").with_source(error))
    }

    /// Makes something go wrong while the process runs.
    ///
    /// # Errors
    /// `Connection` when it does not answer because it is not running.
    pub async fn hurt(&self, hurt: Hurt) -> Result<()> {
        crate::client::hurt(&self.url(), &hurt).await
    }

    /// Kills the process if it runs, and starts it again on the same port with the same file.
    ///
    /// # Errors
    /// `Internal` with what the program said.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let begin = Instant::now();
        loop {
            match self.launch() {
                Ok(()) => return Ok(()),
                // A connection of somebody else may have been given our port meanwhile.
                Err(error) if self.port != 0 && error.message().contains("cannot listen") => {
                    if begin.elapsed() > PORT_WITHIN {
                        return Err(error);
                    }
                    // The step of a bounded wait.
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn launch(&mut self) -> Result<()> {
        let program = match &self.options.program {
            Program::Built => built()?,
            Program::At(program) => program.clone(),
            Program::This => std::env::current_exe()
                .map_err(|error| failed("cannot tell which program this is").with_source(error))?,
        };
        let mut command = Command::new(&program);
        command.env(ASKED, "1");
        command.arg("--port").arg(self.port.to_string()).arg("--data").arg(self.data()).arg("--while-stdin");
        if !self.options.sync.is_empty() {
            command.arg("--sync").arg(&self.options.sync);
        }
        if let Some(beat) = self.options.beat {
            command.arg("--beat").arg(beat.as_millis().to_string());
        }
        for (name, value) in &self.options.settings {
            command.arg("--set").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|error| {
            failed("cannot start the program").with("program", program.display()).with_source(error)
        })?;
        let (said, heard) = std::sync::mpsc::channel();
        if let Some(stdout) = process.stdout.take() {
            std::thread::spawn(move || {
                let mut line = String::new();
                let _ = BufReader::new(stdout).read_line(&mut line);
                let _ = said.send(line);
            });
        }
        let line = heard.recv_timeout(START_WITHIN).unwrap_or_default();
        match line.trim().rsplit(':').next().and_then(|port| port.parse().ok()) {
            Some(port) => {
                self.port = port;
                self.process = Some(process);
                Ok(())
            }
            None => {
                let _ = process.kill();
                let told = process.wait_with_output().map(|out| String::from_utf8_lossy(&out.stderr).trim().to_owned());
                Err(failed(format!("it did not begin to listen: {}", told.unwrap_or_default())))
            }
        }
    }
}

impl Drop for MemoryServer {
    fn drop(&mut self) {
        let _ = self.kill();
        if self.options.folder.is_none() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
