//! The comparison as Markdown: `packaging/doc/accuracy.md`.

use core::fmt::Write as _;

use crate::classes;
use crate::peers::PEERS;
use crate::results::{Row, Sample, with_own_timeout};
use crate::scenario::Scenario;
use crate::score::{Count, Verdict};
use crate::teeth::Bite;

const HEAD: &str = include_str!("head.md");
const LEGEND: &str = "✓ as labelled; **W**@m stopped in the middle of work, in minute m; N never stopped, or more than 100 minutes late.";

/// The scores of one corpus.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'a> {
    /// Every scenario.
    pub rows: &'a [Row],
    /// The same in random worlds.
    pub worlds: &'a [Sample],
}

/// The groups of the first corpus, by the first letter of an id.
const FIRST: &[&str] = &["A", "B", "C", "D"];
/// Those of the second.
const SECOND: &[&str] = &["P", "J", "S", "L", "X"];

/// The whole document.
pub fn document(first: Scores<'_>, second: Scores<'_>, bites: &[Bite]) -> String {
    let mut text = HEAD.to_owned();
    write(&mut text, "## Out of sample: the second corpus");
    write(&mut text, "");
    let clear: Vec<Row> = second.rows.iter().filter(|row| !row.scenario.choice).cloned().collect();
    let choices: Vec<Row> = second.rows.iter().filter(|row| row.scenario.choice).cloned().collect();
    summary(&mut text, Scores { rows: &clear, worlds: second.worlds }, SECOND);
    write(&mut text, &apart(&choices));
    write(&mut text, "");
    write(&mut text, classes::TEXT);
    let all: Vec<Row> = clear.iter().chain(first.rows).cloned().collect();
    classes::table(&mut text, &all);
    write(&mut text, "## In sample: the first corpus");
    write(&mut text, "");
    summary(&mut text, first, FIRST);
    write(&mut text, "## Every scenario");
    write(&mut text, "");
    write(&mut text, LEGEND);
    write(&mut text, "");
    scenarios(&mut text, second.rows);
    scenarios(&mut text, first.rows);
    peers(&mut text, first.rows, &clear);
    teeth(&mut text, bites);
    text
}

/// The scenarios whose label is a choice, in one line.
fn apart(choices: &[Row]) -> String {
    let right = |column: usize| Count::of(choices.iter().map(|row| verdict(row, column))).right;
    let rules: Vec<String> =
        (0..=PEERS.len()).map(|column| format!("{} {}", name(column), right(column))).collect();
    format!(
        "Of the {} machines about whose label careful people disagree, which are counted apart, are right: {}.",
        choices.len(),
        rules.join(", ")
    )
}

fn write(text: &mut String, line: &str) {
    let _ = writeln!(text, "{line}");
}

/// A rule's verdict of a row: the engine is column 0.
fn verdict(row: &Row, column: usize) -> Verdict {
    match column.checked_sub(1) {
        None => row.ours,
        Some(peer) => row.peers.get(peer).copied().unwrap_or(Verdict::Missed),
    }
}

fn name(column: usize) -> &'static str {
    column.checked_sub(1).and_then(|peer| PEERS.get(peer)).map_or("agentd", |peer| peer.name)
}

fn count_in(sample: &Sample, column: usize) -> Count {
    match column.checked_sub(1) {
        None => sample.ours,
        Some(peer) => sample.peers.get(peer).copied().unwrap_or_default(),
    }
}

