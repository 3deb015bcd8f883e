//! One source: what its readings prove, and what they do not.

use super::*;
use crate::policy::Combine;
use crate::reading::{SourceName, Value};

fn policy() -> SourcePolicy {
    SourcePolicy {
        enabled: true,
        busy_above: 0.05,
        unit: "core".to_owned(),
        scale: 1e-6,
        average: Duration::from_mins(1),
        interval: Duration::from_secs(10),
        combine: Combine::Sum,
        limits: None,
    }
}

fn at(secs: u64) -> Stamp {
    Stamp::new(secs * 1000, 0, 0)
}

fn track() -> Track {
    Track::new(at(0), policy())
}

fn signals(list: &[(&str, Value)]) -> Reading {
    Reading::Signals(list.iter().map(|(name, value)| Signal::new(*name, value.clone())).collect())
}

fn counter(total: u64) -> Value {
    Value::Counter { total }
}

fn mark(mark: u64) -> Value {
    Value::Mark { mark, age_ms: None }
}

/// Reads a counter every ten seconds, with so many CPU seconds used in each; the last effect and judgement.
fn cpu(track: &mut Track, from: u64, seconds_used: &[f64]) -> (Effect, Judgement) {
    let mut total = 1_000_000_000_u64;
    let mut last = Effect::default();
    for (n, used) in (0_u64..).zip(seconds_used) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let grown = (used * 1e6) as u64;
        total += grown;
        last = track.observe(at(from + n * 10), signals(&[("user", counter(total))]));
    }
    (last, track.judgement())
}

#[test]
fn a_source_is_unknown_until_it_was_read() {
    assert_eq!(track().judgement(), Judgement::Blind);
    assert_eq!(track().detail(), Some("not read yet"));
    assert!(!track().is_fault(), "waiting is no fault");
}

#[test]
fn a_counter_is_unknown_until_it_was_read_twice() {
    let mut track = track();
    let (effect, judgement) = cpu(&mut track, 10, &[5.0]);
    assert_eq!((effect, judgement), (Effect::default(), Judgement::Blind));
    assert_eq!(track.detail(), Some("waiting for a second reading"));
    track.observe(at(20), signals(&[("user", counter(1_005_000_000))]));
    assert_eq!(track.judgement(), Judgement::Idle);
}

#[test]
fn a_counter_that_grows_is_use_at_the_end_of_the_reading() {
    let mut track = track();
    let (effect, judgement) = cpu(&mut track, 10, &[0.0, 10.0]);
    assert_eq!(judgement, Judgement::Busy);
    assert_eq!(effect.used_at, Some(at(20)));
    assert!(!effect.touched, "nobody touched anything");
    assert_eq!(track.leading(), Some(("user", None)));
}

