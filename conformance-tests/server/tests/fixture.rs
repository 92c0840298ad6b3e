//! The fixture as a test of another package uses it. In a file of its own, since it replaces the program that the
//! others run.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use pontoon_core::Channel;
use pontoon_core::driver::{Ensure, Transport};
use pontoon_memory_server::*;

#[tokio::test]
async fn it_builds_its_program_and_cleans_up() {
    let server = tokio::task::spawn_blocking(|| MemoryServer::start(ServerOptions::default())).await.unwrap().unwrap();
    let folder = server.data().parent().unwrap().to_owned();
    let transport = connect(&server.url()).await.unwrap();
    transport.ensure(&Ensure::new(Channel::queue("q").unwrap())).await.unwrap();
    let process = format!("/proc/{}", server.pid().unwrap());
    assert!(server.data().exists() && Path::new(&process).exists());
    server.pause().unwrap();
    drop(server);
    assert!(!folder.exists() && !Path::new(&process).exists());
}

#[test]
fn what_the_program_refuses_is_told() {
    for (name, value, told) in
        [("lease", "never", "lease"), ("lose_confirm", "1", "no such setting"), ("max_messages", "0", "max_messages")]
    {
        let error = MemoryServer::start(common::options().with_setting(name, value)).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
    let error = MemoryServer::start(common::options().with_sync("sometimes")).unwrap_err();
    assert!(error.to_string().contains("everysec"), "{error}");
    assert!(MemoryServer::start(ServerOptions::default().with_program("/nowhere/at-all")).is_err());
}

#[test]
fn a_server_that_is_down_takes_no_signal_and_starts_again_on_its_port() {
    let mut server = MemoryServer::start(common::options()).unwrap();
    let url = server.url();
    server.kill().unwrap();
    server.kill().unwrap();
    assert!(server.pid().is_none() && server.pause().is_err() && server.resume().is_err());
    server.restart().unwrap();
    assert_eq!(server.url(), url);
}

#[test]
fn the_process_ends_with_whoever_started_it() {
    let folder = std::env::temp_dir().join(format!("pontoon-stdin-{}", std::process::id()));
    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_pontoon-memory-server"))
        .args(["--while-stdin", "--data"])
        .arg(&folder)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It has begun when it says so, and what it was told to end with is still there.
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(process.stdout.take().unwrap()), &mut line).unwrap();
    assert!(line.contains("listening") && process.try_wait().unwrap().is_none(), "{line}");
    drop(process.stdin.take());
    let begin = std::time::Instant::now();
    let ended = loop {
        match process.try_wait().unwrap() {
            None if begin.elapsed() < common::BOUND => std::thread::yield_now(),
            ended => break ended,
        }
    };
    let _ = process.kill();
    std::fs::remove_file(&folder).unwrap();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
}
