//! Simulations of small machines, as people and programs see them.

use agent_core::action::Power;
use agent_core::input::{Actor, Command};
use agent_core::interruption::InterruptionPolicy;
use agent_core::policy::{
    Combine, HoldPolicy, IdlePolicy, Limits, Mode, RoleLimits, SourcePolicy, TagPolicy,
};
use agent_core::reading::{Observation, Reading, Signal, Value};
use agent_core::trace::{ACCOUNTS, Boot, Line};
use jiff::tz::TimeZone;

use super::anonymous::Names;
use super::text::{Look, text};
use super::*;

const TEN_S: u64 = 10_000;
/// 2026-11-18 08:00:00 UTC.
const WALL: i64 = 1_794_988_800_000;

fn policy() -> Policy {
    let source = |busy_above: f64, scale: f64| SourcePolicy {
        enabled: true,
        busy_above,
        unit: "core".to_owned(),
        scale,
        average: Duration::from_mins(1),
        interval: Duration::from_millis(TEN_S),
        combine: Combine::Sum,
        limits: None,
    };
    Policy {
        mode: Mode::Observe,
        profile: "research".to_owned(),
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
            warn_before: [10, 1].map(Duration::from_mins).to_vec(),
            boot_grace: Duration::ZERO,
            resume_grace: Duration::from_mins(15),
            hook: false,
            standby: false,
            verify_after: Duration::from_mins(5),
        },
        hold: HoldPolicy { user_max: Duration::from_hours(8), admin_max: Duration::from_hours(72) },
        tags: TagPolicy { enabled: true, interval: Duration::from_mins(1) },
        interruption: InterruptionPolicy::default(),
        sources: BTreeMap::from([
            (SourceName::new("cpu"), source(0.05, 1e-6)),
            (SourceName::new("input"), source(0.0, 1.0)),
        ]),
    }
}

fn stamp(ms: u64) -> Stamp {
    Stamp::new(ms, 0, WALL.saturating_add_unsigned(ms))
}

fn minutes(count: u64) -> u64 {
    count * 60_000
}

/// A machine in which alice types and bob computes in these minutes, read every ten seconds.
fn records(until: u64, typed: &[(u64, u64)], computes: &[(u64, u64)]) -> Vec<Record> {
    let within = |spans: &[(u64, u64)], ms: u64| {
        spans.iter().any(|(from, to)| (minutes(*from)..minutes(*to)).contains(&ms))
    };
    let (mut total, mut mark) = (0, 0);
    let mut records = Vec::new();
    for ms in (0..minutes(until)).step_by(10_000) {
        total += if within(computes, ms) { 8_000_000 } else { 10_000 };
        mark += u64::from(within(typed, ms));
        let cpu = Signal::new("job.service", Value::Counter { total }).owned_by("bob");
        let pty = Signal::new("pts/0", Value::Mark { mark, age_ms: None }).owned_by("alice");
        let inputs = [("cpu", cpu), ("input", pty)].map(|(source, signal)| {
            let reading = Reading::Signals(vec![signal]);
            Input::Observed(Observation { source: SourceName::new(source), reading })
        });
        records.push(Record::inputs(stamp(ms), inputs.to_vec()));
    }
    records
}

fn simulated(records: Vec<Record>, tried: Option<Policy>) -> Simulation {
    let policies = Policies { tried, own: policy() };
    run(records.into_iter().map(Ok), policies, &mut |_| {}).unwrap().unwrap()
}

fn shown(simulation: &Simulation, all: bool) -> String {
    let look = Look { zone: TimeZone::UTC, all, price: Some(0.42) };
    text(simulation, "t.jsonl", "the configuration of this machine", &look)
}

