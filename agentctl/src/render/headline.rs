//! Who am I, what will happen and when, because of what, and how to prevent it: the first lines of `status` and `why`.

use agent_proto::span::long;
use agent_proto::spot::Interruption;
use agent_proto::status::{Mode, Outlook, Power, Prospect, Stage, Status};

use super::Look;
use super::style::Ink;
use super::text::{WIDTH, labelled, wrapped};
use super::times::moment;

/// The first lines.
pub(crate) fn headline(status: &Status, look: &Look) -> String {
    let mut out = who(status, look);
    out.push('\n');
    // What EC2 does comes before everything that the agent would do.
    let interrupted = status.interruption.as_ref().filter(|found| found.imminent);
    let ink = match status.outlook.prospect {
        _ if interrupted.is_some() => Ink::Alarm,
        Prospect::Blind | Prospect::Refused => Ink::Alarm,
        Prospect::WillAct | Prospect::Acting if status.mode == Mode::Enforce => Ink::Notice,
        _ => Ink::Bold,
    };
    let line = match interrupted {
        Some(found) => super::spot::sentence(found, status.now, look),
        None => what(status, look),
    };
    let line = wrapped("", 2, &line);
    out.push_str(&look.style.paint(ink, line.trim_end()));
    out.push('\n');
    out.push_str(&match interrupted {
        Some(found) => because_of(found, status),
        None => because(status),
    });
    out
}

/// Why the instance goes down, and that nobody here can prevent it.
fn because_of(found: &Interruption, status: &Status) -> String {
    let mut out = labelled("because", found.what.as_deref().unwrap_or("EC2 announced it"));
    out.push_str(&labelled("to stop this", super::spot::NO_REMEDY));
    out.push_str(&labelled("more", "agentctl spot"));
    out.push_str(&policy(status));
    out
}

fn policy(status: &Status) -> String {
    labelled("policy", &format!("{}, mode {}", status.profile, status.mode.as_str()))
}

fn who(status: &Status, look: &Look) -> String {
    let Some(instance) = &status.instance else {
        let line = look.style.paint(Ink::Alarm, "instance UNKNOWN");
        return format!("{line}  agentd {}\n", status.agent.version);
    };
    let mut parts = vec![instance.instance_id.clone()];
    let facts = [&instance.instance_type, &instance.availability_zone, &instance.life_cycle];
    parts.extend(facts.into_iter().filter(|fact| !fact.is_empty()).cloned());
    if let Some(name) = &instance.name {
        parts.push(format!("\"{name}\""));
    }
    let line = parts.join("  ");
    let agent = format!("agentd {}", status.agent.version);
    let used = line.chars().count() + agent.chars().count();
    if used + 2 <= WIDTH {
        format!("{line}{}{agent}\n", " ".repeat(WIDTH - used))
    } else {
        format!("{line}\n{agent}\n")
    }
}

/// The one line to read. Only `will-act` has a time in it.
fn what(status: &Status, look: &Look) -> String {
    let outlook = &status.outlook;
    let verb = verb(outlook.power);
    match outlook.prospect {
        Prospect::WillAct => {
            let when = when(outlook, status, look);
            if status.mode == Mode::Enforce {
                format!("Will {verb} {when} unless used")
            } else {
                format!("Would {verb} {when}, but only observes")
            }
        }
        Prospect::Acting => acting(status.stage, verb),
        Prospect::InUse => "In use: will not act".to_owned(),
        Prospect::Held => "Held: will not act".to_owned(),
        Prospect::Blocked => "Kept up: will not act".to_owned(),
        Prospect::Blind => format!("Will NOT act: {}", outlook.because),
        Prospect::Refused => format!("Will NOT act: cannot {}", verb.to_lowercase()),
        Prospect::Observed => format!("Would {verb} now, but only observes"),
        Prospect::Never => "Will not act: the policy only reports idleness".to_owned(),
        _ => "Will NOT act yet".to_owned(),
    }
}

fn acting(stage: Stage, verb: &str) -> String {
    match stage {
        Stage::Rechecking => format!("About to {verb}: every source is read once more"),
        Stage::Draining => format!("About to {verb}: the pre-stop hook runs"),
        Stage::Verifying => format!("EC2 accepted to {verb}: this machine goes down"),
        _ => format!("About to {verb}: EC2 is being asked"),
    }
}

fn when(outlook: &Outlook, status: &Status, look: &Look) -> String {
    match (outlook.in_seconds, outlook.at) {
        (Some(seconds), Some(at)) => {
            format!("in {} (at {})", long(seconds), moment(look, at, status.now))
        }
        _ => "at an unknown time".to_owned(),
    }
}

const fn verb(power: Option<Power>) -> &'static str {
    match power {
        Some(Power::Hibernate) => "HIBERNATE",
        Some(Power::Stop) => "STOP",
        _ => "ACT",
    }
}

fn because(status: &Status) -> String {
    let outlook = &status.outlook;
    let mut out = String::new();
    if outlook.prospect != Prospect::Blind {
        out.push_str(&labelled("because", &outlook.because));
    }
    out.push_str(&idle(status));
    out.push_str(&super::people::stretch(status));
    out.push_str(&policy(status));
    if let Some(remedy) = &outlook.remedy {
        let label = match outlook.prospect {
            Prospect::WillAct | Prospect::Acting => "to stop this",
            Prospect::Blind | Prospect::Refused => "find out",
            Prospect::Held => "to end it",
            _ => "to let it act",
        };
        out.push_str(&labelled(label, remedy));
    }
    out
}

/// How far the idle clock is. While something is unknown it stands still, and says so.
fn idle(status: &Status) -> String {
    let idle = &status.idle;
    let progress = format!("{} of {}", long(idle.idle_seconds), long(idle.act_after_seconds));
    let text = match (status.outlook.prospect, idle.since) {
        (Prospect::Blind, _) => format!("the idle clock stands still at {progress}"),
        (_, None) => return String::new(),
        (_, Some(_)) => format!("{progress} {}", bar(idle.idle_seconds, idle.act_after_seconds)),
    };
    labelled("idle for", &text)
}

/// Twenty cells.
fn bar(done: f64, whole: f64) -> String {
    let cells = 20_u8;
    let full = (0..cells).filter(|cell| {
        let share = (f64::from(*cell) + 1.0) / f64::from(cells);
        whole > 0.0 && done / whole >= share
    });
    let full = full.count();
    format!("[{}{}]", "#".repeat(full), "-".repeat(usize::from(cells) - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_full_only_at_the_end() {
        assert_eq!(bar(0.0, 1800.0), "[--------------------]");
        assert_eq!(bar(1080.0, 1800.0), "[############--------]");
        assert_eq!(bar(1799.0, 1800.0), "[###################-]");
        assert_eq!(bar(9000.0, 1800.0), "[####################]");
        assert_eq!(bar(5.0, 0.0), "[--------------------]");
    }
}
