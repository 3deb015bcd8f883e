//! What ran and was not counted is told with every action, and what kept the machine up for hours by itself.

use core::time::Duration;
use std::collections::BTreeMap;

use super::scene;
use crate::action::ActionKind;
use crate::decision::Decision;
use crate::engine::Engine;
use crate::input::Input;
use crate::memory::Recovery;
use crate::policy::{Limits, Mode, Policy, RoleLimits};
use crate::reading::{Account, Observation, Reading, Role, Signal, SourceName, Stretch, Value};
use crate::reason::Event;
use crate::stamp::Stamp;
use crate::verdict::{Stage, View};

const STEP_MS: u64 = 10_000;

/// A machine whose units use so many cores each.
pub(super) struct Machine {
    engine: Engine,
    now_ms: u64,
    /// Subject, role, cores, and microseconds so far.
    pub(super) units: Vec<(&'static str, Role, f64, f64)>,
    sessions: Vec<Signal>,
    mark: u64,
    pub(super) events: Vec<Event>,
    actions: Vec<ActionKind>,
}

pub(super) fn policy() -> Policy {
    let mut policy = scene::policy();
    let roles = RoleLimits {
        local_above: 0.08,
        server_above: 0.12,
        upkeep_above: 0.15,
        upkeep_together: 0.4,
        unexplained_above: 0.05,
    };
    let mut cpu = policy.sources.remove(&SourceName::new("cpu")).unwrap();
    cpu.limits = Some(Limits { roles, units: BTreeMap::new() });
    let input = policy.sources.remove(&SourceName::new("input")).unwrap();
    policy.sources = BTreeMap::from([("cpu", cpu), ("input", input.clone()), ("sessions", input)])
        .into_iter()
        .map(|(name, policy)| (SourceName::new(name), policy))
        .collect();
    policy
}

impl Machine {
    pub(super) fn new(units: &[(&'static str, Role, f64)]) -> Self {
        Self::under(policy(), units)
    }

    pub(super) fn under(policy: Policy, units: &[(&'static str, Role, f64)]) -> Self {
        let mut machine = Self {
            engine: Engine::new(policy, Recovery::default(), Stamp::default()),
            now_ms: 0,
            units: units
                .iter()
                .map(|&(subject, role, cores)| (subject, role, cores, 0.0))
                .collect(),
            sessions: Vec::new(),
            mark: 1,
            events: Vec::new(),
            actions: Vec::new(),
        };
        machine.step(Input::Abilities(scene::able()));
        machine
    }

    fn now(&self) -> Stamp {
        Stamp::new(self.now_ms, 0, 1_800_000_000_000 + i64::try_from(self.now_ms).unwrap())
    }

    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let Decision { actions, events, .. } = self.engine.step(self.now(), input);
            self.events.extend(events);
            for request in actions {
                if matches!(request.kind, ActionKind::Reread) {
                    self.read();
                }
                let outcome = crate::action::Outcome::Done { detail: "done".to_owned() };
                inputs.push(Input::Finished { key: request.key, outcome });
                self.actions.push(request.kind);
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
    fn read(&mut self) {
        let cpu = self.units.iter().map(|&(subject, role, _, us)| {
            Signal::new(subject, Value::Counter { total: us as u64 }).of(role)
        });
        let account = Signal::new("account of CPU time", Value::Shown { value: 0.5 })
            .owned_by("kept by /proc/schedstat")
            .ignored();
        let cpu: Vec<Signal> = cpu.chain([account]).collect();
        let input = Signal::new("pts/0", Value::Mark { mark: self.mark, age_ms: None });
        let readings = [("cpu", cpu), ("input", vec![input]), ("sessions", self.sessions.clone())];
        for (source, signals) in readings {
            let source = SourceName::new(source);
            let reading = Reading::Signals(signals);
            self.step(Input::Observed(Observation { source, reading }));
        }
    }

    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now_ms + u64::try_from(span.as_millis()).unwrap();
        while self.now_ms < end {
            self.now_ms += STEP_MS;
            for (.., cores, us) in &mut self.units {
                *us += *cores * 10_000_000.0;
            }
            self.read();
        }
    }

    pub(super) fn view(&self) -> View {
        self.engine.view(self.now())
    }
}

const IDLE: &[(&str, Role, f64)] = &[
    ("user.slice", Role::Workload, 0.01),
    ("system.slice/amazon-ssm-agent.service", Role::Upkeep, 0.02),
    ("system.slice/postgresql.service", Role::Server, 0.03),
    ("system.slice/nothing.service", Role::Local, 0.001),
    ("alice: vscode-server helpers", Role::Ignored, 0.2),
];

#[test]
fn no_action_is_announced_or_taken_without_what_ran_and_was_not_counted() {
    let mut machine = Machine::new(IDLE);
    machine.run(Duration::from_mins(31));
    let told = "alice: vscode-server helpers 0.20 core; postgresql 0.03 of 0.12 core; amazon-ssm-agent 0.02 core";
    let warned = machine.actions.iter().filter_map(|action| match action {
        ActionKind::Warn(warning) => Some(warning.not_counted.as_deref()),
        _ => None,
    });
    assert_eq!(warned.collect::<Vec<_>>(), [Some(told); 3]);
    let events: Vec<Option<&str>> = machine
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Warned { not_counted, .. } | Event::Asking { not_counted, .. } => {
                Some(not_counted.as_deref())
            }
            _ => None,
        })
        .collect();
    assert_eq!(events, [Some(told); 4], "three warnings and the call");
    let tags: Vec<(&str, Option<&str>)> = machine
        .actions
        .iter()
        .filter_map(|action| match action {
            ActionKind::Tag(set) => Some((set.state.as_str(), set.not_counted.as_deref())),
            _ => None,
        })
        .collect();
    assert!(tags.contains(&("warned", Some(told))), "{tags:?}");
    assert!(tags.contains(&("hibernating", Some(told))), "{tags:?}");
    let last = machine.view().last_action.unwrap();
    assert_eq!((last.result.as_str(), last.not_counted.as_deref()), ("accepted", Some(told)));
}

#[test]
fn what_would_be_done_is_told_with_what_was_not_counted() {
    let mut policy = policy();
    policy.mode = Mode::Observe;
    let mut machine = Machine::under(policy, IDLE);
    machine.run(Duration::from_mins(31));
    let last = machine.view().last_action.unwrap();
    assert_eq!(last.result, "would-act");
    assert!(last.not_counted.unwrap().contains("postgresql 0.03 of 0.12 core"));
}

#[test]
fn nothing_is_said_where_nothing_ran() {
    let mut machine = Machine::new(&[
        ("user.slice", Role::Workload, 0.01),
        ("system.slice/cron.service", Role::Upkeep, 0.001),
    ]);
    machine.run(Duration::from_mins(31));
    let told = |event: &&Event| matches!(event, Event::Warned { not_counted: None, .. });
    assert_eq!(machine.events.iter().filter(told).count(), 3);
    assert!(machine.view().uncounted.is_empty());
}

#[test]
fn many_that_ran_are_told_in_one_line_of_bounded_length() {
    let names: Vec<String> =
        (0..60).map(|n| format!("system.slice/{}-{n:02}.service", "ü".repeat(40))).collect();
    let units: Vec<(&'static str, Role, f64)> = names
        .iter()
        .map(|name| (&*Box::leak(name.clone().into_boxed_str()), Role::Upkeep, 0.004))
        .collect();
    let mut machine = Machine::new(&units);
    machine.run(Duration::from_mins(1));
    let view = machine.view();
    assert_eq!(view.uncounted.len(), 20);
    let text = machine.engine.not_counted().unwrap();
    assert!(text.chars().count() <= 200, "{text}");
    assert!(text.ends_with(" more"), "{text}");
}

#[test]
fn an_account_says_whether_it_is_kept() {
    let of =
        |owner| Account::of("account of CPU time", owner).map(|said| (said.closed, said.detail));
    assert_eq!(of(Some("kept by /proc/schedstat")), Some((Some(true), "/proc/schedstat")));
    let why = "cannot be kept: no counter; groups count as they are";
    assert_eq!(of(Some(why)), Some((Some(false), "no counter; groups count as they are")));
    assert_eq!(of(Some("the ends were lost")), Some((Some(false), "the ends were lost")));
    assert_eq!(of(Some("cannot be kept: it begins")).unwrap().0, None);
    assert_eq!(of(None).unwrap().0, Some(false), "what is not said is not closed");
    assert_eq!(Account::of("system.slice/x.service", None), None);
}

#[test]
fn an_account_is_no_consumer() {
    let mut machine = Machine::new(IDLE);
    machine.run(Duration::from_mins(1));
    assert!(machine.view().uncounted.iter().all(|one| !Account::is(&one.subject)));
}

#[test]
fn what_is_above_its_own_limit_is_counted_and_not_told_as_uncounted() {
    let mut machine = Machine::new(&[
        ("system.slice/tailscaled.service", Role::Upkeep, 0.3),
        ("system.slice/game.service", Role::Local, 0.2),
    ]);
    machine.run(Duration::from_mins(3));
    let view = machine.view();
    assert_eq!(view.stage, Stage::Active);
    assert!(view.uncounted.is_empty(), "{:?}", view.uncounted);
}

const DASK: (&str, Role, f64) = ("system.slice/dask.service", Role::Local, 0.28);

#[test]
fn what_kept_the_machine_up_for_hours_by_itself_is_named() {
    let mut machine = Machine::new(&[DASK, ("system.slice/nginx.service", Role::Server, 0.01)]);
    machine.run(Duration::from_mins(170));
    assert_eq!(machine.view().kept_up, None, "not for three hours yet");
    machine.run(Duration::from_mins(20));
    let kept = machine.view().kept_up.unwrap();
    assert_eq!((kept.subject.as_str(), kept.role), (DASK.0, Role::Local));
    assert!(kept.since.boot_ms <= 60_000, "{:?}", kept.since);
}

#[test]
fn a_person_who_was_seen_or_another_use_begins_that_anew() {
    let anew = |disturb: &dyn Fn(&mut Machine)| {
        let mut machine = Machine::new(&[DASK, ("user.slice", Role::Workload, 0.0)]);
        machine.run(Duration::from_mins(100));
        disturb(&mut machine);
        machine.run(Duration::from_mins(100));
        machine.view().kept_up
    };
    assert!(anew(&|_| ()).is_some());
    assert_eq!(anew(&|machine| machine.mark += 1), None, "a key was pressed");
    assert_eq!(
        anew(&|machine| {
            machine.units[1].2 = 1.0;
            machine.run(Duration::from_mins(5));
            machine.units[1].2 = 0.0;
        }),
        None,
        "alice computed"
    );
    assert_eq!(
        anew(&|machine| {
            let value = Value::Stretches { by: Stretch::Connected };
            machine.sessions = vec![Signal::new("pts/0", value)];
            machine.run(Duration::from_mins(5));
            machine.sessions.clear();
        }),
        None,
        "alice was connected"
    );
}

#[test]
fn what_became_idle_keeps_nothing_up() {
    let mut machine = Machine::new(&[DASK]);
    machine.run(Duration::from_mins(200));
    assert!(machine.view().kept_up.is_some());
    machine.units[0].2 = 0.0;
    machine.run(Duration::from_mins(35));
    assert_eq!(machine.view().kept_up, None);
}
