//! Tags: on change only, not too often, never while only observing.

use super::{check, play};

#[test]
fn the_tags_tell_each_state_once() {
    check(
        "show tags
         policy warn_before 5m
         00:00 cpu 1
         10:00 cpu 0
         60:00 end",
        "00:20 tag active
         15:00 quiet
         15:00 tag quiet
         35:00 warn hibernate in 300s
         35:00 tag warned
         40:00 reread
         40:00 hibernate
         40:01 accepted
         40:01 tag hibernating
         45:01 describe
         50:01 describe
         55:01 describe",
    );
}

#[test]
fn holds_and_blindness_are_tagged() {
    check(
        "show tags
         00:00 cpu 1
         10:00 hold alice 5m
         20:00 blind gpu
         22:00 see gpu
         25:00 end",
        "00:20 tag active
         10:00 hold 1 of alice
         10:00 held: 1
         10:00 tag held
         15:00 hold 1 expired
         15:00 tag active
         20:10 gpu blind: input/output error
         20:10 tag unknown
         22:10 gpu back after 120s
         22:10 tag active",
    );
}

#[test]
fn a_machine_that_toggles_is_tagged_at_most_once_a_minute() {
    // The scene itself fails when two calls come within a minute.
    let keys: Vec<String> = (0..3600)
        .step_by(20)
        .map(|second| format!("{}:{:02} key pts/0", second / 60, second % 60))
        .collect();
    let keys = keys.join("\n");
    let scene = play(&format!("show tags\npolicy quiet_after 10s\n{keys}\n60:00 end"));
    let tags = scene.trace.iter().filter(|(_, line)| line.starts_with("tag")).count();
    assert!((2..=60).contains(&tags), "{tags} calls in an hour");
}

#[test]
fn only_observing_no_tag_is_written() {
    // The scene itself fails on any action while only observing.
    play(
        "policy mode observe
         10:00 key pts/0
         90:00 end",
    );
}
