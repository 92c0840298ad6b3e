//! The memory server as a program: its options, and its run until it is ended or its file cannot be written.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::server::BEAT;
use crate::{Server, ServerConfig, Sync};

/// The memory model of pontoon behind a socket and an append-only file. For tests: no authentication, no TLS.
#[derive(Parser)]
#[command(name = "pontoon-memory-server", version)]
struct Args {
    /// The port to listen on; 0 takes a free one, which is printed.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// The append-only file; made where there is none.
    #[arg(long)]
    data: PathBuf,
    /// When the file is synchronised: `always` (before anything is confirmed), `everysec`, `none`.
    #[arg(long, default_value = "everysec")]
    sync: Sync,
    /// A setting of the model, as `lease=30s`: lease, max_messages, max_bytes, max_body, key_window.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// How often each connection that publishes or consumes is told that the server is there, in milliseconds. A client
    /// gives up a connection that was silent for twice as long.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = BEAT.as_millis() as u64, value_parser = clap::value_parser!(u64).range(1..))]
    beat: u64,
    /// End when standard input ends: for whoever starts it and may be killed.
    #[arg(long)]
    while_stdin: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs a memory server as the arguments of this process say.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("pontoon-memory-server: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let local = tokio::task::LocalSet::new();
    let Err(error) = local.block_on(&runtime, run(args));
    eprintln!("pontoon-memory-server: {error}");
    ExitCode::FAILURE
}

async fn run(args: Args) -> pontoon_core::Result<Infallible> {
    let mut config = ServerConfig::new(args.data).with_settings(args.settings)?;
    config.address = SocketAddr::new(args.host, args.port);
    config.sync = args.sync;
    config.beat = Duration::from_millis(args.beat);
    let server = Server::open(config).await?;
    if server.cut() > 0 {
        eprintln!("pontoon-memory-server: cut {} bytes of a torn record off the end of the file", server.cut());
    }
    println!("holding {} messages, listening on {}", server.held(), server.address());
    if args.while_stdin {
        // A thread, since nothing else ends a read of standard input.
        std::thread::spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            std::process::exit(0);
        });
    }
    Err(server.run().await)
}
