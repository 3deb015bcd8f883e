//! Every order of a key, a hold and a new terminal on the way from the last reading to the wire.

use core::time::Duration;
use std::fs::{File, FileTimes};
use std::time::UNIX_EPOCH;

use agent_core::action::{ActionKind, ActionRequest, Outcome, Power};
use agent_core::decision::Decision;
use agent_core::engine::Engine;
use agent_core::input::{Abilities, Ability, Actor, Command, Input};
use agent_core::interruption::InterruptionPolicy;
use agent_core::memory::Recovery;
use agent_core::policy::{HoldPolicy, IdlePolicy, Mode, Policy, SourcePolicy, TagPolicy};
use agent_core::reading::{Observation, Reading, Signal, SourceName, Value};
use agent_core::reason::Event;
use agent_core::stamp::Stamp;

use super::*;
use crate::host::tree::Tree;

const NOON: u64 = 1_700_000_000;

fn touch(tree: &Tree, path: &str, seconds: u64) {
    if !tree.path(path).exists() {
        tree.file(path, "");
    }
    let file = File::open(tree.path(path)).unwrap();
    let moment = UNIX_EPOCH + Duration::from_secs(seconds);
    file.set_times(FileTimes::new().set_accessed(moment)).unwrap();
}

fn policy(hook: bool) -> Policy {
    let source = || SourcePolicy {
        enabled: true,
        busy_above: 0.05,
        unit: "core".to_owned(),
        scale: 1e-6,
        average: Duration::from_mins(1),
        interval: Duration::from_secs(10),
        combine: agent_core::policy::Combine::Sum,
        limits: None,
    };
    Policy {
        mode: Mode::Enforce,
        profile: "research".to_owned(),
        gap: Duration::from_mins(1),
        idle: IdlePolicy {
            enabled: true,
            quiet_after: Duration::from_mins(1),
            act_after: Duration::from_mins(5),
            connected_after: Duration::from_mins(10),
            job_after: Duration::from_mins(10),
            least_run: Duration::ZERO,
            action: Some(Power::Stop),
            fallback_stop: false,
            warn_before: vec![Duration::from_mins(2)],
            boot_grace: Duration::ZERO,
            resume_grace: Duration::ZERO,
            hook,
            standby: false,
            verify_after: Duration::from_mins(1),
        },
        hold: HoldPolicy { user_max: Duration::from_hours(2), admin_max: Duration::from_hours(72) },
        tags: TagPolicy { enabled: false, interval: Duration::from_mins(1) },
        interruption: InterruptionPolicy::default(),
        sources: ["cpu", "input"].map(|name| (SourceName::new(name), source())).into(),
    }
}

/// What happens between two steps of the way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Intrusion {
    /// A program reads a key on a known terminal.
    Key,
    /// A terminal opens.
    Terminal,
    /// A known terminal closes, and another one takes its name at once.
    Reopened,
    /// Somebody holds the machine.
    Hold,
    /// Somebody logs out: no use.
    Logout,
}

/// A machine, the engine, and the shell's part of the way to the wire, one step at a time.
struct Way {
    tree: Tree,
    interlock: Arc<Interlock>,
    engine: Engine,
    now_ms: u64,
    /// What the engine asked for and is not begun yet.
    asked: Vec<ActionRequest>,
    called_off: bool,
}

impl Way {
    fn new(hook: bool) -> Self {
        let tree = Tree::new();
        touch(&tree, "/dev/pts/0", NOON - 3600);
        touch(&tree, "/dev/pts/1", NOON - 3600);
        let interlock = Interlock::new(tree.root());
        let stamp = Stamp::new(600_000, 0, i64::try_from(NOON).unwrap() * 1000);
        let engine = Engine::new(policy(hook), Recovery::default(), stamp);
        let mut way =
            Self { tree, interlock, engine, now_ms: 600_000, asked: Vec::new(), called_off: false };
        way.step(Input::Abilities(Abilities {
            instance_id: Some("i-0123456789abcdef0".to_owned()),
            hibernate: Ability::Can,
            stop: Ability::Can,
            member: false,
        }));
        while !way.asked.iter().any(|request| request.kind == ActionKind::Reread) {
            way.now_ms += 10_000;
            way.read("cpu");
            way.read("input");
            assert!(way.now_ms < 2_000_000, "it never came to act");
        }
        way
    }

