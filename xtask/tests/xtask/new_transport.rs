//! A transport that was just begun compiles, runs, and fails with instructions.

use std::path::Path;
use std::process::{Command, Output};

use xtask::new_transport::{joined, named};

fn begin(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).arg("new-transport").args(arguments).output().unwrap()
}

#[test]
fn names_are_checked_and_spelled() {
    let name = named("azure-bus").unwrap();
    assert_eq!((name.snake.as_str(), name.pascal.as_str()), ("azure_bus", "AzureBus"));
    for bad in ["", "A", "1a", "-a", "a-", "a--b", "a_b", "a/b", "ä", &"a".repeat(41)] {
        assert!(named(bad).is_err(), "{bad}");
    }
    let output = begin(&["../evil"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be the name of a transport"), "{output:?}");
}

#[test]
fn it_joins_the_workspace() {
    let text = "members = [\"core\", \"transports/memory\"]\npontoon-memory = { path = \"transports/memory\" }\n";
    assert_eq!(
        joined(text, &named("nats").unwrap()).unwrap(),
        "members = [\"core\", \"transports/memory\", \"transports/nats\"]\n\
         pontoon-memory = { path = \"transports/memory\" }\npontoon-nats = { path = \"transports/nats\" }\n"
    );
    assert!(joined("members = []", &named("nats").unwrap()).is_err());
    // The manifest of this repository has the place, too.
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("Cargo.toml");
    let own = std::fs::read_to_string(manifest).unwrap();
    assert!(joined(&own, &named("nats").unwrap()).unwrap().contains("\"transports/nats\""));
}

#[test]
fn what_is_begun_compiles_and_fails_its_checks_with_instructions() {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = temporary.join("azure-bus");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    let path = folder.to_str().unwrap();
    let output = begin(&["azure-bus", "--outside", path]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("cargo test --test conformance"), "{output:?}");
    let again = begin(&["azure-bus", "--outside", path]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"), "{again:?}");

    // The versions that this workspace builds with, so that nothing is built twice or fetched.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--quiet", "--offline", "--test", "conformance", "--", "PUB-"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", temporary.parent().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let built = String::from_utf8_lossy(&output.stderr);
    assert!(!built.contains("could not compile"), "{built}");
    assert!(!output.status.success(), "nothing of it is written: {said}");
    assert!(said.contains("is not written yet"), "{said}\n{built}");
    assert!(said.contains("docs/guide/transports.md"), "{said}");
    assert!(said.contains("For a user this means"), "{said}");
    std::fs::remove_dir_all(&folder).unwrap();
}
