//! The committed inputs, and whether the hunt finds what is wrong.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::time::Duration;

use pontoon_fuzz::corpus;
use pontoon_fuzz::hunt::{hunt, try_one};
use pontoon_fuzz::targets::{TARGETS, Target};

#[test]
fn every_committed_input_is_taken() {
    for target in TARGETS {
        let inputs = corpus::read(&corpus::folder(), target.name).unwrap();
        assert!(!inputs.is_empty(), "{} has no inputs", target.name);
        for (path, input) in inputs {
            assert!(try_one(target, &input).is_some(), "{} panics over {}", target.name, path.display());
        }
    }
}

#[test]
fn the_corpus_holds_what_is_fine_and_what_is_not() {
    for target in TARGETS {
        let inputs = corpus::read(&corpus::folder(), target.name).unwrap();
        let kinds: std::collections::HashSet<_> = inputs.iter().map(|(_, input)| (target.run)(input)).collect();
        assert!(kinds.len() > 1, "{}: all inputs get the same answer, {kinds:?}", target.name);
    }
}

#[test]
fn a_hunt_finds_a_byte_that_a_parser_stumbles_over() {
    fn stumbles(input: &[u8]) -> String {
        assert!(!input.windows(2).any(|pair| pair == b"&&"), "stumbled");
        String::from_utf8_lossy(input).chars().filter(|c| *c == '&').collect()
    }
    let target = Target { name: "stumbles", run: stumbles };
    // Found within thousands of inputs; the time only bounds a hunt that finds nothing.
    let found = hunt(&target, vec![b"a=1&b=2".to_vec()], 7, Duration::from_secs(60));
    let input = found.panicked.unwrap();
    assert!(try_one(&target, &input).is_none());
    assert!(found.inputs > 1);
}