    fn step(&mut self, input: Input) {
        let stamp = Stamp::new(self.now_ms, 0, i64::try_from(NOON * 1000 + self.now_ms).unwrap());
        let Decision { actions, events, dirty, .. } = self.engine.step(stamp, input);
        self.called_off |= events.iter().any(|event| matches!(event, Event::CalledOff { .. }));
        if dirty {
            self.interlock.follow(self.engine.memory());
        }
        for request in actions {
            // As the shell's hands do: these two at once.
            match request.kind {
                ActionKind::Reread => self.interlock.arm(),
                ActionKind::Withdraw { call } => self.interlock.withdraw(call),
                _ => {}
            }
            self.asked.push(request);
        }
    }

    fn read(&mut self, name: &'static str) {
        let signals = if name == "cpu" {
            vec![Signal::new("user.slice", Value::Counter { total: 0 })]
        } else {
            let terminals = terminal::pseudo(&self.tree.root()).unwrap();
            let mark = |t: &Terminal| u64::try_from(t.accessed_ns).unwrap();
            let signal = |t: Terminal| {
                Signal::new(t.name.clone(), Value::Mark { mark: mark(&t), age_ms: None })
            };
            terminals.into_iter().map(signal).collect()
        };
        let source = SourceName::new(name);
        self.step(Input::Observed(Observation { source, reading: Reading::Signals(signals) }));
    }

    /// Begins what was asked for: its kind and key.
    fn take(&mut self, wanted: fn(&ActionKind) -> bool) -> Option<ActionRequest> {
        let at = self.asked.iter().position(|request| wanted(&request.kind))?;
        Some(self.asked.remove(at))
    }

    fn end(&mut self, request: &ActionRequest, outcome: Outcome) {
        self.step(Input::Finished { key: request.key, outcome });
    }

    fn intrude(&mut self, what: Intrusion) {
        match what {
            Intrusion::Key => touch(&self.tree, "/dev/pts/0", NOON + self.now_ms / 1000),
            Intrusion::Terminal => touch(&self.tree, "/dev/pts/9", NOON - 3600),
            Intrusion::Reopened => {
                self.tree.remove("/dev/pts/0");
                touch(&self.tree, "/dev/pts/0", NOON + self.now_ms / 1000);
            }
            Intrusion::Logout => self.tree.remove("/dev/pts/1"),
            Intrusion::Hold => {
                let actor = Actor { uid: 1000, admin: false, name: "alice".to_owned() };
                let hold =
                    Command::Hold { for_ms: 3_600_000, reason: "a demo".to_owned(), pid: None };
                self.step(Input::Command { actor, command: hold });
            }
        }
    }
}

fn done() -> Outcome {
    Outcome::Done { detail: String::new() }
}

/// Walks the way with one intrusion before the step with this number; whether the request left, and the name of the
/// step. None: there are not so many steps.
fn walk(hook: bool, what: Intrusion, at: usize, sampled: bool) -> Option<(bool, &'static str)> {
    let mut way = Way::new(hook);
    let (mut step, mut name) = (0, None);
    // Each step is a moment at which everything else of the agent and of the world may run.
    let mut moment = |way: &mut Way, here: &'static str| {
        if step == at {
            way.intrude(what);
            name = Some(here);
        }
        step += 1;
        way.now_ms += 7;
    };
    let rounds = if hook { 2 } else { 1 };
    for round in 0..rounds {
        let Some(reread) = way.take(|kind| *kind == ActionKind::Reread) else { break };
        moment(&mut way, "after the reading was asked for");
        way.read("cpu");
        moment(&mut way, "between two sources");
        way.read("input");
        moment(&mut way, "after the reading, before its end is told");
        way.end(&reread, done());
        if round + 1 < rounds {
            let Some(hook) = way.take(|kind| matches!(kind, ActionKind::Hook { .. })) else {
                break;
            };
            moment(&mut way, "while the hook runs");
            way.read("input");
            moment(&mut way, "when the hook ends");
            way.end(&hook, done());
            for _ in 0..4 {
                way.now_ms += 9_000;
                way.read("cpu");
                moment(&mut way, "while the counters settle");
                way.read("input");
            }
        }
    }
    let call = way.take(|kind| matches!(kind, ActionKind::Power { .. }));
    let mut left = false;
    if let Some(call) = call {
        let gate = way.interlock.gate(call.key);
        moment(&mut way, "after the decision was saved");
        moment(&mut way, "while the identity is read");
        if sampled {
            way.read("input");
        }
        moment(&mut way, "while the connection is made");
        left = gate().is_ok();
        let outcome = if left { done() } else { Outcome::Withheld { because: "used".to_owned() } };
        moment(&mut way, "after the request left");
        way.end(&call, outcome);
    }
    assert_ne!(left, way.called_off, "{what:?} at {name:?}: told one thing and did the other");
    name.map(|name| (left, name))
}

