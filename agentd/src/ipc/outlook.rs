//! What will happen, and when: the second line of `status`, and its one source of truth.

use agent_core::input::Ability;
use agent_core::policy::Mode;
use agent_core::stamp::Stamp;
use agent_core::verdict::{Judgement, SourceView, Stage, View};
use agent_proto::limits;
use agent_proto::span::long;
use agent_proto::status::{Outlook, Prospect};

use super::convert;
use crate::cures;
use crate::publish::Published;

/// The outlook at `now`.
///
/// The order matters: what is under way is told first, then what is unknown, and only a machine of which everything is
/// known can have a countdown.
pub fn outlook(published: &Published, now: Stamp) -> Outlook {
    let view = &published.view;
    if view.stage == Stage::Verifying {
        return plain(Prospect::Acting, view, view.because.clone(), None);
    }
    if let Some(outlook) = blind(published, now) {
        return outlook;
    }
    let hold = || Some("agentctl hold 2h".to_owned());
    match view.stage {
        Stage::Rechecking | Stage::Draining | Stage::Acting => {
            plain(Prospect::Acting, view, view.because.clone(), hold())
        }
        Stage::WouldAct => {
            let remedy = "set mode = \"enforce\" in /etc/agentd/agentd.toml";
            plain(Prospect::Observed, view, view.because.clone(), Some(remedy.to_owned()))
        }
        Stage::Refused => {
            let why = detail_of(view, "refused").unwrap_or(&view.because).to_owned();
            plain(Prospect::Refused, view, why, Some("agentctl doctor".to_owned()))
        }
        Stage::Grace
        | Stage::Active
        | Stage::Settling
        | Stage::Quiet
        | Stage::Warned
        | Stage::Verifying => kept_up(view, now).unwrap_or_else(|| awaited(view, now, hold())),
    }
}

/// Something required is unknown.
fn blind(published: &Published, now: Stamp) -> Option<Outlook> {
    let view = &published.view;
    let doctor = || Some("agentctl doctor".to_owned());
    let age = now.since(view.now);
    if age > limits::STALE {
        let why = format!("the agent has decided nothing for {}", long(age.as_secs_f64()));
        let remedy = Some("journalctl -u agentd -n 20".to_owned());
        return Some(plain(Prospect::Blind, view, why, remedy));
    }
    let mut sources = view.sources.iter().filter(|source| source.judgement == Judgement::Blind);
    if let Some(first) = sources.next() {
        let why = unknown_source(first, now);
        let more = sources.count();
        let why = if more == 0 { why } else { format!("{why}, and {more} more") };
        let cure = first.detail.as_deref().and_then(cures::of_fault).map(str::to_owned);
        return Some(plain(Prospect::Blind, view, why, cure.or_else(doctor)));
    }
    // No source is enabled that this machine has.
    if let Some(why) = detail_of(view, "blind") {
        return Some(plain(Prospect::Blind, view, why.clone(), doctor()));
    }
    if published.instance.is_none() {
        let why = format!("the identity of this instance is UNKNOWN: {}", published.imds.detail);
        return Some(plain(Prospect::Blind, view, why, doctor()));
    }
    None
}

fn unknown_source(source: &SourceView, now: Stamp) -> String {
    let span = long(now.since(source.since).as_secs_f64());
    let why = source.detail.as_deref().unwrap_or("it was never read");
    format!("source \"{}\" is UNKNOWN for {span} ({why})", source.source)
}

/// Somebody or something keeps it up without using it.
fn kept_up(view: &View, now: Stamp) -> Option<Outlook> {
    if let Some(hold) = view.holds.iter().max_by_key(|hold| hold.until.boot_ms) {
        let span = long(hold.until.since(now).as_secs_f64());
        let reason =
            if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
        let why = format!("{} holds it for another {span}{reason}", hold.owner);
        let remedy = Some(format!("agentctl release {}", hold.id));
        return Some(plain(Prospect::Held, view, why, remedy));
    }
    let source = view.sources.iter().find(|source| source.judgement == Judgement::Blocks)?;
    let why = detail_of(view, "blocked").cloned().unwrap_or_else(|| {
        let what = source.detail.as_deref().unwrap_or("present");
        format!("'{}' blocks: {what}", source.source)
    });
    Some(plain(Prospect::Blocked, view, why, None))
}