#[test]
fn use_ends_with_the_work_though_the_mean_still_tells_of_it() {
    let mut track = track();
    let (effect, judgement) = cpu(&mut track, 10, &[0.0, 10.0, 10.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(effect.used_at, Some(at(30)));
    assert_eq!(judgement, Judgement::Idle);
    assert!(track.value().unwrap() < 0.05, "{:?}", track.value());
}

#[test]
fn many_small_subjects_are_one_load() {
    let mut track = track();
    let read = |total: u64| {
        let list: Vec<(String, Value)> =
            (0..10).map(|n| (format!("job{n}"), counter(total))).collect();
        let list = list.iter().map(|(name, v)| Signal::new(name.as_str(), v.clone())).collect();
        Reading::Signals(list)
    };
    track.observe(at(10), read(0));
    // Each of ten uses 0.03 core in the only slice of a minute: 0.3 core × 10 s over 60 s is 0.05 core.
    let effect = track.observe(at(20), read(300_000));
    assert_eq!(effect.used_at, Some(at(20)));
}

#[test]
fn a_subject_that_appears_has_grown_all_that_it_is() {
    let mut track = track();
    track.observe(at(10), signals(&[]));
    let effect = track.observe(at(20), signals(&[("new", counter(8_000_000))]));
    assert_eq!(effect.used_at, Some(at(20)));
}

#[test]
fn what_is_ignored_neither_counts_nor_blinds() {
    let mut track = track();
    let read = |total| Reading::Signals(vec![Signal::new("system", counter(total)).ignored()]);
    track.observe(at(10), read(50_000_000));
    let effect = track.observe(at(20), read(90_000_000));
    assert_eq!((effect.used_at, track.judgement()), (None, Judgement::Idle));
    track.observe(at(30), read(0));
    assert_eq!(track.judgement(), Judgement::Idle, "an ignored counter may run backwards");
    assert_eq!(track.view(&SourceName::new("cpu")).signals[0].judgement, Judgement::Ignored);
}

#[test]
fn a_counter_that_runs_backwards_is_blind_for_one_reading() {
    let mut track = track();
    cpu(&mut track, 10, &[0.0, 0.0]);
    let effect = track.observe(at(30), signals(&[("user", counter(5))]));
    assert!(effect.became_blind);
    assert_eq!(track.detail(), Some("counter of 'user' went backwards"));
    let effect = track.observe(at(40), signals(&[("user", counter(6))]));
    assert_eq!(effect.back_after_ms, Some(10_000));
    assert_eq!(track.judgement(), Judgement::Idle);
}

#[test]
fn levels_are_compared_as_they_are_and_the_highest_counts() {
    let mut track = track();
    let level = |value| Value::Level { value };
    let effect = track.observe(at(10), signals(&[("a", level(0.01)), ("b", level(0.07))]));
    assert_eq!(effect.used_at, Some(at(10)));
    assert_eq!(track.value(), Some(0.07));
    assert_eq!(track.leading(), Some(("b", None)));
    let effect = track.observe(at(20), signals(&[("a", level(0.01)), ("b", level(0.0))]));
    assert_eq!((effect.used_at, track.judgement()), (None, Judgement::Idle));
}

#[test]
fn a_level_that_cannot_be_is_blind_and_not_idle() {
    for level in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        let mut track = track();
        let effect = track.observe(at(10), signals(&[("gpu0", Value::Level { value: level })]));
        assert!(effect.became_blind, "{level}");
        assert_eq!(track.judgement(), Judgement::Blind, "{level}");
    }
}

#[test]
fn the_first_mark_is_no_use_and_a_change_is() {
    let mut track = track();
    let first = Value::Mark { mark: 100, age_ms: Some(4000) };
    let effect = track.observe(at(10), signals(&[("pts/0", first)]));
    assert_eq!((effect.used_at, track.judgement()), (None, Judgement::Idle));
    let effect = track.observe(at(20), signals(&[("pts/0", mark(99))]));
    // Backwards too: a stepped wall clock must not hide a key.
    assert_eq!((effect.used_at, effect.touched), (Some(at(20)), true));
    assert_eq!(track.last_activity(), Some(at(20)));
}

#[test]
fn a_mark_that_stays_is_no_use() {
    let mut track = track();
    for n in 1..50 {
        let effect = track.observe(at(n * 10), signals(&[("pts/0", mark(7))]));
        assert_eq!(effect.used_at, None);
    }
}

#[test]
fn a_terminal_that_appears_is_use_and_one_that_goes_is_not() {
    let mut track = track();
    track.observe(at(10), signals(&[]));
    let effect = track.observe(at(20), signals(&[("pts/1", mark(7))]));
    assert!(effect.touched);
    let effect = track.observe(at(30), signals(&[]));
    assert!(!effect.touched);
}

#[test]
fn marks_are_remembered_over_a_restart_of_the_agent() {
    let mut known = track();
    known.remember("pts/0".to_owned(), 7);
    known.remember_all();
    let mut other = known.clone();
    let effect = known.observe(at(10), signals(&[("pts/0", mark(7))]));
    assert!(!effect.touched, "an old terminal is not a new one");
    let effect = other.observe(at(10), signals(&[("pts/0", mark(8)), ("pts/1", mark(1))]));
    assert!(effect.touched, "a key was pressed meanwhile");
    assert_eq!(other.marks().collect::<Vec<_>>(), [("pts/0", 8), ("pts/1", 1)]);
}

#[test]
fn what_was_touched_counts_although_the_rest_is_garbage() {
    let mut track = track();
    track.observe(at(10), signals(&[("tx", counter(100)), ("pts/0", mark(1))]));
    let effect = track.observe(at(20), signals(&[("tx", counter(1)), ("pts/0", mark(2))]));
    assert_eq!(track.judgement(), Judgement::Blind);
    assert_eq!((effect.touched, effect.used_at), (true, Some(at(20))));
}

#[test]
fn a_block_lasts_until_its_cap_and_expires_once() {
    let mut track = track();
    let block = || signals(&[("dpkg", Value::Blocks { cap_ms: 25_000 })]);
    track.observe(at(10), block());
    assert_eq!(track.judgement(), Judgement::Blocks);
    let effect = track.observe(at(30), block());
    assert!(effect.expired.is_empty());
    let effect = track.observe(at(40), block());
    assert_eq!(effect.expired, ["dpkg"]);
    assert_eq!(track.judgement(), Judgement::Idle);
    let effect = track.observe(at(50), block());
    assert!(effect.expired.is_empty(), "told once");
    track.observe(at(60), signals(&[]));
    track.observe(at(70), block());
    assert_eq!(track.judgement(), Judgement::Blocks, "a new block has its own cap");
}

#[test]
fn a_block_is_not_use() {
    let mut track = track();
    let effect = track.observe(at(10), signals(&[("dpkg", Value::Blocks { cap_ms: 25_000 })]));
    assert_eq!(effect.used_at, None);
}

#[test]
fn shown_values_are_never_judged() {
    let mut track = track();
    let effect = track.observe(at(10), signals(&[("power", Value::Shown { value: 300.0 })]));
    assert_eq!((effect.used_at, track.judgement()), (None, Judgement::Idle));
    let view = track.view(&SourceName::new("gpu"));
    assert_eq!(view.signals[0].value, Some(300.0));
}

#[test]
fn blindness_is_told_once_and_its_end_with_its_length() {
    let mut track = track();
    assert!(track.observe(at(10), Reading::blind("EIO")).became_blind);
    assert!(!track.observe(at(20), Reading::blind("EIO")).became_blind);
    assert!(!track.observe(at(30), Reading::blind("ENOENT")).became_blind);
    assert_eq!(track.detail(), Some("ENOENT"), "the newest reason is shown");
    assert!(track.is_fault());
    assert_eq!(track.observe(at(40), signals(&[])).back_after_ms, Some(40_000));
    assert_eq!(track.observe(at(50), signals(&[])).back_after_ms, None);
}

#[test]
fn work_during_blindness_is_seen_in_the_next_reading() {
    let mut track = track();
    cpu(&mut track, 10, &[0.0, 0.0]);
    track.observe(at(30), Reading::blind("EIO"));
    let effect = track.observe(at(40), signals(&[("user", counter(1_020_000_000))]));
    assert_eq!(effect.used_at, Some(at(40)));
}

#[test]
fn a_reading_goes_stale_after_three_intervals_and_a_second() {
    let mut track = track();
    track.observe(at(10), signals(&[]));
    assert_eq!(track.expire(at(41)), None);
    assert_eq!(track.expire(at(46)), Some(5000), "unknown for five seconds when it is noticed");
    assert_eq!(track.detail(), Some("no reading for 36 s"));
    assert_eq!(track.expire(at(50)), None, "told once");
    assert!(track.is_fault());
}

#[test]
fn what_is_absent_is_known_while_it_is_looked_for() {
    let mut track = track();
    track.observe(at(10), Reading::absent("no device"));
    assert_eq!((track.judgement(), track.detail()), (Judgement::Absent, Some("no device")));
    assert_eq!(track.expire(at(60)), Some(19_000));
    assert_eq!(track.judgement(), Judgement::Blind);
}

#[test]
fn a_device_that_appears_with_a_running_job_is_in_use() {
    let mut track = track();
    track.observe(at(10), Reading::absent("no device"));
    let effect = track.observe(at(20), signals(&[("gpu0", Value::Level { value: 90.0 })]));
    assert_eq!(effect.used_at, Some(at(20)));
}

#[test]
fn after_a_restart_of_the_windows_nothing_is_known() {
    let mut track = track();
    cpu(&mut track, 10, &[0.0, 10.0]);
    track.restart(at(30));
    assert_eq!(track.judgement(), Judgement::Blind);
    assert!(!track.is_fault());
    // What was counted before is no use now.
    let effect = track.observe(at(40), signals(&[("user", counter(9_000_000_000))]));
    assert_eq!((effect.used_at, track.judgement()), (None, Judgement::Blind));
    let effect = track.observe(at(50), signals(&[("user", counter(9_000_000_000))]));
    assert_eq!((effect.used_at, track.judgement()), (None, Judgement::Idle));
}

#[test]
fn a_restart_of_the_windows_does_not_hide_a_key() {
    let mut track = track();
    track.observe(at(10), signals(&[("pts/0", mark(1))]));
    track.restart(at(20));
    let effect = track.observe(at(30), signals(&[("pts/0", mark(2))]));
    assert!(effect.touched);
}

#[test]
fn a_flood_of_signals_is_blind() {
    let mut track = track();
    let flood = (0..=MAX_SIGNALS).map(|n| Signal::new(n.to_string(), mark(1))).collect();
    assert!(track.observe(at(10), Reading::Signals(flood)).became_blind);
    assert_eq!(track.view(&SourceName::new("input")).signals.len(), 0);
}

#[test]
fn what_is_gone_is_forgotten() {
    let mut track = track();
    for n in 0..1000_u64 {
        track.observe(at(n), signals(&[(&format!("pts/{n}"), mark(1))]));
    }
    assert_eq!(track.view(&SourceName::new("input")).signals.len(), 1);
}

#[test]
fn the_view_lists_the_largest_first_and_says_who_blocks() {
    let mut track = track();
    let level = |value| Value::Level { value };
    let list = [("a", level(0.1)), ("b", level(0.9)), ("c", Value::Blocks { cap_ms: 99_000 })];
    track.observe(at(10), signals(&list));
    let view = track.view(&SourceName::new("gpu"));
    assert_eq!(view.signals[0].subject, "b");
    assert_eq!(view.judgement, Judgement::Blocks);
    assert_eq!(view.detail.as_deref(), Some("c"));
    assert_eq!((view.limit, view.unit.as_str()), (0.05, "core"));
}

#[test]
fn a_disabled_source_is_shown_as_such() {
    let off = Track::new(at(0), SourcePolicy { enabled: false, ..policy() });
    assert_eq!(off.view(&SourceName::new("gpu")).judgement, Judgement::Disabled);
}

#[test]
fn other_limits_count_from_the_next_reading() {
    let mut track = track();
    let level = || signals(&[("gpu0", Value::Level { value: 3.0 })]);
    assert!(track.observe(at(10), level()).used_at.is_some());
    track.judge_by(SourcePolicy { busy_above: 5.0, ..policy() });
    assert!(track.observe(at(20), level()).used_at.is_none());
}

fn each(limit: f64) -> Track {
    let policy = SourcePolicy { combine: Combine::Each, scale: 1.0, busy_above: limit, ..policy() };
    Track::new(at(0), policy)
}

fn bytes(list: &[(&str, u64)]) -> Reading {
    let counters = list.iter().map(|(name, total)| (*name, Value::Counter { total: *total }));
    signals(&counters.collect::<Vec<_>>())
}

#[test]
fn where_the_limit_is_for_each_many_small_ones_are_no_use() {
    let (mut each, mut sum) = (each(60.0), each(60.0));
    sum.judge_by(SourcePolicy { combine: Combine::Sum, ..sum.policy.clone() });
    for tick in 0..20 {
        let reading = || bytes(&[("a", tick * 300), ("b", tick * 300), ("c", tick * 300)]);
        each.observe(at(tick * 10), reading());
        sum.observe(at(tick * 10), reading());
    }
    assert_eq!((each.judgement(), each.last_activity()), (Judgement::Idle, None));
    assert_eq!(sum.judgement(), Judgement::Busy);
    assert!(each.value().is_some_and(|value| (25.0..=30.0).contains(&value)), "{:?}", each.value());
}

#[test]
fn where_the_limit_is_for_each_one_large_one_is_use_and_is_named() {
    let mut track = each(60.0);
    for tick in 0..20 {
        track.observe(at(tick * 10), bytes(&[("a", tick * 100), ("b", tick * 900)]));
    }
    assert_eq!(track.judgement(), Judgement::Busy);
    assert_eq!(track.leading(), Some(("b", None)));
    assert_eq!(track.last_activity(), Some(at(190)));
}

#[test]
fn where_the_limit_is_for_each_a_counter_that_runs_backwards_is_blind() {
    let mut track = each(60.0);
    for total in [1000, 2000, 500] {
        track.observe(at(total / 10), bytes(&[("a", total)]));
    }
    track.observe(at(300), bytes(&[("a", 100)]));
    assert_eq!(track.judgement(), Judgement::Blind);
}

fn present(list: &[(&str, Stretch)]) -> Reading {
    let present = list.iter().map(|(name, by)| (*name, Value::Stretches { by: *by }));
    signals(&present.collect::<Vec<_>>())
}

#[test]
fn presence_stretches_by_the_longest_and_is_no_use() {
    let mut track = track();
    let both = [("pts/0", Stretch::Connected), ("pts/1", Stretch::Job)];
    let effect = track.observe(at(0), present(&both));
    assert_eq!((effect.used_at, effect.touched), (None, false));
    assert_eq!((track.judgement(), track.stretch()), (Judgement::Stretches, Some(Stretch::Job)));
    assert_eq!(track.stretching(Stretch::Job), Some(("pts/1", None)));
    track.observe(at(10), present(&both[..1]));
    assert_eq!(track.stretch(), Some(Stretch::Connected));
    track.observe(at(20), present(&[]));
    assert_eq!((track.judgement(), track.stretch()), (Judgement::Idle, None));
}

#[test]
fn what_was_there_when_the_agent_started_did_not_come() {
    let mut track = track();
    for tick in 0..30 {
        let effect = track.observe(at(tick * 10), present(&[("pts/0", Stretch::Connected)]));
        assert_eq!(effect.used_at, None);
    }
}

#[test]
fn a_blind_source_keeps_what_stretched_and_the_absent_one_does_not() {
    let mut track = track();
    track.observe(at(0), present(&[("pts/0", Stretch::Job)]));
    track.observe(at(10), Reading::blind("EIO"));
    assert_eq!(track.stretch(), Some(Stretch::Job));
    track.observe(at(20), Reading::absent("no terminals"));
    assert_eq!(track.stretch(), None);
}

/// The moments of use that connections of alice's prove: each is there for so many seconds and away for so many.
fn connections(times: u64, there: u64, away: u64) -> Vec<u64> {
    let mut track = track();
    let mut used = Vec::new();
    track.observe(at(0), signals(&[]));
    for tick in 1..=times * (there + away) / 10 {
        let (second, number) = (tick * 10, tick * 10 / (there + away));
        let by = Stretch::Connected;
        let session =
            Signal::new(format!("ssh session {number} of alice"), Value::Stretches { by });
        let session = session.owned_by("alice, ssh");
        let here = second % (there + away) < there;
        let list = if here { vec![session] } else { Vec::new() };
        used.extend(
            track.observe(at(second), Reading::Signals(list)).used_at.map(|at| at.boot_ms / 1000),
        );
    }
    used
}

#[test]
fn a_connection_that_is_renewed_or_comes_back_for_a_moment_is_no_use() {
    for (what, there, away) in [
        ("autossh behind a NAT that drops it every twelve minutes", 700, 20),
        ("a laptop that wakes up for two minutes in the hour", 120, 3480),
    ] {
        let used = connections(50, there, away);
        assert!(!used.is_empty(), "{what}: the first time somebody came");
        assert!(used.iter().all(|at| *at <= there + 20), "{what}: {used:?}");
    }
}

#[test]
fn who_comes_after_a_long_time_has_come() {
    let used = connections(3, 120, 5 * 3600);
    assert_eq!(used.len(), 6, "each comes and goes: {used:?}");
}

fn blocking(track: &mut Track, until: u64) {
    for tick in 0..=until / 10 {
        let effect =
            track.observe(at(tick * 10), signals(&[("job", Value::Blocks { cap_ms: 60_000 })]));
        assert_eq!(effect.used_at, None, "a block is no event while it lasts");
    }
}

#[test]
fn the_end_of_a_block_is_use_however_it_ends() {
    let shown = || signals(&[("job", Value::Shown { value: 1440.0 })]);
    let ignored = || {
        let signal = Signal::new("job", Value::Blocks { cap_ms: 60_000 });
        Reading::Signals(vec![signal.ignored()])
    };
    for over in [signals(&[]), shown(), ignored(), Reading::absent("there is no bus")] {
        let mut track = track();
        blocking(&mut track, 40);
        let effect = track.observe(at(50), over.clone());
        assert_eq!(effect.used_at, Some(at(50)), "{over:?}");
        assert_eq!(track.last_activity(), Some(at(50)), "{over:?}");
        assert!(!effect.touched, "nobody was there");
    }
}

#[test]
fn a_block_that_ends_unseen_ends_when_the_source_sees_again() {
    let mut track = track();
    blocking(&mut track, 20);
    assert_eq!(track.observe(at(30), Reading::blind("EIO")).used_at, None);
    assert_eq!(track.observe(at(40), signals(&[])).used_at, Some(at(40)));
}

#[test]
fn a_cap_ends_the_waiting_and_neither_it_nor_what_comes_after_it_is_use() {
    let mut track = track();
    blocking(&mut track, 50);
    let effect = track.observe(at(60), signals(&[("job", Value::Blocks { cap_ms: 60_000 })]));
    assert_eq!((effect.used_at, effect.expired.len()), (None, 1));
    assert_eq!(track.observe(at(70), signals(&[])).used_at, None);
}

#[test]
fn a_night_of_sleep_is_no_part_of_a_cap() {
    let mut track = track();
    blocking(&mut track, 40);
    let night = 10 * 3_600_000;
    let after = |secs: u64| Stamp { asleep_ms: night, ..Stamp::new(secs * 1000 + night, 0, 0) };
    track.restart(after(40));
    let effect = track.observe(after(50), signals(&[("job", Value::Blocks { cap_ms: 60_000 })]));
    assert!(effect.expired.is_empty(), "it waited for fifty seconds");
    let effect = track.observe(after(60), signals(&[("job", Value::Blocks { cap_ms: 60_000 })]));
    assert_eq!(effect.expired.len(), 1);
}

#[test]
fn what_ended_before_the_first_look_is_no_event() {
    let mut track = track();
    assert_eq!(track.observe(at(0), signals(&[])).used_at, None);
    assert_eq!(track.observe(at(10), signals(&[])).used_at, None);
}
