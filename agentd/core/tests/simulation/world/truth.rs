//! What is really true of the machine, kept apart from the engine, and the invariants that are checked against it.

use std::fmt;

use agent_core::action::{ActionKind, TagSet, TagState};
use agent_core::policy::{Mode, Policy};

use super::machine::{CPU, GPU, INPUT, Machine, NETWORK, SECOND, SENSORS, Sight};

/// A broken invariant.
#[derive(Clone, Debug)]
pub struct Violation {
    pub at: u64,
    pub invariant: &'static str,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} s: {}", self.invariant, self.at / 1000, self.what)
    }
}

/// A hold as its owner believes it.
#[derive(Clone, Copy, Debug)]
struct Promise {
    id: u64,
    until: u64,
    wall_minus_true: i64,
    boot_id: u64,
}

/// What is known of one sensor.
#[derive(Clone, Copy, Debug, Default)]
struct Sensor {
    /// The last attempt gave something.
    good: bool,
    read_at: u64,
    /// The counter at the last good reading that can be compared.
    base: Option<(u64, u64)>,
}

/// The truth.
#[derive(Debug)]
pub struct Truth {
    interval: u64,
    gap: u64,
    sensors: [Sensor; 7],
    mark: Option<u64>,
    /// Somebody typed before the agent looked again, and it has not read the terminals since.
    typed_unseen: bool,
    at: u64,
    /// Time in which everything was known and nothing was used, without pauses.
    idle: u64,
    /// The same since the last hook.
    idle_since_hook: Option<u64>,
    unknown_from: Option<u64>,
    /// The same when the agent saved its clock, while only counters and levels told of use since.
    saved: Option<(u64, u64)>,
    pub agent_runs: bool,
    hook_until: u64,
    warned_at: Option<u64>,
    promises: Vec<Promise>,
    requests: u64,
    operator_hooks: u64,
    operator_requested_at: u64,
    tag_at: Option<u64>,
    leaving_tag_at: Option<u64>,
    /// Nothing has disturbed the way to an action since then.
    pub calm_from: u64,
    pub calls: u64,
    pub idle_calls: u64,
}

type Checked = Result<(), Violation>;

impl Truth {
    pub fn new(interval: u64, gap: u64) -> Self {
        Self {
            interval,
            gap,
            sensors: [Sensor::default(); 7],
            mark: None,
            typed_unseen: false,
            at: 0,
            idle: 0,
            idle_since_hook: None,
            unknown_from: Some(0),
            saved: None,
            agent_runs: true,
            hook_until: 0,
            warned_at: None,
            promises: Vec::new(),
            requests: 0,
            operator_hooks: 0,
            operator_requested_at: 0,
            tag_at: None,
            leaving_tag_at: None,
            calm_from: 0,
            calls: 0,
            idle_calls: 0,
        }
    }

    fn violated(&self, invariant: &'static str, what: String) -> Violation {
        Violation { at: self.at, invariant, what }
    }

    fn is_known(&self) -> bool {
        let stale = 3 * self.interval + SECOND;
        self.agent_runs
            && self.sensors.iter().all(|s| s.good && self.at.saturating_sub(s.read_at) <= stale)
    }

    /// Time passed on a machine that runs.
    pub fn pass_to(&mut self, now: u64) {
        let span = now - self.at;
        if self.is_known() {
            self.idle += span;
            if let Some(idle) = &mut self.idle_since_hook {
                *idle += span;
            }
            self.unknown_from = None;
        } else {
            let from = *self.unknown_from.get_or_insert(self.at);
            self.at = now;
            if now - from > self.gap {
                self.forget();
            }
        }
        self.at = now;
    }

    /// Nothing of the past counts any more.
    fn forget(&mut self) {
        self.saved = None;
        self.idle = 0;
        if let Some(idle) = &mut self.idle_since_hook {
            *idle = 0;
        }
        self.calm_from = self.at;
    }

    fn used(&mut self, when: u64) {
        let since = self.at.saturating_sub(when);
        self.idle = self.idle.min(since);
        if let Some(idle) = &mut self.idle_since_hook {
            *idle = (*idle).min(since);
        }
        self.calm_from = self.at;
    }

    /// The agent asked for a reading of a sensor.
    pub fn read(&mut self, sensor: usize, machine: &Machine) {
        let sight = machine.sees(sensor);
        if sight != Sight::Good {
            self.calm_from = self.at;
            if sight == Sight::Blind {
                self.sensors[sensor].good = false;
            }
            return;
        }
        let in_hook = self.at < self.hook_until;
        match sensor {
            CPU => self.count(sensor, machine.cpu_us(), machine.job_ended(), in_hook, 200_000),
            NETWORK => {
                self.count(sensor, machine.net_bytes(), machine.transfer_ended(), in_hook, 20_000);
            }
            GPU if machine.gpu().is_some_and(|percent| percent > 0) && !in_hook => {
                self.used(self.at);
            }
            INPUT => {
                if self.mark.is_some_and(|mark| mark != machine.mark) {
                    self.saved = None;
                    self.used(machine.typed_at);
                }
                self.mark = Some(machine.mark);
                self.typed_unseen = false;
            }
            _ => {}
        }
        let seen = &mut self.sensors[sensor];
        let counts = matches!(sensor, CPU | NETWORK);
        seen.good = !counts || seen.base.is_some();
        seen.read_at = self.at;
        if counts {
            let total = if sensor == CPU { machine.cpu_us() } else { machine.net_bytes() };
            self.sensors[sensor].base = Some((self.at, total));
        }
        if machine.is_blocked() || machine.is_present() {
            self.calm_from = self.at;
        }
        if self.is_known() {
            self.unknown_from = None;
        }
    }

