//! Unknown is never idle.

use super::{check, play};

#[test]
fn while_a_source_is_blind_the_clock_stands_still() {
    check(
        "10:05 blind cpu
         10:45 see cpu
         45:00 end",
        "05:20 quiet
         10:10 cpu blind: input/output error
         10:50 cpu back after 40s
         21:00 warn hibernate in 600s
         26:00 warn hibernate in 300s
         30:00 warn hibernate in 60s
         31:00 reread
         31:00 hibernate
         31:01 accepted
         36:01 describe
         41:01 describe",
    );
}

#[test]
fn after_a_long_blindness_the_period_begins_anew() {
    check(
        "10:05 blind cpu
         15:05 see cpu
         50:00 end",
        "05:20 quiet
         10:10 cpu blind: input/output error
         15:10 cpu back after 300s
         20:10 quiet
         35:10 warn hibernate in 600s
         40:10 warn hibernate in 300s
         44:10 warn hibernate in 60s
         45:10 reread
         45:10 hibernate
         45:11 accepted",
    );
}

#[test]
fn a_blind_source_forbids_every_action_for_ever() {
    for source in ["cpu", "gpu", "input", "packages"] {
        let scene = play(&format!("00:05 blind {source}\n600:00 end"));
        let lines: Vec<&str> = scene.trace.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines, [format!("{source} blind: input/output error")]);
    }
}

#[test]
fn a_source_that_goes_blind_during_the_notice_calls_it_off() {
    check(
        "25:05 blind gpu
         25:15 see gpu
         35:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:10 gpu blind: input/output error
         25:10 called off: gpu unknown: input/output error
         25:20 gpu back after 10s
         25:20 quiet
         25:20 warn hibernate in 310s
         25:30 warn hibernate in 300s
         29:30 warn hibernate in 60s
         30:30 reread
         30:30 hibernate
         30:31 accepted",
    );
}

#[test]
fn a_source_that_is_not_read_any_more_goes_stale() {
    check(
        "10:05 silent input
         20:05 see input
         55:00 end",
        "05:20 quiet
         10:40 input blind: no reading for 40 s
         20:10 input back after 570s
         25:10 quiet
         40:10 warn hibernate in 600s
         45:10 warn hibernate in 300s
         49:10 warn hibernate in 60s
         50:10 reread
         50:10 hibernate
         50:11 accepted",
    );
}

#[test]
fn a_counter_that_runs_backwards_is_not_believed() {
    check(
        "10:05 cpu-resets
         45:00 end",
        "05:20 quiet
         10:10 cpu blind: counter of 'user.slice' went backwards
         10:20 cpu back after 10s
         20:30 warn hibernate in 600s
         25:30 warn hibernate in 300s
         29:30 warn hibernate in 60s
         30:30 reread
         30:30 hibernate
         30:31 accepted
         35:31 describe
         40:31 describe",
    );
}

#[test]
fn work_that_went_on_while_it_was_blind_is_seen_afterwards() {
    check(
        "10:05 blind cpu
         10:06 cpu 1
         10:46 cpu 0
         10:47 see cpu
         45:00 end",
        "05:20 quiet
         10:10 cpu blind: input/output error
         10:50 cpu back after 40s
         10:50 active: cpu 0.67 core, limit 0.05 (user.slice, alice)
         15:50 quiet
         30:50 warn hibernate in 600s
         35:50 warn hibernate in 300s
         39:50 warn hibernate in 60s
         40:50 reread
         40:50 hibernate
         40:51 accepted",
    );
}

#[test]
fn a_key_that_was_pressed_while_it_was_blind_is_seen_afterwards() {
    check(
        "10:05 blind input
         10:06 key pts/0
         10:46 see input
         45:00 end",
        "05:20 quiet
         10:10 input blind: input/output error
         10:50 input back after 40s
         10:50 active: input (pts/0, alice)
         15:50 quiet
         30:50 warn hibernate in 600s
         35:50 warn hibernate in 300s
         39:50 warn hibernate in 60s
         40:50 reread
         40:50 hibernate
         40:51 accepted",
    );
}

#[test]
fn a_source_that_can_only_be_read_now_and_then_is_no_excuse_to_act() {
    let script: Vec<String> =
        (0..174).map(|n| format!("{n}:01 blind gpu\n{n}:51 see gpu")).collect();
    // Fifty seconds of every minute are unknown, so ten of sixty count.
    let scene = play(&(script.join("\n") + "\n175:00 end"));
    assert!(scene.trace.iter().all(|(_, line)| line != "hibernate"), "{:?}", scene.trace);
}
