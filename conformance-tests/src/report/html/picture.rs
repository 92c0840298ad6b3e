//! The picture of a failure: time from left to right, a lane for each message, and the proof numbered in both the picture
//! and the list of events below it.

use std::fmt::Write;
use std::time::Duration;

use maud::{Markup, PreEscaped, html as markup};

use super::axis::Axis;
use super::lanes::{Bar, BarKind, Lane, lanes};
use crate::history::{Nanos, What};
use crate::report::{Evidence, Shown};

/// The most lanes of messages without a witness: more hide what matters.
const BYSTANDERS: usize = 8;

pub(super) fn picture(shown: &Evidence) -> Markup {
    if shown.events.is_empty() {
        return markup! { p.note { "Nothing was written down before it went wrong." } };
    }
    let all = lanes(&shown.events);
    let axis = Axis::over(shown.events.iter().map(|shown| shown.event.at));
    let mut room = BYSTANDERS;
    let drawn: Vec<&Lane> = all
        .iter()
        .filter(|lane| {
            let matters = !lane.witness.is_empty() || lane.bars.iter().any(|bar| bar.kind == BarKind::Fault);
            let fits = !matters && room > 0;
            room -= usize::from(fits);
            matters || fits
        })
        .collect();
    let faults: Vec<&Bar> = all.iter().flat_map(|lane| &lane.bars).filter(|bar| bar.kind == BarKind::Fault).collect();
    let (first, last) = (shown.events.first(), shown.events.last());
    let moment = |shown: Option<&Shown>| shown.map_or(String::new(), |shown| since(shown.event.at));
    markup! {
        figure {
            div.lanes {
                @for lane in &drawn {
                    div class={ "lane" @if !lane.witness.is_empty() { " proof" } } {
                        div.title { (lane.title) }
                        (PreEscaped(strip(lane, &faults, &axis)))
                    }
                }
                div.axis { span { (moment(first)) } span { (moment(last)) } }
            }
            figcaption {
                span.key { i.publish {} " publish" } " "
                span.key { i.lease {} " lease: a consumer has it" } " "
                span.key { i.fault {} " something is wrong on purpose" } " "
                span.key { i.good {} " well" } " " span.key { i.bad {} " refused, failed or dead" } " "
                span.key { i.unsure {} " unknown or stale" } " " span.key { i.proof {} " the proof" }
                " Time runs from left to right, since the run began; long pauses are drawn short."
                @if all.len() > drawn.len() { " " (all.len() - drawn.len()) " other messages are not drawn." }
            }
        }
        (events(shown))
    }
}

/// One lane. Places are percentages, so that the picture is as wide as there is room and nothing in it is stretched.
fn strip(lane: &Lane, faults: &[&Bar], axis: &Axis) -> String {
    let mut svg = String::from("<svg width=\"100%\" height=\"34\" role=\"img\" aria-hidden=\"true\">");
    let place = |moment: Nanos| axis.at(moment);
    let span = |bar: &Bar| {
        let (from, to) = (place(bar.from), bar.to.map_or(100.0, place));
        (from, (to - from).max(0.4))
    };
    for fault in faults {
        let (x, width) = span(fault);
        let _ = write!(svg, "<rect class=\"band\" x=\"{x:.2}%\" y=\"0\" width=\"{width:.2}%\" height=\"34\"/>");
    }
    svg.push_str("<line class=\"rail\" x1=\"0\" x2=\"100%\" y1=\"20\" y2=\"20\"/>");
    for bar in &lane.bars {
        let (x, width) = span(bar);
        let (class, y, height) = match bar.kind {
            BarKind::Publish => ("publish", 16, 8),
            BarKind::Lease => ("lease", 14, 12),
            BarKind::Fault => ("fault", 12, 16),
        };
        let words = escape(&bar.words);
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"{x:.2}%\" y=\"{y}\" width=\"{width:.2}%\" height=\"{height}\" rx=\"2\">\
             <title>{words}</title></rect>"
        );
        if let (Some(to), true) = (bar.to, bar.kind != BarKind::Fault) {
            let (x, tone) = (place(to), bar.tone.class());
            let _ = write!(
                svg,
                "<circle class=\"{tone}\" cx=\"{x:.2}%\" cy=\"20\" r=\"5\"><title>{words}</title></circle>"
            );
        }
    }
    for mark in &lane.marks {
        let (x, tone, words) = (place(mark.at), mark.tone.class(), escape(&mark.words));
        let _ = write!(
            svg,
            "<circle class=\"{tone} mark\" cx=\"{x:.2}%\" cy=\"20\" r=\"4\"><title>{words}</title></circle>"
        );
    }
    for (at, number) in &lane.witness {
        let x = place(*at);
        let _ = write!(
            svg,
            "<circle class=\"proof\" cx=\"{x:.2}%\" cy=\"20\" r=\"9\"/>\
             <text class=\"proof\" x=\"{x:.2}%\" y=\"9\">{number}</text>"
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Every event in words, the proof numbered as in the picture.
fn events(shown: &Evidence) -> Markup {
    let mut number = 0;
    let rows: Vec<(Option<usize>, &Shown)> = shown
        .events
        .iter()
        .map(|shown| {
            number += usize::from(shown.witness);
            (shown.witness.then_some(number), shown)
        })
        .collect();
    let row = |(number, shown): &(Option<usize>, &Shown)| {
        let class = match (number, &shown.event.what) {
            (Some(_), _) => "proof",
            (_, What::Fault { .. } | What::Heal { .. } | What::ProcessKilled { .. } | What::Disconnected { .. }) => {
                "fault"
            }
            _ => "",
        };
        markup! {
            li class=(class) {
                span.number { @if let Some(number) = number { (number) } }
                time { (since(shown.event.at)) }
                span.what { (shown.event.what) }
            }
        }
    };
    let proof: Vec<_> = rows.iter().filter(|(number, _)| number.is_some()).collect();
    markup! {
        @if !proof.is_empty() { ol.events { @for one in &proof { (row(one)) } } }
        details {
            summary { "All " (rows.len()) " events shown in the picture"
                @if shown.hidden > 0 { " (the run has " (shown.hidden) " more)" } }
            ol.events { @for one in &rows { (row(one)) } }
        }
    }
}

/// A moment as a person reads it: since the run began.
fn since(at: Nanos) -> String {
    format!("{:.3?}", Duration::from_nanos(at))
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            letter => safe.push(letter),
        }
    }
    safe
}
