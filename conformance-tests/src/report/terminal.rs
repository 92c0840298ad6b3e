//! A table for a terminal.

use std::fmt::Write;

use super::{Report, Totals, Verdict};

/// One line for each profile, then what failed or could not be judged, then the totals.
#[must_use]
pub fn terminal(report: &Report) -> String {
    let width = report.profiles.iter().map(String::len).max().unwrap_or(0).max("profile".len());
    let mut page = format!(
        "{:width$}  {:>6}  {:>6}  {:>14}  {:>13}  {:>7}\n",
        "profile", "passed", "failed", "not applicable", "indeterminate", "waiting"
    );
    for profile in &report.profiles {
        let own: Vec<_> = report.checks.iter().filter(|entry| entry.profile == *profile).cloned().collect();
        let Totals { passed, failed, not_applicable, indeterminate, waiting, .. } = Totals::of(&own);
        let _ = writeln!(
            page,
            "{profile:width$}  {passed:>6}  {failed:>6}  {not_applicable:>14}  {indeterminate:>13}  {waiting:>7}"
        );
    }
    let bad = |verdict| matches!(verdict, Verdict::Failed | Verdict::Indeterminate);
    for entry in report.checks.iter().filter(|entry| bad(entry.verdict)) {
        let first = entry.reason.lines().next().unwrap_or_default();
        let _ = writeln!(page, "{} {} on {}: {first}", entry.verdict, entry.name, entry.profile);
    }
    let _ = writeln!(page, "{}", report.totals);
    page
}
