//! What mutants are made of, and which tests judge them.

/// Sources whose every mutant must be noticed.
#[derive(Debug)]
pub(super) struct Subject {
    /// In reports.
    pub(super) name: &'static str,
    /// Whose mutants they are.
    pub(super) package: &'static str,
    /// Where their sources begin, from the root of the checkout.
    pub(super) root: &'static str,
    /// What the verdicts depend on.
    pub(super) sources: &'static [&'static str],
    /// What one judge misses, the next one judges.
    pub(super) judges: &'static [Judge],
    /// Where verdicts are kept.
    pub(super) kept: &'static str,
}

/// Who judges.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) package: &'static str,
    /// What is built and run: goes to each call of cargo.
    pub(super) targets: &'static [&'static str],
    /// Which tests: goes to the tests themselves.
    pub(super) tests: &'static [&'static str],
}

pub(super) static SUBJECTS: [Subject; 2] = [
    Subject {
        name: "engine",
        package: "pontoon-core",
        root: "core/",
        sources: &["core/", "transports/memory/", "Cargo.lock"],
        judges: &[
            Judge { package: "pontoon-core", targets: &["--lib"], tests: &[] },
            Judge { package: "pontoon-memory", targets: &["--tests"], tests: &[] },
        ],
        kept: "mutants.json",
    },
    Subject {
        name: "checker",
        package: "pontoon-conformance",
        root: "conformance-tests/",
        sources: &[
            "core/src/",
            "conformance-tests/src/checker/",
            "conformance-tests/src/history/",
            "conformance-tests/tests/checker/",
            "Cargo.lock",
        ],
        // The hand-written histories alone: what they do not notice nobody would understand from a random one. A million
        // events take a while each time.
        judges: &[Judge { package: "pontoon-conformance", targets: &["--test=checker"], tests: &["--skip", "scale"] }],
        kept: "mutants-checker.json",
    },
];
