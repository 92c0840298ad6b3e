//! JUnit XML, which every CI system reads.

use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite, XmlString};

use super::{Entry, Report, Verdict};

/// The report as JUnit XML: a suite for each profile, a case for each check. What does not apply or waits is skipped, with
/// its reason; what could not be judged is an error.
///
/// # Errors
/// When the XML cannot be written, which is a defect.
pub fn junit(report: &Report) -> Result<String, String> {
    let mut out = quick_junit::Report::new(format!("pontoon conformance: {}", report.transport));
    for profile in &report.profiles {
        let mut suite = TestSuite::new(profile.as_str());
        suite.add_property(("seed", report.seed.to_string().as_str()));
        suite.add_test_cases(report.checks.iter().filter(|entry| entry.profile == *profile).map(case));
        out.add_test_suite(suite);
    }
    out.to_string().map_err(|error| error.to_string())
}

fn case(entry: &Entry) -> TestCase {
    let mut status = match entry.verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Indeterminate => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::NotApplicable | Verdict::Waiting => TestCaseStatus::skipped(),
    };
    if entry.verdict != Verdict::Passed {
        let first = entry.reason.lines().next().unwrap_or_default();
        status.set_message(format!("{}: {first}", entry.verdict));
        status.set_description(XmlString::new(&entry.reason));
    }
    let mut case = TestCase::new(entry.name.as_str(), status);
    case.set_classname(entry.profile.as_str());
    case.set_time(Duration::from_millis(entry.millis));
    case
}
