//! What keeps the machine up for hours by itself while nobody is there. It may be work, or a daemon that idles above the
//! limit, which no counter tells apart: people are told what it is and how to end it.

use core::time::Duration;

use super::{Engine, SourceName, Stamp};
use crate::reading::{Role, Stretch};
use crate::verdict::{KeptUpView, last_part};

/// From so long on it is told.
const LONG: Duration = Duration::from_hours(3);

/// The one subject that has used the machine.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Keeper {
    source: SourceName,
    subject: String,
    owner: Option<String>,
    role: Role,
    since: Stamp,
    last: Stamp,
}

impl Engine {
    /// The machine was used at `at`, as `source` tells. A touch is a person, and so is a use that no single subject
    /// explains: a connection that came, a terminal that closed.
    pub(super) fn note_keeper(
        &mut self,
        now: Stamp,
        at: Stamp,
        source: &SourceName,
        touched: bool,
    ) {
        if self.keeper.as_ref().is_some_and(|keeper| at.boot_ms <= keeper.last.boot_ms) && !touched
        {
            return;
        }
        let connected = || self.tracks.values().any(|t| t.stretching(Stretch::Connected).is_some());
        let sole = if touched || connected() {
            None
        } else {
            self.tracks.get(source).and_then(crate::track::Track::sole)
        };
        let Some((subject, owner, role)) = sole else {
            self.keeper = None;
            return;
        };
        let patience = Duration::from_millis(self.act_after_ms(now));
        let since = match &self.keeper {
            // Another source tells of the same unit by the same name.
            Some(before)
                if last_part(&before.subject) == last_part(subject)
                    && at.since(before.last) < patience =>
            {
                before.since
            }
            _ => at,
        };
        self.keeper = Some(Keeper {
            source: source.clone(),
            subject: subject.to_owned(),
            owner: owner.map(str::to_owned),
            role,
            since,
            last: at,
        });
    }

    /// What has kept the machine up for hours by itself, while it still does.
    pub(super) fn kept_up(&self, now: Stamp) -> Option<KeptUpView> {
        let keeper = self.keeper.as_ref()?;
        let recent = now.since(keeper.last) < Duration::from_millis(self.act_after_ms(now));
        let long = keeper.last.since(keeper.since) >= LONG;
        (recent && long).then(|| KeptUpView {
            source: keeper.source.clone(),
            subject: keeper.subject.clone(),
            owner: keeper.owner.clone(),
            role: keeper.role,
            since: keeper.since,
            last: keeper.last,
        })
    }
}
