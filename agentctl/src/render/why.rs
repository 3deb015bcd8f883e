//! The screen of `agentctl why`: every piece of evidence with its value, limit, source, owner and age.

use agent_proto::span::{long, short};
use agent_proto::status::{Ability, AbilityWord, ImdsState, Signal, Source, Status, Verdict};

use super::Look;
use super::amount::{amount, busy_if, now, of_limit, verdict};
use super::counted::{self, corrections, kept_up, open_accounts, uncounted};
use super::headline::headline;
use super::people::{ignored, last_use, people, warnings};
use super::status::{holds, interruption, last_action, obstacles, painted, unknown};
use super::text::{fit, labelled, wrapped};
use super::times::moment;

/// The whole screen.
pub(crate) fn why(status: &Status, look: &Look) -> String {
    let mut out = headline(status, look);
    out.push_str(&warnings(status, look));
    out.push_str(&last_use(status, look));
    out.push_str(&people(status));
    out.push_str("\nEVIDENCE\n");
    for one in &status.sources {
        out.push_str(&source(one, look));
    }
    out.push_str(&ignored(&status.sources));
    out.push_str(&uncounted(status, counted::IN_WHY));
    out.push_str(&kept_up(status, look));
    out.push_str(&corrections(status));
    out.push_str(&open_accounts(status));
    out.push_str("\nIN THE WAY\n");
    out.push_str(&holds(&status.holds, status, look));
    out.push_str(&interruption(status, look));
    let obstacles = obstacles(status, look);
    if obstacles.is_empty() {
        out.push_str(&labelled("in the way", "nothing else"));
    } else {
        out.push_str(&obstacles);
    }
    out.push_str(&unknown(status));
    out.push_str("\nTHIS INSTANCE\n");
    out.push_str(&labelled("hibernate", &ability(&status.abilities.hibernate)));
    out.push_str(&labelled("stop", &ability(&status.abilities.stop)));
    if let Some(last) = &status.last_action {
        out.push_str(&last_action(last, look));
    }
    out.push_str("\nAGENT\n");
    out.push_str(&agent(status, look));
    out
}

fn source(source: &Source, look: &Look) -> String {
    let mut facts = vec![now(source)];
    if !matches!(source.verdict, Verdict::Absent | Verdict::Disabled) {
        facts.push(format!("busy if {}", busy_if(source)));
        facts.push(format!("{} for {}", verdict(source.verdict), short(source.for_seconds)));
        facts.push(match source.read_seconds {
            Some(age) => format!("read {} ago", short(age)),
            None => "never read".to_owned(),
        });
        if let (Some(_), Some(age)) = (source.value, source.last_activity_seconds) {
            facts.push(format!("used {} ago", short(age)));
        }
    }
    let first = format!("{:<14}", fit(&source.source, 13));
    let mut out = painted(source.verdict, &wrapped(&first, 14, &facts.join("; ")), look);
    if let Some(detail) = &source.detail {
        out.push_str(&wrapped("              ", 14, detail));
    }
    for one in &source.signals {
        out.push_str(&painted(one.verdict, &signal(one, source), look));
    }
    if source.signals_left_out > 0 {
        out.push_str("    and ");
        out.push_str(&source.signals_left_out.to_string());
        out.push_str(" more\n");
    }
    out
}

fn signal(signal: &Signal, source: &Source) -> String {
    if signal.subject.starts_with(ACCOUNT_OF) {
        // It is no load: what matters is what it says.
        let said = signal.owner.as_deref().unwrap_or("nothing is known of it");
        return wrapped(&format!("    {:<34}", format!("{} ", signal.subject)), 38, said);
    }
    let mut facts = vec![verdict(signal.verdict).to_owned()];
    match (signal.value, signal.limit) {
        (Some(_), _) if signal.verdict == Verdict::Blind => {}
        (Some(value), Some(limit)) => facts.push(of_limit(value, limit, &source.unit)),
        (Some(value), None) => facts.push(amount(value, &source.unit)),
        (None, _) => {}
    }
    facts.extend(role(signal, source).map(str::to_owned));
    if let Some(owner) = &signal.owner {
        facts.push(owner.clone());
    }
    if let Some(age) = signal.last_activity_seconds {
        facts.push(format!("used {} ago", short(age)));
    }
    wrapped(&format!("    {:<34}", format!("{} ", signal.subject)), 38, &facts.join(", "))
}