fn summary(text: &mut String, scores: Scores<'_>, groups: &[&str]) {
    let Scores { rows, worlds } = scores;
    let mut columns: Vec<usize> = (0..=PEERS.len()).collect();
    let counts = |column: usize| Count::of(rows.iter().map(|row| verdict(row, column)));
    columns.sort_by_key(|column| (core::cmp::Reverse(counts(*column).right), *column));
    let all = rows.len();
    write(
        text,
        &format!(
            "| rule | right of {all} | wrong stops | missed | right of {} | random worlds: right, least/mean/most | minutes wasted |",
            groups.join("/")
        ),
    );
    write(text, "|---|---|---|---|---|---|---|");
    for column in columns {
        let count = counts(column);
        let groups: Vec<String> = groups
            .iter()
            .map(|group| {
                let rows = rows.iter().filter(|row| row.scenario.id.starts_with(*group));
                Count::of(rows.map(|row| verdict(row, column))).right.to_string()
            })
            .collect();
        let right: Vec<usize> = worlds.iter().map(|world| count_in(world, column).right).collect();
        let (least, most) = (right.iter().min().unwrap_or(&0), right.iter().max().unwrap_or(&0));
        let mean = mean(right.iter().map(|right| float(*right)));
        let wasted = mean_waste(rows, column);
        write(
            text,
            &format!(
                "| {} | {} | {} | {} | {} | {least} / {mean:.1} / {most} | {wasted:.0} |",
                bold(name(column), column == 0),
                count.right,
                count.wrong,
                count.missed,
                groups.join(" / ")
            ),
        );
    }
    write(text, "");
}

/// The mean of the minutes that the machine ran in vain, over the scenarios that the rule got right.
fn mean_waste(rows: &[Row], column: usize) -> f64 {
    let wasted =
        rows.iter().filter(|row| row.scenario.stop).filter_map(|row| match verdict(row, column) {
            Verdict::Right { wasted } => Some(wasted),
            _ => None,
        });
    mean(wasted)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "there are some hundred scenarios")]
fn float(count: usize) -> f64 {
    count as f64
}

fn bold(text: &str, is: bool) -> String {
    if is { format!("**{text}**") } else { text.to_owned() }
}

fn scenarios(text: &mut String, rows: &[Row]) {
    let names: Vec<&str> = (0..=PEERS.len()).map(name).collect();
    write(text, &format!("| id | scenario | right | {} |", names.join(" | ")));
    write(text, &format!("|---|---|---|{}", "---|".repeat(names.len())));
    for row in rows {
        let cells: Vec<String> = (0..=PEERS.len()).map(|n| verdict(row, n).cell()).collect();
        let Scenario { id, title, .. } = row.scenario;
        let choice = if row.scenario.choice { " (a choice)" } else { "" };
        let right = row.scenario.right();
        write(text, &format!("| {id} | {title}{choice} | {right} | {} |", cells.join(" | ")));
    }
    write(text, "");
}

fn peers(text: &mut String, first: &[Row], second: &[Row]) {
    let scenarios = |rows: &[Row]| rows.iter().map(|row| row.scenario.clone()).collect();
    let [first, second]: [Vec<Scenario>; 2] = [scenarios(first), scenarios(second)];
    write(text, "## The other rules");
    write(text, "");
    write(
        text,
        "Above, all wait for 30 minutes, so that what they see is compared. The last columns are with their own timeout.",
    );
    write(text, "");
    let (in_sample, out) = (first.len(), second.len());
    write(
        text,
        &format!(
            "| rule | looks at | own timeout, minutes | right of the second {out} | right of the first {in_sample} |"
        ),
    );
    write(text, "|---|---|---|---|---|");
    for peer in PEERS {
        let [first, second] = [&first, &second].map(|all| with_own_timeout(peer, all).right);
        let (name, about, own) = (peer.name, peer.about, peer.own_timeout);
        write(text, &format!("| {name} | {about} | {own} | {second} | {first} |"));
    }
    write(text, "");
}

fn teeth(text: &mut String, bites: &[Bite]) {
    write(text, "## Changed limits");
    write(text, "");
    write(
        text,
        "Each limit four times as high and a quarter as high, and the scenarios whose verdict changes. A limit that nobody would miss here is guarded by no scenario.",
    );
    write(text, "");
    write(text, "| limit | × 4 | ÷ 4 |");
    write(text, "|---|---|---|");
    for bite in bites {
        write(
            text,
            &format!("| `{}` | {} | {} |", bite.what, list(&bite.higher), list(&bite.lower)),
        );
    }
}

fn list(ids: &[&str]) -> String {
    match ids.split_at_checked(8) {
        _ if ids.is_empty() => "0".to_owned(),
        Some((some, rest)) if !rest.is_empty() => {
            format!("{}: {} …", ids.len(), some.join(" "))
        }
        _ => format!("{}: {}", ids.len(), ids.join(" ")),
    }
}