    /// A counter far above its limit over a whole reading is use, whatever is averaged.
    fn count(&mut self, sensor: usize, total: u64, ended: u64, in_hook: bool, per_second: u64) {
        let Some((at, before)) = self.sensors[sensor].base else { return };
        let span = self.at - at;
        let enough = total.saturating_sub(before) * 1000 >= per_second * span;
        if enough && span * 2 >= self.interval && !in_hook {
            self.used(ended);
        } else if enough {
            self.calm_from = self.at;
        }
    }

    /// Counters are compared anew from here on.
    pub fn rebase(&mut self) {
        for sensor in [CPU, NETWORK] {
            self.sensors[sensor].base = None;
        }
    }

    /// The agent saved its idle clock.
    pub fn clock_saved(&mut self) {
        self.saved = Some((self.idle, self.idle_since_hook.unwrap_or(0)));
    }

    /// The agent died. What a counter told it in the same instant it could not keep.
    pub fn agent_died(&mut self) {
        if let Some((idle, since_hook)) = self.saved.take() {
            self.idle = self.idle.max(idle);
            self.idle_since_hook = self.idle_since_hook.map(|now| now.max(since_hook));
        }
        self.agent_runs = false;
        self.hook_until = 0;
        self.rebase();
        for sensor in &mut self.sensors {
            sensor.good = false;
        }
        self.calm_from = self.at;
    }

    /// The machine slept or booted, or nobody could look for long.
    pub fn away(&mut self, now: u64, booted: bool) {
        self.at = now;
        self.forget();
        self.rebase();
        for sensor in &mut self.sensors {
            sensor.good = false;
        }
        self.unknown_from = Some(now);
        self.warned_at = None;
        self.hook_until = self.hook_until.min(now);
        if booted {
            self.mark = None;
            self.idle_since_hook = None;
            (self.tag_at, self.leaving_tag_at) = (None, None);
            self.hook_until = 0;
        }
    }

    /// A hold was promised.
    pub fn promise(&mut self, id: u64, span: u64, machine: &Machine) {
        let until = self.at + span;
        let wall_minus_true = machine.wall_ms() - i64::try_from(self.at).unwrap_or(0);
        self.promises.retain(|p| p.id != id);
        self.promises.push(Promise { id, until, wall_minus_true, boot_id: machine.boot_id });
        self.calm_from = self.at;
    }

    /// Promises that the agent cannot have kept: its state was lost.
    pub fn forget_promises(&mut self) {
        self.promises.clear();
    }

    pub fn released(&mut self) {
        self.promises.clear();
        self.calm_from = self.at;
    }

    pub fn operator_asked(&mut self) {
        self.requests += 1;
        self.operator_requested_at = self.at;
        self.calm_from = self.at;
    }

    pub fn hook_started(&mut self, takes: u64, by_operator: bool, policy: &Policy) -> Checked {
        if by_operator {
            self.operator_hooks += 1;
            if self.operator_hooks > self.requests {
                return Err(self.violated("I2", "a hook that nobody asked for".to_owned()));
            }
        } else if let Some(idle) = self.idle_since_hook
            && idle + 2 * self.interval < act_after(policy)
        {
            let what = format!("the hook again after {} s of idleness", idle / 1000);
            return Err(self.violated("I2", what));
        }
        self.idle_since_hook = Some(0);
        self.saved = None;
        self.hook_until = self.at + takes;
        self.calm_from = self.hook_until;
        Ok(())
    }

    /// The agent wants to look at everything once more: what was typed until now must be seen by it.
    pub fn looks_again(&mut self, machine: &Machine) {
        let readable = machine.sees(INPUT) == Sight::Good;
        self.typed_unseen = readable && self.mark.is_some_and(|mark| mark != machine.mark);
    }

    /// Any request, before it is carried out.
    pub fn requested(&mut self, kind: &ActionKind, policy: &Policy) -> Checked {
        let acts = !matches!(
            kind,
            ActionKind::Reread
                | ActionKind::Describe
                | ActionKind::Withdraw { .. }
                | ActionKind::CallOff { .. }
        );
        if acts && policy.mode == Mode::Observe {
            let what = format!("'{}' while only observing", kind.name());
            return Err(self.violated("I8", what));
        }
        match kind {
            ActionKind::Warn(_) => drop(self.warned_at.get_or_insert(self.at)),
            ActionKind::CallOff { .. } => self.warned_at = None,
            ActionKind::Tag(set) => return self.tagged(set, policy),
            _ => {}
        }
        Ok(())
    }