/// The beginning of the subject of an account.
pub(super) const ACCOUNT_OF: &str = "account of ";

/// Whose a signal is, in words, where a source tells people's work from that of others.
fn role(signal: &Signal, source: &Source) -> Option<&'static str> {
    let word = |signal: &Signal| match signal.role.as_str() {
        "local" => Some("a unit of no package"),
        "server" => Some("a server of a package"),
        "upkeep" => Some("keeps the machine"),
        "unexplained" => Some("in no account"),
        _ => None,
    };
    let others = || source.signals.iter().any(|other| word(other).is_some());
    word(signal).or_else(|| (signal.role == "workload" && others()).then_some("people's work"))
}

fn ability(ability: &Ability) -> String {
    match ability.can {
        AbilityWord::Can => "can".to_owned(),
        AbilityWord::Cannot => {
            let code = ability.code.as_deref().unwrap_or("cannot");
            let detail = ability.detail.as_deref().unwrap_or("no reason was given");
            format!("CANNOT ({code}): {detail}")
        }
        _ => "UNKNOWN: not found out yet, so it is not done".to_owned(),
    }
}

fn agent(status: &Status, look: &Look) -> String {
    let agent = &status.agent;
    let mut out = labelled(
        "process",
        &format!("agentd {}, pid {}, for {}", agent.version, agent.pid, long(agent.up_seconds)),
    );
    out.push_str(&labelled("decided", &format!("at {}", moment(look, status.decided, status.now))));
    out.push_str(&labelled(
        "stage",
        &format!(
            "{} since {}",
            status.stage.as_str(),
            moment(look, status.stage_since, status.now)
        ),
    ));
    let files = if status.config.files.is_empty() {
        "built-in defaults".to_owned()
    } else {
        status.config.files.join(", ")
    };
    out.push_str(&labelled("config", &files));
    if let Some(problem) = &status.config.problem {
        out.push_str(&labelled("", &format!("the newest files are not in force: {problem}")));
    }
    let blind = status.imds.state == Some(ImdsState::Blind);
    let metadata = match (status.imds.ok, blind) {
        (true, false) => "answers",
        (true, true) => "ANSWERS ONLY IN PART",
        (false, _) => "DOES NOT ANSWER",
    };
    let detail = if status.imds.detail == metadata { "" } else { &status.imds.detail };
    out.push_str(&labelled("metadata", format!("{metadata} {detail}").trim_end()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn every_signal_is_listed_also_the_ignored_ones() {
        insta::assert_snapshot!(why(&samples::why(), &samples::look()));
    }

    #[test]
    fn a_machine_that_cannot_is_explained() {
        let mut status = samples::quiet();
        status.abilities.hibernate = Ability {
            can: AbilityWord::Cannot,
            code: Some("hibernation-not-configured".into()),
            detail: Some(
                "it was launched without HibernationOptions; launch a new one with it".into(),
            ),
        };
        status.abilities.stop = Ability { can: AbilityWord::Unknown, code: None, detail: None };
        let text = why(&status, &samples::look());
        assert!(text.contains("CANNOT (hibernation-not-configured): it was launched"), "{text}");
        assert!(text.contains("UNKNOWN: not found out yet"), "{text}");
    }

    #[test]
    fn more_signals_than_are_listed_are_counted() {
        let mut status = samples::why();
        status.sources[0].signals_left_out = 812;
        assert!(why(&status, &samples::look()).contains("    and 812 more\n"));
    }
}
