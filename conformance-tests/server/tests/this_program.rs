//! A test program with a `main` of its own is its own memory server.

use pontoon_core::Channel;
use pontoon_core::driver::{Ensure, Transport};
use pontoon_memory_server::{MemoryServer, ServerOptions, connect, run_if_asked};

#[tokio::main(flavor = "current_thread")]
async fn check() -> pontoon_core::Result<()> {
    let mut server = MemoryServer::start(ServerOptions::default().in_this_program())?;
    for _ in 0..2 {
        let transport = connect(&server.url()).await?;
        transport.ensure(&Ensure::new(Channel::queue("q")?)).await?;
        server.restart()?;
    }
    Ok(())
}

fn main() {
    run_if_asked();
    if let Err(error) = check() {
        panic!("{error}");
    }
    println!("test this_program_is_its_own_server ... ok");
}
