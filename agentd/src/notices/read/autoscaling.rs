//! `autoscaling/target-lifecycle-state`: one word.
//! (Auto Scaling User Guide: "Retrieve the target lifecycle state through instance metadata".)

use agent_core::interruption::{Notice, Noticed, TargetState};

use super::{Reading, Reference, excerpt};

/// Reads an answer: one of the words of [`TargetState`], exactly.
pub fn read(answer: &str, now: Reference) -> Reading {
    match TargetState::ALL.into_iter().find(|state| state.as_str() == answer) {
        Some(target) => Reading::Notice(vec![Noticed {
            notice: Notice::AutoScaling { target },
            due: None,
            own_clock: now.own_clock,
        }]),
        None => Reading::Garbled(format!("{}: it is no target state", excerpt(answer))),
    }
}
