//! The real loop in virtual time: a store that can fail, hands that only note, readings from a script.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use agent_core::action::ActionKind;
use agent_core::action::Power;
use agent_core::input::{Ability, Actor, Command};
use agent_core::interruption::{Due, InterruptionPolicy, Notice, Noticed, SpotAction};
use agent_core::memory::Recovery;
use agent_core::policy::{Combine, HoldPolicy, IdlePolicy, Mode, Policy, SourcePolicy, TagPolicy};
use agent_core::reading::{Reading, Signal, SourceName, Value};
use agent_core::verdict::Stage;

use super::*;

thread_local! {
    static START: Cell<Option<tokio::time::Instant>> = const { Cell::new(None) };
}

/// An hour after boot plus the virtual time since the test began.
fn virtual_clock() -> Stamp {
    let start = START.with(|s| {
        s.get().unwrap_or_else(|| {
            let now = tokio::time::Instant::now();
            s.set(Some(now));
            now
        })
    });
    let ms = u64::try_from(start.elapsed().as_millis()).unwrap();
    Stamp::new(3_600_000 + ms, 0, 1_700_000_000_000 + i64::try_from(ms).unwrap())
}

#[derive(Clone, Debug, Default)]
struct Disk {
    full: Rc<Cell<bool>>,
    log: Rc<RefCell<Vec<String>>>,
}

impl Store for Disk {
    fn save_memory(&mut self, _now: Stamp, memory: &Memory) -> Result<(), String> {
        if self.full.get() {
            return Err("no space left on device".into());
        }
        let intent = memory.intent.as_ref().map(|i| (i.hook, i.call));
        self.log.borrow_mut().push(format!("saved {intent:?}"));
        Ok(())
    }

    fn save_alerts(&mut self, interruptions: &Interruptions) -> Result<(), String> {
        let runs = interruptions.alerts.iter().flat_map(|a| &a.drain).flat_map(|d| &d.runs);
        let states: Vec<_> = runs.map(|run| run.state.as_str()).collect();
        self.log.borrow_mut().push(format!("noted {states:?}"));
        if self.full.get() { Err("no space left on device".into()) } else { Ok(()) }
    }

    fn save_clock(&mut self, clock: &IdleClock) -> Result<(), String> {
        self.log.borrow_mut().push(format!("clock {}", clock.intent.is_some()));
        Ok(())
    }

    fn report(&mut self, _now: Stamp, kind: &str, report: &Report<'_>) -> Result<String, String> {
        assert!(!report.events.is_empty() && !report.view.sources.is_empty());
        self.log.borrow_mut().push(format!("report {kind}"));
        Ok(kind.to_owned())
    }

