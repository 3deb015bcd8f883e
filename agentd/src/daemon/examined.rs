//! What the doctor is told of the running agent, and its findings in the words of the wire.

use agent_core::verdict::{Judgement, SourceView, View, WAITING_FOR_SECOND_READING};

use crate::doctor::{self, AccountReport, Sight, SourceReport};
use crate::ipc::{self, CheckStatus, DoctorCheck};
use crate::sources::due::CLOSED;

/// The most that is told of what is closed.
const MOST_CLOSED: usize = 5;

/// What the doctor is told of a source.
pub(super) fn of_source(view: &SourceView) -> SourceReport {
    let sight = match view.judgement {
        Judgement::Disabled => Sight::Disabled,
        Judgement::Absent => Sight::Absent,
        Judgement::Blind if view.read_at.is_none() => Sight::Pending,
        Judgement::Blind if view.detail.as_deref() == Some(WAITING_FOR_SECOND_READING) => {
            Sight::Pending
        }
        Judgement::Blind => Sight::Blind,
        Judgement::Busy
        | Judgement::Idle
        | Judgement::Blocks
        | Judgement::Stretches
        | Judgement::Ignored => Sight::Sees,
    };
    let is_closed = |owner: &str| owner.starts_with(CLOSED);
    let closed = view.signals.iter().filter_map(|signal| {
        let why = signal.owner.as_deref().filter(|owner| is_closed(owner))?;
        Some(format!("{}: {why}", signal.subject))
    });
    let closed = closed.take(MOST_CLOSED).collect();
    SourceReport { name: view.source.to_string(), sight, detail: view.detail.clone(), closed }
}

/// What the doctor is told of the accounts.
pub(super) fn of_accounts(view: &View) -> Vec<AccountReport> {
    let accounts = ipc::advice::accounts(view).into_iter();
    accounts
        .map(|account| AccountReport {
            of: account.of,
            closed: account.closed,
            detail: account.detail,
            cure: account.cure,
        })
        .collect()
}

/// A finding of the doctor in the words of the wire.
pub(super) fn checked(found: doctor::Check) -> DoctorCheck {
    let status = match found.status {
        doctor::Status::Pass => CheckStatus::Ok,
        doctor::Status::Warn => CheckStatus::Warning,
        doctor::Status::Fail => CheckStatus::Failed,
        doctor::Status::Skipped => CheckStatus::Skipped,
    };
    DoctorCheck { name: found.name, status, detail: found.detail, remedy: found.remedy }
}
