//! What people are told, and when: notice in time, and every way to call an action off.

use super::scene::time;
use super::{check, play};

#[test]
fn a_person_has_two_minutes_also_where_shorter_warnings_or_none_are_configured() {
    check(
        "policy warn_before 30s
         31:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         29:50 warn hibernate in 30s
         30:20 reread
         30:20 hibernate
         30:21 accepted",
    );
    check(
        "policy act_after 5m
         policy warn_before none
         06:00 end",
        "03:20 warn hibernate in 120s
         05:20 reread
         05:20 hibernate
         05:21 accepted",
    );
}

#[test]
fn somebody_who_has_left_was_seen_all_the_same_also_after_a_restart_of_the_agent() {
    check(
        "policy warn_before none
         10:00 logout pts/0
         15:00 killed for 5s
         31:00 end",
        "05:20 quiet
         15:20 quiet
         28:40 warn hibernate in 120s
         30:40 reread
         30:40 hibernate
         30:41 accepted",
    );
}

/// Every profile's kind of period, every kind of list, a person at every kind of moment.
#[test]
fn nothing_is_done_without_a_warning_two_minutes_before_once_a_person_was_seen() {
    for act_after in ["5m", "7m", "30m"] {
        for warn_before in ["none", "500ms", "1m", "4m,2m,30s"] {
            for key in ["03:10", "06:40", "29:50"] {
                for gone in ["logout pts/1", "tick"] {
                    let scene = play(&format!(
                        "policy quiet_after 1m
                         policy act_after {act_after}
                         policy warn_before {warn_before}
                         {key} key pts/1
                         30:00 {gone}
                         66:00 end"
                    ));
                    let act = scene.trace.iter().find(|(_, line)| line == "hibernate");
                    let (act, _) = act.unwrap_or_else(|| panic!("{act_after} {warn_before} {key}"));
                    let warned = scene.trace.iter().rev().find(|(at, line)| {
                        at + time("2m") <= *act && line.starts_with("warn hibernate")
                    });
                    let (warned, _) = warned.unwrap_or_else(|| panic!("{:?}", scene.trace));
                    let off = |(at, line): &&(u64, String)| {
                        at > warned && at < act && line.starts_with("called off")
                    };
                    assert_eq!(scene.trace.iter().find(off), None, "{:?}", scene.trace);
                }
            }
        }
    }
}

#[test]
fn within_the_warning_every_kind_of_use_calls_it_off() {
    for (answer, because) in [
        ("key pts/0", "the machine is used: input (pts/0, alice)"),
        ("key pts/9", "the machine is used: input (pts/9, alice)"),
        ("hold alice 2h", "'alice' holds the machine up: training"),
        ("cpu 1", "the machine is used: cpu"),
        ("gpu 50", "the machine is used: gpu 50 %, limit 1 (gpu0)"),
        ("block dpkg 2h", "blocked by packages (dpkg)"),
        ("blind input", "input unknown: input/output error"),
        ("policy mode observe", "the configuration"),
    ] {
        for second in [1221, 1500, 1790, 1819] {
            if second == 1819 && answer.starts_with("cpu") {
                // One second of one core in a minute is no load yet.
                continue;
            }
            let scene = play(&format!("{}:{:02} {answer}\n31:00 end", second / 60, second % 60));
            let lines: Vec<&str> = scene.trace.iter().map(|(_, line)| line.as_str()).collect();
            let off = lines.iter().find(|line| line.starts_with("called off"));
            let off = off.unwrap_or_else(|| panic!("{answer} at {second} s: {lines:?}"));
            assert!(off.contains(because), "{answer} at {second} s: {off}");
            assert!(!lines.contains(&"hibernate"), "{answer} at {second} s: {lines:?}");
        }
    }
}

#[test]
fn a_hold_is_obeyed_at_every_moment_before_the_call_has_left() {
    // Warned, rechecking, draining (30:20 to 30:40), settling (to 31:10), rechecking, waiting for the call to leave (to 31:15).
    for second in (1221..1815).step_by(66).chain(1816..1875) {
        let scene = play(&format!(
            "policy hook true
             ec2 call leaves after 5s
             {}:{:02} hold alice 2h
             32:00 end",
            second / 60,
            second % 60,
        ));
        let lines: Vec<&str> = scene.trace.iter().map(|(_, line)| line.as_str()).collect();
        assert!(!lines.contains(&"accepted"), "a hold at {second} s: {lines:?}");
        let off = lines.iter().any(|line| line.starts_with("called off: 'alice' holds"));
        assert!(off, "a hold at {second} s: {lines:?}");
    }
}

#[test]
fn what_comes_after_the_call_has_left_cannot_call_it_back() {
    check(
        "policy warn_before 2m
         ec2 call leaves after 500ms
         30:21 hold alice 2h
         31:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 hold 1 of alice
         30:21 held: 1
         30:21 withdraw
         30:21 accepted",
    );
}

#[test]
fn use_that_is_read_while_the_call_is_made_withdraws_it() {
    check(
        "policy warn_before 2m
         ec2 call leaves after 20s
         30:25 key pts/0
         36:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:30 withdraw
         30:30 called off: the machine is used: input (pts/0, alice)
         35:30 quiet",
    );
}

#[test]
fn what_the_last_look_sees_is_use_and_the_next_period_is_whole() {
    check(
        "policy warn_before 2m
         ec2 withholds
         65:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 called off: pts/0 was used
         35:21 quiet
         58:21 warn hibernate in 120s
         60:21 reread
         60:21 hibernate
         60:22 accepted",
    );
}

#[test]
fn what_an_administrator_asked_for_is_withdrawn_by_a_hold_and_not_by_a_key() {
    check(
        "ec2 call leaves after 20s
         06:00 root asks stop
         06:05 key pts/0
         06:40 end",
        "05:20 quiet
         06:00 acting: stop
         06:00 reread
         06:00 stop
         06:21 accepted",
    );
    check(
        "ec2 call leaves after 20s
         06:00 root asks stop
         06:05 hold alice 1h
         06:40 end",
        "05:20 quiet
         06:00 acting: stop
         06:00 reread
         06:00 stop
         06:05 hold 1 of alice
         06:05 held: 1
         06:05 withdraw
         06:05 called off: 'alice' holds the machine up: training
         06:05 quiet",
    );
}