    fn append(&mut self, _now: Stamp, decision: &Decision, durable: bool) -> Result<(), String> {
        if durable {
            self.log.borrow_mut().push(format!("ledger {:?}", decision.stage));
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
struct Noting {
    log: Rc<RefCell<Vec<String>>>,
    started: Rc<RefCell<Vec<(ActionRequest, Duration)>>>,
    stage: Rc<Cell<Option<Stage>>>,
    alive: Rc<Cell<u32>>,
    shown: Rc<RefCell<Option<View>>>,
    pids: Rc<RefCell<Vec<u32>>>,
    to: Option<mpsc::WeakSender<Message>>,
    problems: Rc<RefCell<Vec<Option<String>>>>,
}

impl Hands for Noting {
    fn start(&mut self, request: ActionRequest) {
        self.log.borrow_mut().push(format!("start {}", request.kind.name()));
        let at = virtual_clock().boot().saturating_sub(Duration::from_hours(1));
        self.started.borrow_mut().push((request.clone(), at));
        let Some(to) = self.to.as_ref().and_then(mpsc::WeakSender::upgrade) else { return };
        let message = match request.kind {
            ActionKind::Reread => {
                Message::Sampled { observations: idle(), answers: Some(request.key) }
            }
            ActionKind::Preflight => Message::Abilities {
                key: Some(request.key),
                abilities: Abilities {
                    instance_id: Some("i-0123456789abcdef0".into()),
                    hibernate: Ability::Can,
                    stop: Ability::Can,
                    member: false,
                },
            },
            _ => Message::Finished {
                key: request.key,
                outcome: Outcome::Done { detail: "fine".into() },
            },
        };
        tokio::spawn(async move { to.send(message).await });
    }

    fn tell(&mut self, _now: Stamp, decision: &Decision) {
        self.stage.set(Some(decision.stage));
        if !decision.events.is_empty() {
            self.log.borrow_mut().push("told".to_owned());
        }
    }

    fn show(&mut self, view: View) {
        *self.shown.borrow_mut() = Some(view);
    }

    fn follow(&mut self, memory: &Memory) {
        *self.pids.borrow_mut() = memory.holds.pids().map(|(pid, _)| pid).collect();
    }

    fn alive(&mut self, _view: &View) {
        self.alive.set(self.alive.get() + 1);
    }

    fn reported(&mut self, kind: &str, result: Result<String, String>) {
        self.log.borrow_mut().push(format!("told {kind} {}", result.is_ok()));
    }

    fn storage(&mut self, problem: Option<&str>) {
        self.problems.borrow_mut().push(problem.map(str::to_owned));
    }
}

fn idle() -> Vec<Observation> {
    cpu_at(0)
}

fn cpu_at(total: u64) -> Vec<Observation> {
    vec![Observation {
        source: SourceName::new("cpu"),
        reading: Reading::Signals(vec![Signal::new("user.slice", Value::Counter { total })]),
    }]
}

fn policy(hook: bool) -> Policy {
    let cpu = SourcePolicy {
        enabled: true,
        busy_above: 0.05,
        unit: "core".into(),
        scale: 1e-6,
        average: Duration::from_mins(1),
        interval: Duration::from_secs(10),
        combine: Combine::Sum,
        limits: None,
    };
    Policy {
        mode: Mode::Enforce,
        profile: "test".into(),
        gap: Duration::from_mins(1),
        idle: IdlePolicy {
            enabled: true,
            quiet_after: Duration::from_mins(5),
            act_after: Duration::from_mins(30),
            connected_after: Duration::from_hours(1),
            job_after: Duration::from_hours(4),
            least_run: Duration::ZERO,
            action: Some(Power::Hibernate),
            fallback_stop: true,
            warn_before: vec![Duration::from_mins(10), Duration::from_mins(1)],
            boot_grace: Duration::ZERO,
            resume_grace: Duration::ZERO,
            hook,
            standby: false,
            verify_after: Duration::from_mins(10),
        },
        hold: HoldPolicy { user_max: Duration::from_hours(2), admin_max: Duration::from_hours(72) },
        tags: TagPolicy { enabled: true, interval: Duration::from_mins(1) },
        interruption: InterruptionPolicy::default(),
        sources: BTreeMap::from([(SourceName::new("cpu"), cpu)]),
    }
}

/// An inbox that nobody writes to.
fn nothing_urgent() -> mpsc::Receiver<Message> {
    mpsc::channel(1).1
}

/// Runs the loop over `rounds` idle rounds of ten seconds.
async fn run(disk: Disk, mut hands: Noting, hook: bool, rounds: u64) {
    let (tx, inbox) = mpsc::channel(64);
    hands.to = Some(tx.downgrade());
    let engine = Engine::new(policy(hook), Recovery::default(), virtual_clock());
    let shell = Shell::new(engine, virtual_clock, disk, hands);
    let feeder = async move {
        for _ in 0..rounds {
            tx.send(Message::Sampled { observations: cpu_at(0), answers: None }).await.unwrap();
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        tx.send(Message::Shutdown).await.unwrap();
    };
    tokio::join!(shell.run(inbox, nothing_urgent()), feeder);
}

fn names(hands: &Noting) -> Vec<&'static str> {
    hands.started.borrow().iter().map(|(r, _)| r.kind.name()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_idle_machine_is_warned_checked_again_and_hibernated_on_time() {
    let (disk, hands) = (Disk::default(), Noting::default());
    run(disk, hands.clone(), true, 200).await;
    let started: Vec<_> = names(&hands).into_iter().filter(|n| *n != "tag").collect();
    assert_eq!(
        started,
        ["preflight", "warn", "preflight", "warn", "reread", "hook", "reread", "hibernate"],
        "warned twice, its tags looked at after the first, read again before the hook and before the call"
    );
    let call = hands
        .started
        .borrow()
        .iter()
        .find(|(r, _)| r.kind.name() == "hibernate")
        .map(|(_, at)| *at);
    let call = call.unwrap();
    let due = Duration::from_mins(30);
    assert!(call >= due && call < due + Duration::from_mins(1), "called after {call:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_destructive_is_on_disk_before_it_starts() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let disk = Disk { log: Rc::clone(&log), ..Disk::default() };
    let hands = Noting { log: Rc::clone(&log), ..Noting::default() };
    run(disk, hands, true, 200).await;
    let log = log.borrow();
    let at = |what: &str| {
        log.iter().position(|l| l == what).unwrap_or_else(|| panic!("no '{what}' in {log:#?}"))
    };
    assert!(at("clock true") < at("saved Some((NotStarted, NotSent))"), "the clock is saved first");
    assert!(at("saved Some((Started, NotSent))") < at("start hook"));
    assert!(at("saved Some((Ended, Sent))") < at("start hibernate"));
    assert!(at("ledger Draining") < at("start hook"));
    assert!(at("ledger Acting") < at("start hibernate"));
    assert!(at("start hibernate") < at("report accepted"));
    assert!(at("report accepted") < at("told accepted true"));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_prevents_hook_and_call_and_is_told() {
    let (disk, hands) = (Disk::default(), Noting::default());
    disk.full.set(true);
    run(disk.clone(), hands.clone(), true, 400).await;
    let started = names(&hands);
    assert!(!started.contains(&"hook") && !started.contains(&"hibernate"), "{started:?}");
    assert!(
        hands.problems.borrow().iter().flatten().any(|p| p.contains("no space left")),
        "{:?}",
        hands.problems
    );
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_is_fed_by_rounds_of_readings_only() {
    let (disk, hands) = (Disk::default(), Noting::default());
    run(disk, hands.clone(), false, 12).await;
    // Twelve rounds of the feeder; the ticks in between feed nothing.
    assert_eq!(hands.alive.get(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_command_is_answered_also_when_nobody_waits_for_the_answer() {
    let (tx, inbox) = mpsc::channel(8);
    let engine = Engine::new(policy(false), Recovery::default(), virtual_clock());
    let shell = Shell::new(engine, virtual_clock, Disk::default(), Noting::default());
    let asking = async move {
        let actor = Actor { uid: 1000, admin: false, name: "alice".into() };
        let hold = |reason: &str| Input::Command {
            actor: actor.clone(),
            command: Command::Hold { for_ms: 60_000, reason: reason.into(), pid: None },
        };
        let (reply, dropped) = oneshot::channel();
        drop(dropped);
        tx.send(Message::Command { input: hold("first"), reply }).await.unwrap();
        let (reply, answer) = oneshot::channel();
        tx.send(Message::Command { input: hold("second"), reply }).await.unwrap();
        let answer = answer.await.unwrap();
        tx.send(Message::Shutdown).await.unwrap();
        answer
    };
    let ((), answer) = tokio::join!(shell.run(inbox, nothing_urgent()), asking);
    assert!(matches!(answer, Reply::Held { hold: 2, capped: false, .. }), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_answered_finds_the_hold_in_the_picture_and_its_process_is_watched() {
    let (tx, inbox) = mpsc::channel(8);
    let hands = Noting::default();
    let engine = Engine::new(policy(false), Recovery::default(), virtual_clock());
    let shell = Shell::new(engine, virtual_clock, Disk::default(), hands.clone());
    let asking = async move {
        let actor = Actor { uid: 1000, admin: false, name: "alice".into() };
        let command = Command::Hold { for_ms: 60_000, reason: "run".into(), pid: Some(77) };
        let (reply, answer) = oneshot::channel();
        let input = Input::Command { actor, command };
        tx.send(Message::Command { input, reply }).await.unwrap();
        answer.await.unwrap();
        let seen = hands.shown.borrow().as_ref().map(|v| v.holds.len());
        let pids = hands.pids.borrow().clone();
        tx.send(Message::Shutdown).await.unwrap();
        (seen, pids)
    };
    let ((), (seen, pids)) = tokio::join!(shell.run(inbox, nothing_urgent()), asking);
    assert_eq!(seen, Some(1));
    assert_eq!(pids, [77]);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_nobody_can_reach_ends() {
    let (tx, inbox) = mpsc::channel::<Message>(1);
    drop(tx);
    let engine = Engine::new(policy(false), Recovery::default(), virtual_clock());
    Shell::new(engine, virtual_clock, Disk::default(), Noting::default())
        .run(inbox, nothing_urgent())
        .await;
}

/// A policy with two hooks.
fn draining() -> Policy {
    let mut policy = policy(false);
    policy.interruption.enabled = true;
    policy.interruption.hooks = vec!["/opt/save".into(), "stop web.service".into()];
    policy
}

fn spot() -> Message {
    let now = virtual_clock();
    Message::Input(Input::Noticed(Noticed {
        notice: Notice::Spot { action: SpotAction::Terminate },
        due: Some(Due { wall_ms: now.wall_ms + 120_000, left_ms: 120_000 }),
        own_clock: false,
    }))
}

/// Runs the loop while a spot notice comes in; what happened, in order.
async fn interrupted(full: bool) -> Vec<String> {
    let log = Rc::new(RefCell::new(Vec::new()));
    let disk = Disk { full: Rc::new(Cell::new(full)), log: Rc::clone(&log) };
    let (tx, inbox) = mpsc::channel(64);
    let (urgent_tx, urgent) = mpsc::channel(8);
    let hands =
        Noting { log: Rc::clone(&log), to: Some(urgent_tx.downgrade()), ..Noting::default() };
    let engine = Engine::new(draining(), Recovery::default(), virtual_clock());
    let shell = Shell::new(engine, virtual_clock, disk, hands);
    let world = async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        log.borrow_mut().clear();
        urgent_tx.send(spot()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        tx.send(Message::Shutdown).await.unwrap();
        log
    };
    let ((), log) = tokio::join!(shell.run(inbox, urgent), world);
    log.take()
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_noted_and_started_before_anything_is_saved_told_or_sent() {
    let log = interrupted(false).await;
    let at = |what: &str| {
        log.iter().position(|l| l == what).unwrap_or_else(|| panic!("no '{what}' in {log:#?}"))
    };
    assert_eq!(log[..2], [r#"noted ["started", "waiting"]"#, "start drain"], "{log:#?}");
    assert!(at("start drain") < at("saved None"));
    assert!(at("saved None") < at("told"));
    assert!(at("told") < at("start notify"));
    assert!(at("report drained") > at("start notify"));
    let hooks = log.iter().filter(|line| *line == "start drain").count();
    assert_eq!(hooks, 2, "each once: {log:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_keeps_no_hook_of_an_interruption_from_starting() {
    let log = interrupted(true).await;
    assert_eq!(log.iter().filter(|line| *line == "start drain").count(), 2, "{log:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_urgent_does_not_wait_behind_a_full_inbox() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let (tx, inbox) = mpsc::channel(64);
    let (urgent_tx, urgent) = mpsc::channel(8);
    for _ in 0..60 {
        tx.send(Message::Sampled { observations: idle(), answers: None }).await.unwrap();
    }
    urgent_tx.send(spot()).await.unwrap();
    tx.send(Message::Shutdown).await.unwrap();
    let hands = Noting { log: Rc::clone(&log), ..Noting::default() };
    let alive = Rc::clone(&hands.alive);
    let engine = Engine::new(draining(), Recovery::default(), virtual_clock());
    let disk = Disk { log: Rc::clone(&log), ..Disk::default() };
    let rounds = Rc::new(Cell::new(None));
    let seen = Rc::clone(&rounds);
    let watch = async move {
        loop {
            if log.borrow().iter().any(|line| line == "start drain") {
                seen.set(Some(alive.get()));
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let shell = Shell::new(engine, virtual_clock, disk, hands);
    tokio::join!(shell.run(inbox, urgent), watch);
    assert_eq!(rounds.get(), Some(0), "it came before every reading");
}
