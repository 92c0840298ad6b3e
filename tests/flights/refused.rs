//! What cannot be run is refused with a message, exit status 2, and nothing on stdout.

use super::process::{TempFile, run};

fn refused(args: &[&str], says: &str) {
    let ended = run(args);
    assert_eq!(ended.status, Some(2), "{args:?}: {}", ended.told());
    assert!(ended.stderr.contains(says), "{args:?} should say {says:?}: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "{args:?}");
}

#[test]
fn flags_out_of_range() {
    for share in ["1.5", "-0.1", "NaN", "some"] {
        refused(&[&format!("--fail-rate={share}")], "a number from 0 to 1");
    }
    refused(&["--workers", "0"], "1 to 64 workers");
    refused(&["--workers", "65"], "1 to 64 workers");
    refused(&["--poison=-1"], "--poison");
    refused(&["--poison", "2001"], "--poison 2001");
    refused(&["--deadline=-1"], "seconds from 0 to 3600");
    refused(&["--deadline=inf"], "seconds from 0 to 3600");
    refused(&["--sabotage", "nothing"], "lose, swap, dup");
    refused(&["--no-such-flag"], "--no-such-flag");
}

#[test]
fn urls_that_lead_nowhere() {
    refused(&["--url", "not a url"], "this is not a URL");
    refused(&["--url", "pigeon://loft"], "pigeon");
}

#[test]
fn inputs_that_are_none() {
    refused(&["--input", "/no/such/file.json"], "cannot read the input /no/such/file.json");
    let cases = [
        ("not-json", "flights", "is not a JSON array of flights"),
        ("cut-off", r#"[{"date":"2001/01/01 06:55","delay":-19,"#, "is not a JSON array of flights"),
        ("no-delay", r#"[{"date":"d","distance":1,"origin":"A","destination":"B"}]"#, "missing field `delay`"),
        ("delay-text", r#"[{"date":"d","delay":"1","distance":1,"origin":"A","destination":"B"}]"#, "invalid type"),
        ("empty", "[]", "holds no flight"),
        (
            "no-origin",
            r#"[{"date":"d","delay":1,"distance":1,"origin":"","destination":"B"}]"#,
            "flight 0 has no origin",
        ),
    ];
    for (name, content, says) in cases {
        let file = TempFile::with(&format!("{name}.json"), content);
        refused(&["--poison", "0", "--input", file.as_str()], says);
    }
}

#[test]
fn a_journal_that_cannot_be_written() {
    refused(&["--journal", "/no/such/directory/journal.jsonl"], "cannot write the journal");
}
