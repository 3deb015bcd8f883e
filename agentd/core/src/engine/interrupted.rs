//! Interruptions: what EC2 announces, and the drain. They come before everything else.

use super::{Engine, Out, Stamp};
use crate::input::{Actor, Denial, Reply};
use crate::interruption::{Noticed, SpotAction};

impl Engine {
    /// EC2 announces something.
    pub(super) fn noticed(&mut self, _now: Stamp, _noticed: Noticed, _out: &mut Out) {}

    /// EC2 took something back.
    pub(super) fn withdrawn_notice(
        &mut self,
        _now: Stamp,
        _id: &str,
        _because: &str,
        _out: &mut Out,
    ) {
    }

    /// Begins a drill.
    pub(super) fn drill(
        &mut self,
        _now: Stamp,
        _actor: &Actor,
        _action: SpotAction,
        _in_ms: u64,
        _out: &mut Out,
    ) -> Result<Reply, Denial> {
        Err(Denial::Policy("later".to_owned()))
    }
}
