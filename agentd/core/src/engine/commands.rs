//! What operators ask for, through the same gates.

use super::{Ability, Engine, Event, Mode, Origin, Out, Phase, Power, Stamp};
use crate::hold::Made;
use crate::input::{Actor, Command, Denial, Reply};

impl Engine {
    /// Carries a command out, or says why not.
    pub(super) fn command(&mut self, now: Stamp, actor: &Actor, command: Command, out: &mut Out) {
        let reply = match command {
            Command::Hold { for_ms, reason, pid } => {
                let policy = self.policy.hold.clone();
                self.memory
                    .holds
                    .make(now, actor, for_ms, &reason, pid, &policy)
                    .map(|made| held(made, true, out))
            }
            Command::Renew { hold, for_ms } => {
                let policy = self.policy.hold.clone();
                self.memory
                    .holds
                    .renew(now, actor, hold, for_ms, &policy)
                    .map(|made| held(made, false, out))
            }
            Command::Release { hold } => self.memory.holds.release(actor, hold).map(|gone| {
                self.holds_ended(now, &gone, "released", out);
                Reply::Released(u64::try_from(gone.len()).unwrap_or(u64::MAX))
            }),
            Command::Act { power, dry_run } => self.act(now, actor, power, dry_run, out),
            Command::Drill { action, in_ms } => self.drill(now, actor, action, in_ms, out),
        };
        out.reply = Some(reply.unwrap_or_else(Reply::Denied));
    }

    fn act(
        &mut self,
        now: Stamp,
        actor: &Actor,
        power: Power,
        dry_run: bool,
        out: &mut Out,
    ) -> Result<Reply, Denial> {
        self.may_act(actor, power)?;
        if !dry_run {
            if matches!(self.phase, Phase::Warned { .. } | Phase::WouldAct) {
                self.phase = Phase::Watching;
            }
            self.begin_with(now, power, Origin::Operator, out);
        }
        Ok(Reply::Acting { power, dry_run })
    }

    /// The gates of an operator's action, in the order in which a person can do something about them.
    fn may_act(&self, actor: &Actor, power: Power) -> Result<(), Denial> {
        let verb = power.verb();
        if !actor.admin {
            return Err(Denial::NotPermitted(format!(
                "'{}' may not {verb} this machine; root and members of group 'agentd' may",
                actor.name
            )));
        }
        if self.mode() == Mode::Observe {
            return Err(Denial::Policy(
                "the mode is 'observe', which never acts; set mode = \"enforce\" in /etc/agentd/agentd.toml".to_owned(),
            ));
        }
        if let Some(text) = self.interruption_text() {
            return Err(Denial::Policy(format!("{text}; the agent does not shorten that")));
        }
        if self.abilities.instance_id.is_none() {
            return Err(Denial::Blind(
                "this instance's identity is unknown, because IMDS did not answer; see 'agentctl doctor'".to_owned(),
            ));
        }
        match self.ability(power) {
            Ability::Can => {}
            Ability::Unknown => {
                return Err(Denial::Blind(format!(
                    "EC2 has not said yet whether this instance can {verb}; see 'agentctl doctor'"
                )));
            }
            Ability::Cannot(refusal) => {
                return Err(Denial::Policy(format!("{} ({})", refusal.detail, refusal.code)));
            }
        }
        self.nothing_in_the_way()
    }

    fn nothing_in_the_way(&self) -> Result<(), Denial> {
        if let Some(hold) = self.memory.holds.last() {
            return Err(Denial::Policy(format!(
                "'{}' holds the machine up (hold {}: \"{}\"); end it with 'agentctl release {}'",
                hold.owner, hold.id, hold.reason, hold.id
            )));
        }
        let block = self.tracks.iter().find(|(_, t)| t.is_blocking());
        if let Some((name, track)) = block {
            let what = track.leading();
            let what = what.map_or_else(String::new, |(subject, owner)| match owner {
                Some(owner) => format!(": {subject} ({owner})"),
                None => format!(": {subject}"),
            });
            return Err(Denial::Policy(format!(
                "'{name}' blocks it{what}; wait until it has ended"
            )));
        }
        match self.phase {
            Phase::Watching | Phase::WouldAct | Phase::Warned { .. }
                if !self.is_entering_standby() =>
            {
                Ok(())
            }
            _ => Err(Denial::Policy(
                "an action is under way already; see 'agentctl status'".to_owned(),
            )),
        }
    }
}

fn held(made: Made, is_new: bool, out: &mut Out) -> Reply {
    let Made { hold, capped } = made;
    out.dirty = true;
    let until_wall_ms = hold.until.wall_ms;
    if is_new {
        out.events.push(Event::HoldMade {
            hold: hold.id,
            owner: hold.owner,
            until_wall_ms,
            reason: hold.reason,
        });
    }
    Reply::Held { hold: hold.id, until_wall_ms, capped }
}