    /// I6: one call an interval, and one more to say that the machine leaves.
    fn tagged(&mut self, set: &TagSet, policy: &Policy) -> Checked {
        let interval = span_ms(policy.tags.interval);
        let too_soon = |at: Option<u64>| at.is_some_and(|at| self.at - at + SECOND < interval);
        let leaving = matches!(set.state, TagState::Hibernating | TagState::Stopping);
        let before = if leaving { self.leaving_tag_at } else { self.tag_at };
        if too_soon(before) {
            let what = format!("tags again after {} s", (self.at - before.unwrap_or(0)) / 1000);
            return Err(self.violated("I6", what));
        }
        if leaving {
            self.leaving_tag_at = Some(self.at);
        }
        self.tag_at = Some(self.at);
        Ok(())
    }

    /// The call of EC2 itself.
    pub fn called(
        &mut self,
        by_operator: bool,
        in_effect: bool,
        machine: &Machine,
        policy: &Policy,
    ) -> Checked {
        self.calls += 1;
        self.calm_from = self.at;
        if in_effect {
            return Err(self.violated("I8", "a second call while one is in effect".to_owned()));
        }
        self.not_kept_up(machine)?;
        if by_operator {
            if self.at - self.operator_requested_at > 45 * 60_000 {
                return Err(self.violated("I8", "an operator's request of long ago".to_owned()));
            }
            return Ok(());
        }
        self.idle_calls += 1;
        if self.typed_unseen {
            return Err(self.violated("I1", "a key was pressed before the last look".to_owned()));
        }
        let sessions = self.sensors[super::machine::SESSIONS];
        let present =
            machine.is_present() && sessions.good && sessions.read_at >= machine.present_from();
        let longest = if present { span_ms(policy.idle.job_after) } else { 0 };
        let wanted = act_after(policy).max(longest);
        if self.idle + 2 * self.interval.min(wanted / 8) < wanted {
            let what = format!(
                "a call after {} s of known idleness, and not {} s",
                self.idle / 1000,
                wanted / 1000
            );
            return Err(self.violated("I1", what));
        }
        // The machine has a terminal: once it was read on this boot, a person was seen.
        let people = self.mark.is_some();
        let notice = if people { policy.least_notice_to_people() } else { policy.least_notice() };
        let least = span_ms(notice);
        if least > 0 && self.warned_at.is_none_or(|at| self.at - at + SECOND < least) {
            let what = format!("warned at {:?} ms, and not {least} ms before", self.warned_at);
            return Err(self.violated("I4", what));
        }
        Ok(())
    }

    /// No hold and no block that the agent was told of stands in the way.
    fn not_kept_up(&self, machine: &Machine) -> Checked {
        let wall_minus_true = machine.wall_ms() - i64::try_from(self.at).unwrap_or(0);
        let held = self.promises.iter().find(|p| {
            // Over a boot a hold keeps its wall time, which may have been stepped.
            let trusted = p.boot_id == machine.boot_id || p.wall_minus_true == wall_minus_true;
            trusted && p.until > self.at + SECOND
        });
        if let Some(promise) = held {
            let left = (promise.until - self.at) / 1000;
            let what = format!("hold {} has {left} s left", promise.id);
            return Err(self.violated("I8", what));
        }
        let packages = self.sensors[super::machine::PACKAGES];
        let seen = self.at.saturating_sub(packages.read_at) < machine.blocked_for();
        if machine.is_blocked() && seen && packages.good && machine.blocked_for() < super::BLOCK_CAP
        {
            return Err(self.violated("I8", "a block stands in the way".to_owned()));
        }
        Ok(())
    }

    /// Liveness: when nothing has disturbed it for long, an idle machine is not up any more.
    pub fn is_live(&self, doublings: u32, policy: &Policy) -> Checked {
        let bound = (act_after(policy) << doublings)
            + span_ms(policy.idle.boot_grace.max(policy.idle.resume_grace))
            + 30 * 60_000
            + 10 * self.interval;
        if self.agent_runs && self.at.saturating_sub(self.calm_from) > bound {
            let what = format!("nothing happened in {} s", (self.at - self.calm_from) / 1000);
            return Err(self.violated("liveness", what));
        }
        Ok(())
    }

    /// For a report of a failure.
    pub fn describe(&self) -> String {
        let known: Vec<String> =
            SENSORS.iter().zip(&self.sensors).map(|(n, s)| format!("{n} {}", s.good)).collect();
        format!("idle {} s, warned {:?}, {}", self.idle / 1000, self.warned_at, known.join(" "))
    }
}

pub fn span_ms(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn act_after(policy: &Policy) -> u64 {
    span_ms(policy.idle.act_after)
}
