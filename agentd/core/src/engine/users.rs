//! Who keeps the machine up: the same evidence, by person.

use std::collections::BTreeMap;

use super::{Engine, SourceName, Stamp};
use crate::reading::Role;
use crate::verdict::{Judgement, SourceView, UseView, UserView};

/// More people than this are not listed one by one.
const MOST: usize = 32;

impl Engine {
    /// Everybody of whom a source tells, who used the machine last first. Owners begin with the name: `alice, make[812]`.
    pub(super) fn users(sources: &[SourceView]) -> Vec<UserView> {
        let mut users: BTreeMap<String, UserView> = BTreeMap::new();
        for SourceView { source, signals, .. } in sources {
            for signal in signals {
                let owner = signal.owner.as_ref().filter(|_| signal.role == Role::Workload);
                let Some(owner) = owner else {
                    continue;
                };
                let user = owner.split(',').next().unwrap_or_default().trim().to_owned();
                let entry = users.entry(user.clone()).or_insert_with(|| UserView {
                    user,
                    last_activity: None,
                    keeps_up: Vec::new(),
                });
                entry.last_activity = entry.last_activity.max(signal.last_activity);
                let keeps_up = [Judgement::Busy, Judgement::Blocks, Judgement::Stretches];
                if keeps_up.contains(&signal.judgement) {
                    entry.keeps_up.push(format!("{source}: {}", signal.subject));
                }
            }
        }
        let mut users: Vec<UserView> = users.into_values().collect();
        users.sort_by(|a, b| b.last_activity.cmp(&a.last_activity).then(a.user.cmp(&b.user)));
        users.truncate(MOST);
        users
    }

    /// What was used at `at`, as the source shows it now.
    pub(super) fn use_view(&self, at: Stamp, source: &SourceName) -> UseView {
        let cause = self.tracks.get(source).and_then(crate::track::Track::used).unwrap_or_default();
        let unit = self.policy.sources.get(source).map(|p| p.unit.clone()).unwrap_or_default();
        let text = super::words::used(source, &cause, &unit);
        UseView { source: source.clone(), cause, unit, text, at }
    }
}