/// Nothing keeps it up but use, time or policy.
fn awaited(view: &View, now: Stamp, hold: Option<String>) -> Outlook {
    let Some(_) = view.power else { return impossible(view) };
    if let Some(at) = view.act_at {
        let remedy = hold.filter(|_| view.mode == Mode::Enforce);
        let mut outlook = plain(Prospect::WillAct, view, view.because.clone(), remedy);
        outlook.at = Some(convert::moment(now, at));
        outlook.in_seconds = Some(at.since(now).as_secs_f64());
        outlook.warn_at = view.warn_at.iter().map(|at| convert::moment(now, *at)).collect();
        return outlook;
    }
    let busy = view.sources.iter().any(|source| source.judgement == Judgement::Busy);
    if busy || view.stage == Stage::Active {
        return plain(Prospect::InUse, view, view.because.clone(), None);
    }
    // Only observing keeps it from nothing that could have a time.
    let obstacle = view.obstacles.iter().find(|obstacle| obstacle.code != "observe");
    let why = obstacle.map_or(&view.because, |obstacle| &obstacle.detail);
    plain(Prospect::Waiting, view, why.clone(), None)
}

/// There is nothing that could be done: by policy, or because this instance cannot, or may not.
fn impossible(view: &View) -> Outlook {
    if let Some(why) = detail_of(view, "disabled").or_else(|| detail_of(view, "no-action")) {
        let remedy = "set idle.action in /etc/agentd/agentd.toml";
        return plain(Prospect::Never, view, why.clone(), Some(remedy.to_owned()));
    }
    let doctor = Some("agentctl doctor".to_owned());
    let refusal =
        [&view.abilities.hibernate, &view.abilities.stop].into_iter().find_map(|ability| {
            if let Ability::Cannot(refusal) = ability { Some(&refusal.detail) } else { None }
        });
    match (detail_of(view, "refused"), refusal) {
        (Some(why), Some(_)) | (None, Some(why)) => {
            plain(Prospect::Refused, view, why.clone(), doctor)
        }
        (Some(why), None) => plain(Prospect::Waiting, view, why.clone(), doctor),
        (None, None) => {
            let why = "EC2 has not said yet what this instance can do".to_owned();
            plain(Prospect::Waiting, view, why, doctor)
        }
    }
}

fn detail_of<'a>(view: &'a View, code: &str) -> Option<&'a String> {
    view.obstacles.iter().find(|obstacle| obstacle.code == code).map(|obstacle| &obstacle.detail)
}

