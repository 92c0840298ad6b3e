//! The figures, computed once more from the input and the journal, by code that shares nothing with the example.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The journal as it stands in its file.
pub(crate) struct Journal(Vec<Value>);

/// Flights, sum of delays and worst delay of an airport.
pub(crate) type Totals = BTreeMap<String, (u64, i64, i64)>;

pub(crate) const INPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights-2k.json");

pub(crate) fn input() -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string(INPUT).expect("the input is there")).expect("the input is JSON")
}

/// The flights that are more than two hours late.
pub(crate) fn too_late() -> BTreeSet<u64> {
    let late = |flight: &Value| flight["delay"].as_i64().expect("a delay") > 120;
    (0..).zip(&input()).filter(|(_, flight)| late(flight)).map(|(seq, _)| seq).collect()
}

impl Journal {
    pub(crate) fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(path).expect("the journal is there");
        Journal(text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect())
    }

    /// Seq, and attempt, of each line of this event, in order.
    pub(crate) fn of(&self, event: &str) -> Vec<(u64, u64)> {
        let number = |line: &Value, name: &str| line[name].as_u64().expect("a number");
        self.0.iter().filter(|line| line["event"] == event).map(|l| (number(l, "seq"), number(l, "attempt"))).collect()
    }

    pub(crate) fn seqs(&self, event: &str) -> BTreeSet<u64> {
        self.of(event).into_iter().map(|(seq, _)| seq).collect()
    }

    /// Flights whose fifth attempt, the last one allowed, failed.
    pub(crate) fn spent(&self) -> BTreeSet<u64> {
        self.of("failed").into_iter().filter(|(_, attempt)| *attempt == 5).map(|(seq, _)| seq).collect()
    }

    /// The workers that wrote into it.
    pub(crate) fn workers(&self) -> BTreeSet<u64> {
        self.0.iter().map(|line| line["worker"].as_u64().expect("a number")).collect()
    }

    /// Totals by airport over the flights that the journal calls handled.
    pub(crate) fn totals(&self) -> Totals {
        let input = input();
        let mut totals = Totals::new();
        for seq in self.seqs("handled") {
            let flight = &input[usize::try_from(seq).expect("a small number")];
            let (origin, delay) =
                (flight["origin"].as_str().expect("a text"), flight["delay"].as_i64().expect("a number"));
            let airport = totals.entry(origin.to_owned()).or_insert((0, 0, delay));
            *airport = (airport.0 + 1, airport.1 + delay, airport.2.max(delay));
        }
        totals
    }

    /// Flights first handled after a later one of their airport: each one compared with all before it.
    pub(crate) fn out_of_order(&self) -> usize {
        let input = input();
        let origin = |seq: u64| &input[usize::try_from(seq).expect("a small number")]["origin"];
        let mut firsts: Vec<u64> = Vec::new();
        for (seq, _) in self.of("handled") {
            if !firsts.contains(&seq) {
                firsts.push(seq);
            }
        }
        let overtaken = |place: usize, seq: u64| {
            firsts[..place].iter().any(|&before| before > seq && origin(before) == origin(seq))
        };
        firsts.iter().enumerate().filter(|(place, seq)| overtaken(*place, **seq)).count()
    }
}

/// The table on stdout: flights, mean with one digit, worst.
pub(crate) fn table(stdout: &str) -> BTreeMap<String, (u64, String, i64)> {
    let rows =
        stdout.lines().skip_while(|line| !line.starts_with("airport")).skip(1).take_while(|line| !line.is_empty());
    rows.map(|row| {
        let cells: Vec<&str> = row.split_whitespace().collect();
        let [airport, flights, mean, worst] = cells[..] else { panic!("{row}") };
        (airport.to_owned(), (flights.parse().expect(row), mean.to_owned(), worst.parse().expect(row)))
    })
    .collect()
}

/// What the table should say.
pub(crate) fn as_table(totals: &Totals) -> BTreeMap<String, (u64, String, i64)> {
    let row = |&(flights, sum, worst): &(u64, i64, i64)| {
        #[allow(clippy::cast_precision_loss)] // minutes of some thousand flights
        let mean = sum as f64 / flights as f64;
        (flights, format!("{mean:.1}"), worst)
    };
    totals.iter().map(|(airport, totals)| (airport.clone(), row(totals))).collect()
}

/// The dead letters on stdout: flight and reason.
pub(crate) fn dead_letters(stdout: &str) -> Vec<(u64, String)> {
    let lines = stdout.lines().skip_while(|line| !line.starts_with("dead letters")).skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            let seq = words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line}"));
            let reason = ["rejected", "max-attempts"].into_iter().find(|reason| line.contains(reason));
            (seq, reason.unwrap_or_else(|| panic!("{line}")).to_owned())
        })
        .collect()
}