#[test]
fn people_see_what_would_have_happened_when_and_what_it_saves() {
    let records = records(400, &[(0, 5), (30, 40), (300, 310)], &[]);
    let simulation = simulated(records, None);
    let expected = "\
Trace    t.jsonl, 2026-11-18 08:00:00 to 2026-11-18 14:39:50 UTC
Policy   the configuration of this machine: profile research, hibernate after 30m

  2026-11-18 08:24:50  warned       would hibernate in 10m; no use for 20m: cpu 0.001/0.05 core; input 20m ago
  2026-11-18 08:30:00  called off   the machine is used: input (pts/0, alice)
  2026-11-18 08:59:50  warned       would hibernate in 10m; no use for 20m: cpu 0.001/0.05 core; input 20m ago
  2026-11-18 09:09:50  hibernated   idle since 2026-11-18 08:39:50; no use for 30m: cpu 0.001/0.05 core; input 30m ago
  2026-11-18 13:00:00  used again   input (pts/0, alice)
  2026-11-18 13:29:50  warned       would hibernate in 10m; no use for 20m: cpu 0.001/0.05 core; input 20m ago
  2026-11-18 13:39:50  hibernated   idle since 2026-11-18 13:09:50; no use for 30m: cpu 0.001/0.05 core; input 30m ago

Off 2 times, for 4h50m of 6h39m recorded (72 %): 2.03 USD saved at 0.42 USD/h.
Nobody would have been interrupted: no use within 10 minutes after it.
";
    assert_eq!(shown(&simulation, false), expected.replace("0.001/", "0/"));
    assert!(shown(&simulation, true).contains("08:09:50  quiet "));
}

#[test]
fn who_would_have_been_interrupted_is_named() {
    let mut tried = policy();
    tried.idle.action = Some(Power::Stop);
    let records = records(60, &[(0, 5), (38, 39)], &[]);
    let simulation = simulated(records, Some(tried));
    let text = shown(&simulation, false);
    assert!(text.contains("Interrupted once:\n"), "{text}");
    assert!(text.contains("  2026-11-18 08:34:50  stopped, memory lost\n"), "{text}");
    assert!(text.contains("    input (pts/0, alice): in use 3m later\n"), "{text}");
}

#[test]
fn a_policy_that_overlooks_work_is_not_the_judge_of_it() {
    let mut tried = policy();
    tried.sources.get_mut(&SourceName::new("cpu")).unwrap().enabled = false;
    let simulation = simulated(records(90, &[(0, 5)], &[(0, 90)]), Some(tried));
    let text = shown(&simulation, false);
    assert!(text.contains("    cpu (job.service, bob): in use as it happened\n"), "{text}");
    let simulation = simulated(records(90, &[(0, 5)], &[(0, 90)]), None);
    assert!(
        shown(&simulation, false).contains("Nothing would have been done in 89m"),
        "{simulation:?}"
    );
}

#[test]
fn the_policy_of_the_trace_serves_where_none_is_given() {
    let mut carried = policy();
    carried.idle.act_after = Duration::from_mins(20);
    carried.profile = "sandbox".to_owned();
    let boot = Boot { id: "b".to_owned(), policy: Some(carried), ..Boot::default() };
    let mut all = vec![Record::boot(stamp(0), boot)];
    all.extend(records(60, &[(0, 5)], &[]));
    let simulation = simulated(all.clone(), None);
    assert!(simulation.carried);
    assert_eq!(simulation.downs[0].from, stamp(290_000 + minutes(20)));
    let simulation = simulated(all, Some(policy()));
    assert!(!simulation.carried);
    assert_eq!(simulation.downs[0].from, stamp(290_000 + minutes(30)));
}

#[test]
fn what_the_trace_lacks_is_left_out_and_said() {
    let mut tried = policy();
    let mut source = tried.sources[&SourceName::new("cpu")].clone();
    source.interval = Duration::from_secs(1);
    tried.sources.insert(SourceName::new("gpu"), source.clone());
    tried.sources.insert(SourceName::new("cpu"), source);
    let simulation = simulated(records(60, &[(0, 5)], &[]), Some(tried));
    assert_eq!(simulation.downs.len(), 1, "it is not blind for ever");
    let notes = [
        "source 'gpu' is not in the trace and is left out",
        "the policy reads more often than the trace; its 10s are kept",
    ];
    assert_eq!(simulation.notes, notes);
}

#[test]
fn programs_get_one_document_and_the_same_every_time() {
    let document = || {
        let simulation = simulated(records(100, &[(0, 5)], &[]), None);
        simulation.document("t.jsonl", "x", Some(1.0))
    };
    let one = document();
    assert_eq!(one, document());
    assert_eq!(one["schema"], "agentd/simulation/v1");
    assert_eq!(one["sum"]["actions"], 1);
    assert_eq!(one["sum"]["off_ms"], minutes(100) - TEN_S - 2_090_000);
    assert_eq!(one["sum"]["saved_usd"], 1.08);
    assert_eq!(one["downs"][0]["power"], "hibernate");
    assert_eq!(one["happened"][0]["what"]["told"]["event"], "became-quiet");
}

