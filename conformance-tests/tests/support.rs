//! `docs/support.md` says what the pinned outcomes of all transports say.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use pontoon_conformance::report::support;
use pontoon_conformance::run::Expected;

const PINS: &str = "expected.toml";

/// Every file of pinned outcomes below the folders of tests, by the transport's name.
fn pinned(root: &Path) -> Vec<(String, Expected)> {
    let transports = std::fs::read_dir(root.join("transports")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = transports.collect();
    folders.push(root.join("conformance-tests"));
    let mut found = Vec::new();
    for folder in folders {
        let Ok(files) = std::fs::read_dir(folder.join("tests")) else { continue };
        for path in files.map(|entry| entry.unwrap().path()) {
            let Some(name) = path.file_name().unwrap().to_str().and_then(|name| name.strip_suffix(PINS)) else {
                continue;
            };
            // `memory.expected.toml` names its transport; a plain `expected.toml` is its folder's.
            let folder = folder.file_name().unwrap().to_str().unwrap();
            let name = name.trim_end_matches(['.', '_', '-']).replace('_', "-");
            found.push((if name.is_empty() { folder.to_owned() } else { name }, Expected::read(&path).unwrap()));
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

#[test]
fn the_page_of_support_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = root.join("docs/support.md");
    let transports = pinned(root);
    assert!(transports.len() >= 2, "the transports in this process and behind a socket are always there");
    let page = support(&transports);
    if std::env::var_os("PONTOON_CONFORMANCE_ACCEPT").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/support.md is not what the pinned outcomes say: PONTOON_CONFORMANCE_ACCEPT=1 cargo test -p \
         pontoon-conformance --test support writes it"
    );
}

#[test]
fn a_profile_that_was_never_run_says_so() {
    let path = std::env::temp_dir().join(format!("pontoon-support-{}.toml", std::process::id()));
    let text = "[here]\nORD-KEY = \"passed\"\nPRI-CLASS = \"not applicable: priority is absent\"\n\
                [declares.here]\npriority = \"absent\"\n[declares.elsewhere]\npriority = \"native\"\n";
    std::fs::write(&path, text).unwrap();
    let page = support(&[("some".to_owned(), Expected::read(&path).unwrap())]);
    std::fs::remove_file(&path).unwrap();
    assert!(page.contains("| elsewhere | *not run* | | |"), "{page}");
    assert!(page.contains("| here | 1 | 1 | 0 |"), "{page}");
    assert!(page.contains("| priority | native | absent |"), "{page}");
    let row = page.lines().find(|line| line.starts_with("| ORD-KEY: ")).unwrap();
    assert!(row.ends_with("| *not run* | kept |"), "{row}");
}
