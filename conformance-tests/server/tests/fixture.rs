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
