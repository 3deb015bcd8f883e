//! Something comes in between, at every moment from the first warning to the call, and after it.

use super::{check, play};

/// Every third second from before the warning until after the call, with a hook of half a minute in between:
/// warned 28:20, due 30:20, hook until 30:50, settling until 31:20, called 31:20.
fn moments() -> impl Iterator<Item = (u64, String)> {
    (28 * 60..31 * 60 + 45).step_by(3).map(|s| (s, format!("{}:{:02}", s / 60, s % 60)))
}

const WARNED: u64 = 28 * 60 + 20;
const CALL: u64 = 31 * 60 + 20;

fn did(script: &str) -> Vec<String> {
    play(script).trace.into_iter().map(|(_, line)| line).collect()
}

/// Plays the way to a hibernation with something in between; whether it was called off, and whether EC2 was called.
fn with(what: &str, at: &str) -> (bool, bool, Vec<String>) {
    // A sleep of two hours is over by then, and the period after it is not.
    let end = if what.starts_with("sleeps") { "160:00" } else { "34:00" };
    let lines = did(&format!(
        "policy hook true
         policy warn_before 2m
         hook takes 30s
         {at} {what}
         {end} end"
    ));
    let called_off = lines.iter().any(|line| line.starts_with("called off"));
    let called = lines.iter().any(|line| line == "hibernate" || line == "stop");
    (called_off, called, lines)
}

#[test]
fn a_key_before_the_call_always_wins() {
    for (second, at) in moments() {
        let (_, called, lines) = with("key pts/0", &at);
        assert_eq!(called, second >= CALL, "key at {at}: {lines:?}");
    }
}

#[test]
fn a_hold_before_the_call_always_wins() {
    for (second, at) in moments() {
        let (called_off, called, lines) = with("hold alice 1h", &at);
        assert_eq!(called, second >= CALL, "hold at {at}: {lines:?}");
        assert_eq!(called_off, (WARNED..CALL).contains(&second), "hold at {at}: {lines:?}");
    }
}

#[test]
fn a_block_before_the_last_look_always_wins() {
    for (second, at) in moments() {
        let (_, called, lines) = with("block dpkg 4h", &at);
        assert_eq!(called, second >= CALL, "block at {at}: {lines:?}");
    }
}

#[test]
fn a_source_that_stays_blind_always_wins() {
    for source in ["cpu", "input", "gpu", "packages"] {
        for (second, at) in moments().step_by(4) {
            let (_, called, lines) = with(&format!("blind {source}"), &at);
            assert_eq!(called, second >= CALL, "{source} blind at {at}: {lines:?}");
        }
    }
}

#[test]
fn a_resume_before_the_call_calls_it_off_and_after_it_is_the_hibernation() {
    for (second, at) in moments() {
        let (called_off, called, lines) = with("sleeps 2h", &at);
        let hibernated = lines.iter().any(|line| line.starts_with("hibernated"));
        assert_eq!(called, second >= CALL, "resumed at {at}: {lines:?}");
        assert_eq!(hibernated, second >= CALL, "resumed at {at}: {lines:?}");
        assert_eq!(called_off, (WARNED..CALL).contains(&second), "{at}: {lines:?}");
    }
}

#[test]
fn a_gap_before_the_call_calls_it_off() {
    for (second, at) in moments().step_by(2) {
        let (_, called, lines) = with("stalls 2m", &at);
        assert_eq!(called, second >= CALL, "gap at {at}: {lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with("hibernated")), "{at}: {lines:?}");
    }
}

#[test]
fn ec2_that_refuses_meanwhile_is_believed() {
    for (second, at) in moments().step_by(2) {
        let lines = did(&format!(
            "policy hook true
             policy warn_before 2m
             hook takes 30s
             {at} ec2 can nothing
             {at} ec2 tells
             34:00 end"
        ));
        let called = lines.iter().any(|line| line == "hibernate");
        assert_eq!(called, second >= CALL, "told at {at}: {lines:?}");
    }
}

#[test]
fn a_boot_at_any_moment_ends_in_one_report() {
    for (second, at) in moments().step_by(2) {
        let lines = did(&format!(
            "policy hook true
             policy warn_before 2m
             hook takes 30s
             {at} boots 10m
             1:00 end"
        ));
        let reports = lines
            .iter()
            .filter(|line| *line == "cold boot" || line.contains("restarted before the call"));
        let intended = second >= 30 * 60 + 20;
        assert_eq!(reports.count(), usize::from(intended), "booted at {at}: {lines:?}");
        let cold = lines.iter().any(|line| line == "cold boot");
        assert_eq!(cold, second >= CALL, "booted at {at}: {lines:?}");
    }
}

#[test]
fn an_action_that_is_called_off_at_the_recheck_is_not_tried_as_fast_as_it_can_be_read() {
    // Without warnings nothing else is between two tries.
    check(
        "policy warn_before none
         00:00 logout pts/0
         30:15 silent input
         30:55 see input
         33:00 end",
        "05:20 quiet
         30:20 reread
         30:20 called off: a source could not be read again
         30:20 quiet
         30:50 input blind: no reading for 40 s
         31:00 input back after 10s
         31:20 reread
         31:20 hibernate
         31:21 accepted",
    );
}

#[test]
fn two_resumes_of_one_hibernation_are_one_report() {
    check(
        "policy warn_before 2m
         30:40 sleeps 2h
         150:40 resumed
         150:43 resumed
         151:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 accepted
         150:40 hibernated for 7200s",
    );
}

#[test]
fn after_a_hibernation_the_next_period_has_its_usual_length() {
    // Failures before it are forgotten: it was stopped after all.
    check(
        "policy warn_before 2m
         ec2 fails
         91:00 sleeps 1h
         185:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 failed: broken
         35:21 quiet
         88:21 warn hibernate in 120s
         90:21 reread
         90:21 hibernate
         90:22 accepted
         151:00 hibernated for 3600s
         156:20 quiet
         179:20 warn hibernate in 120s
         181:20 reread
         181:20 hibernate
         181:21 accepted",
    );
}