#[test]
fn whatever_comes_before_the_request_leaves_holds_it_back_in_every_order() {
    let mut orders = 0;
    for hook in [false, true] {
        for sampled in [false, true] {
            for what in [Intrusion::Key, Intrusion::Terminal, Intrusion::Reopened, Intrusion::Hold]
            {
                for at in 0.. {
                    let Some((left, moment)) = walk(hook, what, at, sampled) else { break };
                    let late = moment == "after the request left";
                    assert_eq!(left, late, "{what:?} {moment} (hook {hook}, sampled {sampled})");
                    orders += 1;
                }
            }
        }
    }
    assert_eq!(orders, 2 * 4 * (7 + 16), "moments of the way that were tried");
}

#[test]
fn somebody_who_leaves_does_not_hold_it_back() {
    for at in 0..7 {
        let (left, moment) = walk(false, Intrusion::Logout, at, true).unwrap();
        assert!(left, "a logout {moment}");
    }
}

fn key(number: u64) -> Key {
    Key(number)
}

#[test]
fn nothing_passes_before_the_terminals_were_looked_at() {
    let tree = Tree::new();
    let interlock = Interlock::new(tree.root());
    let error = interlock.gate(key(1))().unwrap_err();
    assert!(error.contains("could not be looked at"), "{error}");
    interlock.arm();
    assert_eq!(interlock.gate(key(1))(), Ok(()), "a machine without terminals has none to look at");
}

#[test]
fn a_last_look_that_fails_is_no_leave_to_go() {
    let tree = Tree::new();
    touch(&tree, "/dev/pts/0", NOON);
    let interlock = Interlock::new(tree.root());
    interlock.arm();
    tree.remove("/dev/pts/0");
    std::fs::remove_dir(tree.path("/dev/pts")).unwrap();
    tree.file("/dev/pts", "no folder any more");
    assert!(interlock.gate(key(1))().unwrap_err().contains("the last look failed"));
}

#[test]
fn only_the_withdrawn_call_is_held_back() {
    let interlock = Interlock::new(Tree::new().root());
    interlock.arm();
    interlock.withdraw(key(7));
    assert_eq!(interlock.gate(key(7))(), Err("it was withdrawn".to_owned()));
    assert_eq!(interlock.gate(key(8))(), Ok(()));
}

#[test]
fn terminals_are_left_out_where_their_source_is_switched_off() {
    let tree = Tree::new();
    touch(&tree, "/dev/pts/0", NOON);
    let interlock = Interlock::new(tree.root());
    interlock.watch(false);
    interlock.arm();
    touch(&tree, "/dev/pts/0", NOON + 50);
    assert_eq!(interlock.gate(key(1))(), Ok(()));
    interlock.watch(true);
    assert!(interlock.gate(key(1))().is_err());
}

#[test]
fn a_console_that_nobody_is_logged_in_on_is_read_by_no_person() {
    let tree = Tree::new();
    touch(&tree, "/dev/ttyS0", NOON);
    let interlock = Interlock::new(tree.root());
    interlock.arm();
    touch(&tree, "/dev/ttyS0", NOON + 50);
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: the files of this test belong to an ordinary user");
        return;
    }
    assert_eq!(interlock.gate(key(1))(), Ok(()));
}