#[test]
fn an_empty_trace_gives_nothing() {
    let policies = Policies { tried: None, own: policy() };
    assert!(run(core::iter::empty(), policies, &mut |_| {}).unwrap().is_none());
}

#[test]
fn an_anonymous_trace_has_no_names_and_decides_as_before() {
    let mut all = records(60, &[(0, 5)], &[(0, 3)]);
    let actor = Actor { uid: 1000, admin: false, name: "alice".to_owned() };
    let command = Command::Hold { for_ms: minutes(10), reason: "for bob".to_owned(), pid: None };
    all.insert(40, Record::inputs(all[39].at, vec![Input::Command { actor, command }]));
    let why = "cannot read /home/alice/x of bob".to_owned();
    let blind = Observation { source: SourceName::new("other"), reading: Reading::Blind { why } };
    all.insert(41, Record::inputs(all[40].at, vec![Input::Observed(blind)]));
    let before = simulated(all.clone(), None);
    let mut names = Names::default();
    for record in &mut all {
        names.replace(record);
    }
    let written = serde_json::to_string(&all).unwrap();
    for name in ["alice", "bob", "job.service"] {
        assert!(!written.contains(name), "{name}");
    }
    assert!(written.contains("pts/0") && written.contains("\"name-1\""), "what is no name stays");
    let after = simulated(all, None);
    assert_eq!(before.downs[0].from, after.downs[0].from);
    assert_eq!(before.happened.len(), after.happened.len());
}

#[test]
fn an_exported_trace_is_plain_lines_that_simulate_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one.jsonl"), folder.path().join("two.jsonl"));
    let mut lines = vec![serde_json::to_string(&agent_core::trace::Header::new("test")).unwrap()];
    let mut encoder = agent_core::trace::Encoder::default();
    for record in records(60, &[(0, 5)], &[]) {
        let Content::Inputs(inputs) = &record.content else { continue };
        let told = inputs.iter().filter_map(|input| encoder.add(record.at, input));
        lines.extend(told.map(|line: Line| serde_json::to_string(&line).unwrap()));
    }
    std::fs::write(&one, lines.join("\n") + "\n").unwrap();
    let export = ExportRequest { to: two.clone(), anonymise: false };
    let task = SimulateTask::Export(export);
    let request = SimulateRequest { trace: Some(one.clone()), since: None, task };
    let from = crate::config::LoadFrom::System { root: folder.path().to_owned() };
    simulate(&from, folder.path(), &request);
    let read = |path: &std::path::Path| {
        let damage = crate::ledger::recorder::read::Damage::Refuse;
        let records = crate::ledger::recorder::read::Records::open(path, damage).unwrap();
        records.map(Result::unwrap).collect::<Vec<_>>()
    };
    assert!(read(&one) == read(&two) && read(&one).len() > 300);
    let text = std::fs::read_to_string(&two).unwrap();
    assert!(text.lines().skip(1).all(|line| line.starts_with("{\"at\":{")), "every line is whole");
}

/// The same machine as an agent of before accounts recorded it: services are one sum that is ignored. In these minutes they
/// use `cores`.
fn old_records(until: u64, cores: f64, at_work: (u64, u64)) -> Vec<Record> {
    let mut total = 0;
    let mut records = records(until, &[(0, 5)], &[]);
    for record in &mut records {
        let minute = record.at.boot_ms / 60_000;
        let busy = (at_work.0..at_work.1).contains(&minute);
        total += if busy { Duration::from_secs(10).mul_f64(cores).as_micros() } else { 100_000 };
        let Content::Inputs(inputs) = &mut record.content else { continue };
        let Some(Input::Observed(observation)) = inputs.first_mut() else { continue };
        let Reading::Signals(signals) = &mut observation.reading else { continue };
        let total = u64::try_from(total).unwrap();
        signals.push(Signal::new("system.slice", Value::Counter { total }).ignored());
    }
    records
}

/// The policy with the limits of roles.
fn with_limits() -> Policy {
    let mut policy = policy();
    let roles = RoleLimits {
        local_above: 0.08,
        server_above: 0.12,
        upkeep_above: 0.15,
        upkeep_together: 0.4,
        unexplained_above: 0.05,
    };
    let cpu = policy.sources.get_mut(&SourceName::new("cpu")).unwrap();
    cpu.limits = Some(Limits { roles, units: BTreeMap::new() });
    policy
}

