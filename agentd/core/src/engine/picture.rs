//! The view: the whole picture for status, why, D-Bus and metrics. Making it changes nothing.

use core::time::Duration;

use super::{Engine, Mode, Phase, Power, Stage, Stamp};
use crate::input::Abilities;
use crate::verdict::{Judgement, Obstacle, SourceView, View};

impl Engine {
    /// The picture at `now`.
    pub fn view(&self, now: Stamp) -> View {
        let acting = self.memory.intent.as_ref().map(|i| i.power);
        let act_at = self.act_at(now);
        let sources: Vec<SourceView> = self
            .policy
            .sources
            .iter()
            .map(|(name, policy)| match self.tracks.get(name) {
                Some(track) => track.view(name),
                None => crate::track::Track::new(now, policy.clone()).view(name),
            })
            .collect();
        View {
            now,
            mode: self.mode(),
            profile: self.policy.profile.clone(),
            stage: self.stage,
            stage_since: self.stage_since,
            because: self.because(now),
            idle_since: (self.quiet_ms > 0)
                .then(|| now.before(Duration::from_millis(self.quiet_ms))),
            idle_ms: self.quiet_ms,
            act_after_ms: self.act_after_ms(now),
            stretch: self.stretch(),
            power: acting.or_else(|| self.power()),
            act_at,
            warn_at: self.warn_at(act_at),
            users: Self::users(&sources),
            sources,
            last_use: self.last_seen.clone(),
            uncounted: self.uncounted(),
            kept_up: self.kept_up(now),
            holds: self.memory.holds.view(),
            obstacles: self.obstacles(now),
            abilities: Abilities {
                instance_id: self.abilities.instance_id.clone(),
                hibernate: self.ability(Power::Hibernate),
                stop: self.ability(Power::Stop),
                member: self.abilities.member,
            },
            last_action: self.memory.last_action.clone(),
            interruptions: self.memory.interruptions.clone(),
            interruption: self.policy.interruption.clone(),
        }
    }

    /// When the action happens if nothing changes; none while something is used or unknown.
    pub(super) fn act_at(&self, now: Stamp) -> Option<Stamp> {
        match &self.phase {
            Phase::Warned { act_at, .. } => Some(*act_at),
            Phase::Waiting { until, .. } | Phase::Settling { until } => Some(*until),
            Phase::Rechecking { .. }
            | Phase::Draining { .. }
            | Phase::Standing { .. }
            | Phase::Calling { .. } => Some(now),
            Phase::Verifying { .. } | Phase::WouldAct => None,
            Phase::Watching => {
                if self.seen.busy {
                    return None;
                }
                let due = self.due(now)?;
                let notice = match self.mode() {
                    Mode::Enforce => self.least_notice(),
                    Mode::Observe => Duration::ZERO,
                };
                Some(due.max(now.after(notice)))
            }
        }
    }

    fn warn_at(&self, act_at: Option<Stamp>) -> Vec<Stamp> {
        let Some(act_at) = act_at.filter(|_| self.mode() == Mode::Enforce) else {
            return Vec::new();
        };
        self.warnings().into_iter().map(|before| act_at.before(before)).collect()
    }

    /// Everything that stands in the way of an action, never only the first.
    fn obstacles(&self, now: Stamp) -> Vec<Obstacle> {
        let interrupted = |detail| Obstacle { code: "interrupted".to_owned(), detail, until: None };
        let mut list: Vec<_> = self.interruption_text().map(interrupted).into_iter().collect();
        let mut add = |code: &str, detail: String, until: Option<Stamp>| {
            list.push(Obstacle { code: code.to_owned(), detail, until });
        };
        let idle = &self.policy.idle;
        if self.mode() == Mode::Observe {
            let detail = if self.policy.mode == Mode::Observe {
                "the mode is 'observe': decisions are reported, never carried out; set mode = \"enforce\" in /etc/agentd/agentd.toml"
            } else {
                "a tag of the instance asks to observe only: decisions are reported, never carried out"
            };
            add("observe", detail.to_owned(), None);
        }
        if !idle.enabled {
            add("disabled", "[idle] enabled = false: idleness is only reported".to_owned(), None);
        } else if idle.action.is_none() {
            add(
                "no-action",
                "[idle] action = \"none\": idleness is only reported".to_owned(),
                None,
            );
        } else if self.mode() == Mode::Enforce && self.power().is_none() {
            let code =
                if self.abilities.instance_id.is_none() { "identity-unknown" } else { "refused" };
            add(code, self.unable_text(), None);
        }
        if let Some(end) = self.grace_end(now) {
            let what = if self.resumed_at.is_some() { "resumed" } else { "booted" };
            add("grace", format!("the machine has just {what}"), Some(end));
        }
        if let Some(end) = self.loop_end(now) {
            let detail = "people came back right after the last stops; the machine must be idle for twice as long";
            add("loop", detail.to_owned(), Some(end));
        }
        for (name, track) in &self.tracks {
            match track.judgement() {
                Judgement::Blind => {
                    let why = track.detail().unwrap_or("unknown");
                    add("blind", format!("'{name}' is unknown: {why}"), None);
                }
                Judgement::Blocks => {
                    let what = track.leading().map_or("?", |(subject, _)| subject);
                    add("blocked", format!("'{name}' blocks: {what}"), None);
                }
                _ => {}
            }
        }
        if self.tracks.values().all(|t| t.judgement() == Judgement::Absent) {
            add("blind", super::words::NOTHING_LOOKED_AT.to_owned(), None);
        }
        if let Some(until) = self.tag_hold(now) {
            add("hold", "a tag of the instance asks to keep it up".to_owned(), Some(until));
        }
        for hold in self.memory.holds.view() {
            let reason =
                if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
            add("hold", format!("hold {} of {}{reason}", hold.id, hold.owner), Some(hold.until));
        }
        list
    }

    /// The stage that was decided last.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Milliseconds of known idleness.
    pub fn quiet(&self) -> Duration {
        Duration::from_millis(self.quiet_ms)
    }
}