fn plain(prospect: Prospect, view: &View, because: String, remedy: Option<String>) -> Outlook {
    Outlook {
        prospect,
        power: view.power.map(convert::power),
        at: None,
        in_seconds: None,
        warn_at: Vec::new(),
        because,
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::tests::{NOW, ago, ahead, quiet, source};
    use agent_core::verdict::{HoldView, Obstacle};

    fn obstacle(code: &str, detail: &str) -> Obstacle {
        Obstacle { code: code.into(), detail: detail.into(), until: None }
    }

    fn hold(id: u64, seconds: u64) -> HoldView {
        HoldView {
            id,
            uid: 1000,
            owner: "alice".into(),
            reason: "nightly eval".into(),
            pid: None,
            since: ago(60),
            until: ahead(seconds),
        }
    }

    #[test]
    fn a_quiet_machine_has_a_countdown_from_the_moment_of_asking() {
        let seen = outlook(&quiet(), ahead(20));
        assert_eq!(seen.prospect, Prospect::WillAct);
        assert_eq!(seen.in_seconds, Some(700.0));
        assert_eq!(seen.at.unwrap().to_string(), "2026-01-02T12:12:00Z");
        assert_eq!(seen.remedy.as_deref(), Some("agentctl hold 2h"));
    }

    #[test]
    fn a_blind_source_never_has_a_countdown_whatever_the_stage() {
        for stage in [
            Stage::Grace,
            Stage::Active,
            Stage::Settling,
            Stage::Quiet,
            Stage::Warned,
            Stage::Rechecking,
            Stage::Draining,
            Stage::Acting,
            Stage::WouldAct,
            Stage::Refused,
        ] {
            let mut published = quiet();
            published.view.stage = stage;
            let mut gpu = source("gpu", Judgement::Blind, Some(0.0), 5.0, "%");
            gpu.detail = Some("NVML: driver not loaded".into());
            gpu.since = ago(120);
            published.view.sources.push(gpu);
            let seen = outlook(&published, NOW);
            assert_eq!(seen.prospect, Prospect::Blind, "{stage:?}");
            assert_eq!((seen.at, seen.in_seconds), (None, None));
            assert_eq!(
                seen.because,
                "source \"gpu\" is UNKNOWN for 2 min (NVML: driver not loaded)"
            );
        }
    }

    #[test]
    fn what_ec2_accepted_is_told_even_when_blind() {
        let mut published = quiet();
        published.view.stage = Stage::Verifying;
        published.view.sources.push(source("gpu", Judgement::Blind, None, 5.0, "%"));
        assert_eq!(outlook(&published, NOW).prospect, Prospect::Acting);
    }

    #[test]
    fn several_blind_sources_are_counted() {
        let mut published = quiet();
        for name in ["gpu", "disk", "network"] {
            published.view.sources.push(source(name, Judgement::Blind, None, 5.0, "%"));
        }
        assert!(outlook(&published, NOW).because.ends_with("(it was never read), and 2 more"));
    }

    #[test]
    fn no_identity_and_a_loop_that_stands_still_are_blind() {
        let mut published = quiet();
        published.instance = None;
        published.imds.detail = "HTTP 403".into();
        let seen = outlook(&published, NOW);
        assert_eq!(seen.prospect, Prospect::Blind);
        assert!(seen.because.contains("UNKNOWN: HTTP 403"), "{}", seen.because);

        let seen = outlook(&quiet(), ahead(121));
        assert_eq!(seen.prospect, Prospect::Blind);
        assert_eq!(seen.because, "the agent has decided nothing for 2 min 1 s");
        assert_eq!(outlook(&quiet(), ahead(119)).prospect, Prospect::WillAct);
    }

    #[test]
    fn the_longest_hold_is_named() {
        let mut published = quiet();
        published.view.holds = vec![hold(1, 60), hold(2, 4_800), hold(3, 600)];
        let seen = outlook(&published, NOW);
        assert_eq!(seen.prospect, Prospect::Held);
        assert_eq!(seen.because, "alice holds it for another 1 h 20 min: nightly eval");
        assert!(seen.remedy.unwrap().ends_with("release 2"));
        assert_eq!(seen.at, None);
    }

    #[test]
    fn a_block_is_named() {
        let mut published = quiet();
        let mut lock = source("packages", Judgement::Blocks, None, 0.0, "");
        lock.detail = Some("/var/lib/dpkg/lock is held by apt-get (812)".into());
        published.view.sources.push(lock);
        let seen = outlook(&published, NOW);
        assert_eq!(seen.prospect, Prospect::Blocked);
        assert_eq!(seen.because, "'packages' blocks: /var/lib/dpkg/lock is held by apt-get (812)");
        published.view.obstacles.push(obstacle("blocked", "'packages' blocks: apt-get"));
        assert_eq!(outlook(&published, NOW).because, "'packages' blocks: apt-get");
    }

    #[test]
    fn the_rest_follows_the_stage_and_the_policy() {
        let with = |change: &dyn Fn(&mut View)| {
            let mut published = quiet();
            change(&mut published.view);
            outlook(&published, NOW)
        };
        let acting = with(&|view| view.stage = Stage::Draining);
        assert_eq!(acting.prospect, Prospect::Acting);
        let in_use = with(&|view| {
            view.stage = Stage::Active;
            view.act_at = None;
        });
        assert_eq!(in_use.prospect, Prospect::InUse);
        let booted = with(&|view| {
            view.stage = Stage::Grace;
            view.act_at = None;
            view.sources.push(source("gpu", Judgement::Busy, Some(80.0), 5.0, "%"));
        });
        assert_eq!(booted.prospect, Prospect::InUse);
        let never = with(&|view| {
            view.power = None;
            view.act_at = None;
            view.obstacles = vec![obstacle("no-action", "[idle] action = \"none\"")];
        });
        assert_eq!(never.prospect, Prospect::Never);
        let observed = with(&|view| view.stage = Stage::WouldAct);
        assert_eq!(observed.prospect, Prospect::Observed);
        assert!(observed.remedy.unwrap().contains("enforce"));
        let observing = with(&|view| view.mode = Mode::Observe);
        assert_eq!((observing.prospect, observing.remedy), (Prospect::WillAct, None));
    }

    #[test]
    fn an_instance_that_cannot_is_told_apart_from_one_that_is_not_known_to() {
        let mut published = quiet();
        published.view.power = None;
        published.view.act_at = None;
        published.view.obstacles = vec![obstacle("observe", "only observing")];
        published.view.abilities.hibernate = Ability::Unknown;
        let seen = outlook(&published, NOW);
        assert_eq!(seen.prospect, Prospect::Waiting);
        assert!(seen.because.contains("not said yet"), "{}", seen.because);

        published.view.abilities.hibernate = Ability::Cannot(agent_core::action::Refusal {
            code: "unauthorized".into(),
            detail: "the role lacks ec2:StopInstances".into(),
            hibernation_only: false,
        });
        let seen = outlook(&published, NOW);
        assert_eq!(seen.prospect, Prospect::Refused);
        assert_eq!(seen.because, "the role lacks ec2:StopInstances");
        assert_eq!(seen.power, None);
    }

    #[test]
    fn a_blindness_that_lasts_is_told_with_its_cure() {
        let mut published = quiet();
        published.view.sources[0].judgement = Judgement::Blind;
        published.view.sources[0].detail =
            Some("/proc: it hides other users' processes (hidepid=)".into());
        let seen = outlook(&published, NOW);
        assert!(seen.because.contains("hidepid"), "{}", seen.because);
        assert!(seen.remedy.unwrap().contains("remount,hidepid=0"));
        published.view.sources[0].detail = Some("input/output error".into());
        assert_eq!(outlook(&published, NOW).remedy.as_deref(), Some("agentctl doctor"));
    }

    #[test]
    fn nothing_to_look_at_is_blind() {
        let mut published = quiet();
        published.view.sources.clear();
        published.view.obstacles = vec![obstacle("blind", "no source is enabled")];
        let seen = outlook(&published, NOW);
        assert_eq!((seen.prospect, seen.in_seconds), (Prospect::Blind, None));
    }

    #[test]
    fn a_refusal_and_an_obstacle_say_why() {
        let mut published = quiet();
        published.view.act_at = None;
        published.view.obstacles =
            vec![obstacle("observe", "only observing"), obstacle("retrying", "EC2 throttles")];
        let seen = outlook(&published, NOW);
        assert_eq!((seen.prospect, seen.because.as_str()), (Prospect::Waiting, "EC2 throttles"));

        published.view.stage = Stage::Refused;
        published.view.obstacles.push(obstacle("refused", "the role lacks ec2:StopInstances"));
        let seen = outlook(&published, NOW);
        assert_eq!(seen.prospect, Prospect::Refused);
        assert_eq!(seen.because, "the role lacks ec2:StopInstances");
    }
}
