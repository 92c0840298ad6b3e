//! What a campaign saw, as a page.

use std::fmt::Write;

/// One part of a campaign.
#[derive(Debug, Default)]
pub struct Part {
    /// Its title.
    pub title: String,
    /// Whether what ran held, and something ran.
    pub well: bool,
    /// What it saw, one a line.
    pub lines: Vec<String>,
    /// What was not run, and why.
    pub left_out: Vec<String>,
}

impl Part {
    /// Begins a part that has seen nothing.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }

    /// Adds a line, and shows it.
    pub fn say(&mut self, line: impl Into<String>) {
        let line = line.into();
        println!("{line}");
        self.lines.push(line);
    }

    /// Names what was not run, and shows it.
    pub fn leave_out(&mut self, line: impl Into<String>) {
        let line = line.into();
        println!("not run: {line}");
        self.left_out.push(line);
    }
}

/// What a campaign saw.
#[derive(Debug, Default)]
pub struct Report {
    /// The parts that were asked for.
    pub parts: Vec<Part>,
    /// The parts that were not.
    pub left_out: Vec<String>,
}

impl Report {
    /// Whether every part held; a campaign in which nothing ran does not.
    #[must_use]
    pub fn well(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(|part| part.well)
    }

    /// As a page.
    #[must_use]
    pub fn page(&self, transport: &str) -> String {
        let mut page = format!("# Campaign: {transport}\n");
        for part in &self.parts {
            let verdict = if part.well { "held" } else { "FAILED" };
            let _ = write!(page, "\n## {}: {verdict}\n\n", part.title);
            for line in &part.lines {
                let _ = writeln!(page, "- {line}");
            }
        }
        page.push_str("\n## Not run\n\n");
        for line in self.left_out.iter().chain(self.parts.iter().flat_map(|part| &part.left_out)) {
            let _ = writeln!(page, "- {line}");
        }
        page
    }
}
