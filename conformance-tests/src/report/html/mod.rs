//! One page that needs nothing else: for somebody who has never seen the project, in a browser without network.

mod axis;
mod lanes;
mod picture;

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html as markup};

use crate::checker::AnomalyKind;

use super::{Entry, Evidence, Report, Totals, Verdict};

const STYLE: &str = include_str!("style.css");

/// The report as one HTML page, without scripts, and without anything that is fetched from elsewhere.
#[must_use]
pub fn html(report: &Report) -> String {
    let title = format!("pontoon conformance: {}", report.transport);
    markup! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // The browser itself sees to it that nothing leaves the page.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { h1 { (title) } (summary(report)) }
                main {
                    (failures(report))
                    (capabilities(report))
                    (checks(report))
                    (words())
                }
                footer { "seed " (report.seed) ": a run with the same seed asks for the same work." }
            }
        }
    }
    .into_string()
}

fn summary(report: &Report) -> Markup {
    let Totals { checks, passed, failed, not_applicable, indeterminate, waiting } = report.totals;
    let judged = passed + failed + indeterminate;
    markup! {
        p.lead {
            @if report.is_well() {
                "Every promise that was put to the test was kept: " (passed) " of " (judged) "."
            } @else {
                (failed) " of " (judged) " promises that were put to the test "
                @if failed == 1 { "was" } @else { "were" } " broken"
                @if indeterminate > 0 { ", and " (indeterminate) " could not be judged" } "."
            }
        }
        p {
            "Each check makes one promise about how messages travel through a broker, tries to break it, writes down what "
            "was asked, answered and delivered, and judges that record. There are " (checks) " checks, over "
            @if let [profile] = &report.profiles[..] { "one kind of channel, the profile " (profile) "." }
            @else { (report.profiles.len()) " kinds of channel (profiles)." }
        }
        ul.tiles {
            (tile("passed", passed, "the promise held"))
            (tile("failed", failed, "the promise was broken"))
            (tile("indeterminate", indeterminate, "the run could not be judged"))
            (tile("not_applicable", not_applicable, "the profile does not make this promise"))
            (tile("waiting", waiting, "what it is about is not built yet"))
        }
    }
}

fn tile(class: &str, count: usize, means: &str) -> Markup {
    markup! {
        li class={ "tile " (class) } { strong { (count) } span.name { (class.replace('_', " ")) } span { (means) } }
    }
}

fn failures(report: &Report) -> Markup {
    let bad = |verdict| matches!(verdict, Verdict::Failed | Verdict::Indeterminate);
    let bad: Vec<&Entry> = report.checks.iter().filter(|entry| bad(entry.verdict)).collect();
    markup! {
        @if !bad.is_empty() {
            h2 { "What went wrong" }
            @for entry in bad {
                @let shown = report
                    .evidence
                    .iter()
                    .find(|shown| shown.check == entry.name && shown.profile == entry.profile);
                (failure(entry, shown))
            }
        }
    }
}

fn failure(entry: &Entry, shown: Option<&Evidence>) -> Markup {
    let mut lines = entry.reason.lines();
    let first = lines.next().unwrap_or_default();
    let more: Vec<&str> = lines.collect();
    markup! {
        section.failure {
            h3 { (entry.name) " " small { "on " (entry.profile) } }
            p.promise { "The promise: " (entry.promise) "." }
            p.seen { strong { (entry.verdict) ": " } (first) }
            @for meaning in meanings(&entry.reason) { p.seen { (meaning) } }
            @if let Some(found) = more.iter().find(|line| !line.is_empty()) { p.seen { (found) } }
            @if let Some(shown) = shown {
                @if !shown.failure.is_empty() { p { "For a user this means: " (shown.failure) "." } }
                (picture::picture(shown))
                @if !shown.repeat.is_empty() { p { "To see it again: " code { (shown.repeat) } } }
            }
            @if !more.is_empty() {
                details { summary { "All that the checker says" } pre { (more.join("\n")) } }
            }
        }
    }
}

/// What the anomalies mean that a reason begins with.
fn meanings(reason: &str) -> impl Iterator<Item = &'static str> {
    let names = reason.split(':').next().unwrap_or_default();
    AnomalyKind::ALL
        .iter()
        .filter(move |kind| names.split('+').any(|name| name == kind.as_str()))
        .map(|kind| kind.meaning())
}

fn capabilities(report: &Report) -> Markup {
    let profiles: Vec<_> = report.profiles.iter().filter_map(|name| Some((name, report.declares.get(name)?))).collect();
    let rows = |pick: fn(&super::Declared) -> &std::collections::BTreeMap<String, String>| {
        let mut names: Vec<&String> = profiles.iter().flat_map(|(_, declared)| pick(declared).keys()).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let row = |name: &str, pick: fn(&super::Declared) -> &std::collections::BTreeMap<String, String>| {
        markup! {
            tr {
                th scope="row" { (name) }
                @for (_, declared) in &profiles {
                    @let value = pick(declared).get(name).map_or("–", String::as_str);
                    td class={ "level " (value) } { (value) }
                }
            }
        }
    };
    markup! {
        @if !profiles.is_empty() {
            h2 { "What the profiles declare" }
            p {
                "Native: the broker does it. Emulated: the library does it, durably. Volatile: only in a client's memory, "
                "and only where an application allows it by name. Absent: refused when a channel that needs it is opened."
            }
            div.wide {
                table.capabilities {
                    thead { tr { th {} @for (name, _) in &profiles { th scope="col" { (name) } } } }
                    tbody {
                        @for name in rows(|declared| &declared.levels) { (row(name, |declared| &declared.levels)) }
                        @for name in rows(|declared| &declared.limits) { (row(name, |declared| &declared.limits)) }
                    }
                }
            }
        }
    }
}

fn checks(report: &Report) -> Markup {
    markup! {
        h2 { "All checks" }
        @for profile in &report.profiles {
            details {
                summary { (profile) }
                div.wide {
                    table.checks {
                        thead { tr { th { "check" } th { "promise" } th { "verdict" } th { "time" } } }
                        tbody {
                            @for entry in report.checks.iter().filter(|entry| entry.profile == *profile) {
                                tr {
                                    th scope="row" { (entry.name) }
                                    td { (entry.promise) }
                                    td class={ "verdict " (class(entry.verdict)) } { (verdict(entry)) }
                                    td.number { (format!("{:?}", Duration::from_millis(entry.millis))) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn class(verdict: Verdict) -> String {
    verdict.to_string().replace(' ', "_")
}

fn verdict(entry: &Entry) -> String {
    match entry.verdict {
        Verdict::NotApplicable | Verdict::Waiting => format!("{}: {}", entry.verdict, entry.reason),
        verdict => verdict.to_string(),
    }
}

/// What a newcomer may not know.
fn words() -> Markup {
    let words = [
        ("confirmed", "the broker has said that it stored the message"),
        ("unknown", "no answer came: the message may or may not be stored"),
        ("rejected", "certainly not stored; nobody will ever see it"),
        (
            "lease",
            "the time during which a message is one consumer's, from its delivery until it is settled or taken away",
        ),
        ("settle", "to say what becomes of a delivery: acknowledge, retry, give back, or dead-letter"),
        ("stale", "a settlement that came after the lease had ended: it changed nothing"),
        ("dead letter", "a message that could not be handled, set aside with the reason"),
        ("key", "messages with the same key keep their order, where a channel promises order"),
    ];
    markup! {
        h2 { "Words" }
        dl { @for (word, means) in words { dt { (word) } dd { (means) } } }
    }
}
