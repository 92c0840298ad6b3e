//! Defects of the file itself, which no mutant has: each is noticed.

mod harness;

use std::sync::Arc;

use harness::{Folders, Place};
use pontoon_conformance::checks;
use pontoon_conformance::harness::Harness;
use pontoon_conformance::report::Verdict;
use pontoon_conformance::run::{Plan, run};
use pontoon_core::ErrorKind;
use pontoon_example_file::{Folder, FolderConfig};

fn early(sync: bool) -> (Verdict, String) {
    let harness: Arc<dyn Harness> = Arc::new(Folders { sync });
    let check = checks::all().into_iter().find(|check| check.name == "PUB-EARLY").expect("a check of this name");
    let entry = run(&harness, &harness.profiles()[0], check, &Plan::of(1));
    (entry.verdict, entry.reason)
}

#[test]
fn what_is_confirmed_and_not_synced_is_missed() {
    let (verdict, reason) = early(true);
    assert_eq!(verdict, Verdict::Passed, "{reason}");
    let (verdict, reason) = early(false);
    assert_eq!(verdict, Verdict::Failed, "{reason}");
    assert!(reason.contains("lost-confirmed"), "{reason}");
}

#[tokio::test]
async fn a_folder_has_one_owner() {
    let place = Place::new();
    let folder = Folder::open(FolderConfig::new(&place.0)).await.expect("a free folder");
    let error = Folder::open(FolderConfig::new(&place.0)).await.expect_err("it is taken");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    drop(folder);
}
