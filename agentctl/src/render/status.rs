//! The screen of `agentctl status`.

use agent_proto::span::{long, short};
use agent_proto::status::{AbilityWord, Hold, LastAction, Obstacle, Source, Status, Verdict};

use super::Look;
use super::amount::{busy_if, now, verdict};
use super::counted::{self, corrections, kept_up, open_accounts, uncounted};
use super::headline::headline;
use super::style::Ink;
use super::text::{fit, labelled, wrapped};
use super::times::{moment, stamp};

/// The whole screen.
pub(crate) fn status(status: &Status, look: &Look) -> String {
    let mut out = headline(status, look);
    out.push('\n');
    out.push_str(&table(&status.sources, look));
    out.push('\n');
    out.push_str(&uncounted(status, counted::IN_STATUS));
    out.push_str(&kept_up(status, look));
    out.push_str(&corrections(status));
    out.push_str(&open_accounts(status));
    out.push_str(&holds(&status.holds, status, look));
    out.push_str(&interruption(status, look));
    out.push_str(&obstacles(status, look));
    out.push_str(&unknown(status));
    if let Some(last) = &status.last_action {
        out.push_str(&last_action(last, look));
    }
    if let Some(problem) = &status.config.problem {
        out.push_str(&labelled("config", &format!("the newest files are not in force: {problem}")));
    }
    out
}

/// One row a source.
fn table(sources: &[Source], look: &Look) -> String {
    let mut out = row(["SIGNAL", "NOW", "BUSY IF", "VERDICT", "FOR"]);
    for source in sources {
        let name = fit(&source.source, 13);
        let span = short(source.for_seconds);
        let cells = row([&name, &now(source), &busy_if(source), verdict(source.verdict), &span]);
        out.push_str(&painted(source.verdict, &cells, look));
        let detail = source
            .detail
            .as_deref()
            .filter(|_| matches!(source.verdict, Verdict::Blind | Verdict::Blocks | Verdict::Busy));
        if let Some(detail) = detail {
            out.push_str(&wrapped("              ", 14, detail));
        }
    }
    out
}

fn row([name, now, busy_if, verdict, span]: [&str; 5]) -> String {
    let line = format!("{name:<14}{now:<20}{busy_if:<18}{verdict:<10}{span}");
    format!("{}\n", line.trim_end())
}

/// A line in the colour of its judgement.
pub(super) fn painted(verdict: Verdict, line: &str, look: &Look) -> String {
    let ink = match verdict {
        Verdict::Blind => Ink::Alarm,
        Verdict::Busy | Verdict::Blocks => Ink::Good,
        Verdict::Absent | Verdict::Ignored | Verdict::Disabled => Ink::Faint,
        _ => return line.to_owned(),
    };
    let mut out = look.style.paint(ink, line.trim_end_matches('\n'));
    out.push('\n');
    out
}

/// Every hold with its number, owner, end and reason.
pub(super) fn holds(holds: &[Hold], status: &Status, look: &Look) -> String {
    if holds.is_empty() {
        return labelled("holds", "none");
    }
    let each = holds.iter().enumerate().map(|(n, hold)| {
        let mut text = format!(
            "{} by {} until {} ({} left)",
            hold.id,
            hold.owner,
            moment(look, hold.until, status.now),
            long(hold.left_seconds)
        );
        if let Some(pid) = hold.pid {
            text = format!("{text}, with process {pid}");
        }
        if !hold.reason.is_empty() {
            text = format!("{text}: {}", hold.reason);
        }
        labelled(if n == 0 { "holds" } else { "" }, &text)
    });
    each.collect()
}

/// Whether EC2 announces an interruption. An older agent does not tell, and then nothing is said.
pub(super) fn interruption(status: &Status, look: &Look) -> String {
    let Some(found) = &status.interruption else { return String::new() };
    labelled("interruption", &super::spot::brief(found, status.now, look))
}

/// What stands in the way, without what the headline said.
pub(super) fn obstacles(status: &Status, look: &Look) -> String {
    let said = &status.outlook.because;
    // Holds have lines of their own, and so have sources that cannot be read.
    let others = status.obstacles.iter().filter(|obstacle| {
        obstacle.detail != *said
            && obstacle.code != "hold"
            && (obstacle.code != "blind" || status.blind.is_empty())
    });
    others
        .enumerate()
        .map(|(n, each)| {
            labelled(if n == 0 { "in the way" } else { "" }, &obstacle(each, status, look))
        })
        .collect()
}

fn obstacle(obstacle: &Obstacle, status: &Status, look: &Look) -> String {
    let what = if obstacle.detail.is_empty() { &obstacle.code } else { &obstacle.detail };
    match (obstacle.until, obstacle.left_seconds) {
        (Some(until), Some(left)) => {
            let until = moment(look, until, status.now);
            format!("{what} (until {until}, {} left)", long(left))
        }
        _ => what.clone(),
    }
}

/// What is not known, beside the sources that the headline names.
pub(super) fn unknown(status: &Status) -> String {
    let mut items = Vec::new();
    if status.blind.len() > 1 {
        items.push(format!("sources {}", status.blind.join(", ")));
    }
    if !status.imds.ok {
        items.push(format!("the metadata service: {}", status.imds.detail));
    }
    let blind = status.interruption.iter().flat_map(|found| &found.blind);
    let blind: Vec<&str> = blind.map(String::as_str).collect();
    if !blind.is_empty() {
        items.push(format!(
            "whether EC2 interrupts this instance: {} cannot be read",
            blind.join(", ")
        ));
    }
    let abilities = [("hibernate", &status.abilities.hibernate), ("stop", &status.abilities.stop)];
    for (what, ability) in abilities {
        if !matches!(ability.can, AbilityWord::Can | AbilityWord::Cannot) {
            items.push(format!("whether this instance can {what}"));
        }
    }
    let each = items.iter().enumerate();
    each.map(|(n, item)| labelled(if n == 0 { "unknown" } else { "" }, item)).collect()
}

/// How the last action ended.
pub(super) fn last_action(last: &LastAction, look: &Look) -> String {
    let text = format!(
        "{} at {}: {}; {}",
        last.power.as_str(),
        stamp(look, last.at),
        last.result,
        last.detail
    );
    let not_counted = last.not_counted.as_ref();
    let beside = not_counted.map(|ran| format!("; not counted: {ran}")).unwrap_or_default();
    labelled("last action", &format!("{}{beside}", text.trim_end_matches("; ")))
}

#[cfg(test)]
mod tests;