fn simulated_old(records: Vec<Record>) -> Simulation {
    let policies = Policies { tried: Some(with_limits()), own: with_limits() };
    run(records.into_iter().map(Ok), policies, &mut |_| {}).unwrap().unwrap()
}

#[test]
fn an_old_trace_names_the_stops_that_would_be_no_more() {
    let simulation = simulated_old(old_records(60, 7.5, (8, 60)));
    assert_eq!(simulation.downs.len(), 1, "the trace itself decides as it did");
    let text = shown(&simulation, false);
    let line = "  2026-11-18 08:34:50  no more      services used 7.500 core of cpu in the idle time before; from 0.4 on that is use, whoever it was\n";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("Unknown from 2026-11-18 08:00:00 to 2026-11-18 08:59:50: "), "{text}");
    assert!(!text.contains("cannot say"), "{text}");
}

#[test]
fn of_a_stop_beside_little_work_of_services_an_old_trace_says_that_it_does_not_know() {
    // A quarter of a core: a job of somebody's, or agents. It is not said to be one of them.
    let simulation = simulated_old(old_records(60, 0.25, (8, 60)));
    let said = simulation.unaccounted.as_ref().unwrap();
    assert_eq!((said.no_more.len(), said.unknown), (0, 1));
    let text = shown(&simulation, false);
    let line = "Of 1 other stop in that time the trace cannot say whether services were at work.\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn work_of_services_before_the_idle_time_does_not_change_a_stop() {
    let simulation = simulated_old(old_records(60, 7.5, (0, 3)));
    let said = simulation.unaccounted.unwrap();
    assert_eq!((said.no_more.len(), said.unknown), (0, 1));
}

#[test]
fn a_burst_that_is_shorter_than_the_average_is_not_taken_for_work() {
    let mut all = old_records(60, 0.0, (0, 0));
    // One look with a second of a core, as logrotate has: a sixtieth of a core over a minute.
    let Content::Inputs(inputs) = &mut all[150].content else { panic!() };
    let Some(Input::Observed(observation)) = inputs.first_mut() else { panic!() };
    let Reading::Signals(signals) = &mut observation.reading else { panic!() };
    let Value::Counter { total } = &mut signals[1].value else { panic!() };
    *total += 90_000;
    assert_eq!(simulated_old(all).unaccounted.unwrap().no_more.len(), 0);
}

#[test]
fn a_trace_that_keeps_accounts_has_nothing_unknown() {
    let boot = Boot { id: "b".to_owned(), accounts: ACCOUNTS, ..Boot::default() };
    let mut all = vec![Record::boot(stamp(0), boot)];
    all.extend(old_records(60, 7.5, (8, 60)));
    let simulation = simulated_old(all);
    assert_eq!(simulation.unaccounted, None);
    assert!(!shown(&simulation, false).contains("Unknown"));
    let document = simulation.document("t.jsonl", "x", None);
    assert_eq!(document["unaccounted"], serde_json::Value::Null);
}

#[test]
fn after_the_agent_was_renewed_nothing_is_unknown_any_more() {
    let mut all = old_records(200, 7.5, (110, 200));
    let at = all.iter().position(|record| record.at.boot_ms >= minutes(100)).unwrap();
    let boot = Boot { id: "b".to_owned(), accounts: ACCOUNTS, same_boot: true, ..Boot::default() };
    all.insert(at, Record::boot(stamp(minutes(100)), boot));
    let said = simulated_old(all).unaccounted.unwrap();
    assert_eq!(said.to, stamp(minutes(100) - TEN_S));
    assert_eq!((said.no_more.len(), said.unknown), (0, 1), "only the stop before it");
}

#[test]
fn programs_get_what_an_old_trace_does_not_tell() {
    let simulation = simulated_old(old_records(60, 7.5, (8, 60)));
    let document = simulation.document("t.jsonl", "x", None);
    assert_eq!(document["unaccounted"]["unknown"], 0);
    let stop = &document["unaccounted"]["no_more"][0];
    assert_eq!((&stop["source"], &stop["unit"]), (&"cpu".into(), &"core".into()));
    assert_eq!(stop["limit"], 0.4);
    assert!(stop["value"].as_f64().unwrap() > 7.4, "{stop}");
}
