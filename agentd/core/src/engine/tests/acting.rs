//! Recheck, hook, settling, call, verification: every end that an action can have.

use super::{check, play};

#[test]
fn the_hook_runs_between_two_rechecks() {
    check(
        "policy hook true
         33:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hook
         31:10 reread
         31:10 hibernate
         31:11 accepted",
    );
}

#[test]
fn a_hook_that_fails_forbids_the_action_and_the_next_period_is_longer() {
    check(
        "policy hook true
         hook fails
         95:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hook
         30:40 hook failed: exit status 3
         35:40 quiet
         80:40 warn hibernate in 600s
         85:40 warn hibernate in 300s
         89:40 warn hibernate in 60s
         90:40 reread
         90:40 hook
         91:00 hook failed: exit status 3",
    );
}

#[test]
fn a_key_during_the_hook_calls_the_action_off_and_the_hook_waits_for_a_whole_period() {
    check(
        "policy hook true
         hook takes 5m
         32:00 key pts/0
         70:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hook
         35:20 called off: the machine is used: input (pts/0, alice)
         40:30 quiet
         55:30 warn hibernate in 600s
         60:30 warn hibernate in 300s
         64:30 warn hibernate in 60s
         65:30 reread
         65:30 hook",
    );
}

#[test]
fn a_hold_after_the_hook_means_that_the_next_hook_waits_for_a_whole_period() {
    check(
        "policy hook true
         30:25 hold alice 1m
         70:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hook
         30:25 hold 1 of alice
         30:25 held: 1
         30:40 called off: 'alice' holds the machine up: training
         31:25 hold 1 expired
         36:25 quiet
         51:25 warn hibernate in 600s
         56:25 warn hibernate in 300s
         60:25 warn hibernate in 60s
         61:25 reread
         61:25 hook
         62:15 reread
         62:15 hibernate
         62:16 accepted
         67:16 describe",
    );
}

#[test]
fn work_of_the_hook_itself_is_not_taken_for_use() {
    check(
        "policy hook true
         hook takes 2m
         30:25 cpu 1
         32:00 cpu 0
         34:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hook
         32:50 reread
         32:50 hibernate
         32:51 accepted",
    );
}

#[test]
fn work_that_goes_on_after_the_hook_is_use() {
    check(
        "policy hook true
         hook takes 2m
         30:25 cpu 1
         34:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hook
         32:40 called off: the machine is used: cpu 0.17 core, limit 0.05 (user.slice, alice)",
    );
}

#[test]
fn a_source_that_is_blind_for_long_during_the_hook_calls_the_action_off() {
    check(
        "policy hook true
         hook takes 10m
         31:00 blind gpu
         36:00 see gpu
         41:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hook
         31:10 gpu blind: input/output error
         36:10 gpu back after 300s
         40:20 called off: the machine was away or unknown for a while",
    );
}

#[test]
fn what_the_recheck_finds_counts() {
    check(
        "29:55 gpu 100
         31:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:00 called off: the machine is used: gpu 100 %, limit 1 (gpu0)",
    );
    check(
        "29:55 blind input
         31:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:00 input blind: input/output error
         30:00 called off: input unknown: input/output error",
    );
}

#[test]
fn a_source_that_does_not_answer_the_recheck_calls_the_action_off() {
    check(
        "29:55 silent input
         31:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 called off: a source could not be read again
         30:20 quiet
         30:20 warn hibernate in 120s
         30:30 input blind: no reading for 40 s
         30:30 called off: input unknown: no reading for 40 s",
    );
}

#[test]
fn throttling_is_waited_out_with_longer_and_longer_pauses() {
    check(
        "ec2 throttles 4
         32:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hibernate
         30:21 failed, again in 2s
         30:23 reread
         30:23 hibernate
         30:24 failed, again in 4s
         30:28 reread
         30:28 hibernate
         30:29 failed, again in 8s
         30:37 reread
         30:37 hibernate
         30:38 failed, again in 16s
         30:54 reread
         30:54 hibernate
         30:55 accepted",
    );
}

#[test]
fn a_key_while_a_call_waits_to_be_tried_again_calls_it_off() {
    check(
        "ec2 throttles 9
         30:25 key pts/0
         40:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hibernate
         30:21 failed, again in 2s
         30:23 reread
         30:23 hibernate
         30:24 failed, again in 4s
         30:28 reread
         30:28 called off: the machine is used: input (pts/0, alice)
         35:28 quiet",
    );
}

#[test]
fn too_many_tries_are_a_failure() {
    check(
        "ec2 throttles 11
         60:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hibernate
         30:21 failed, again in 2s
         30:23 reread
         30:23 hibernate
         30:24 failed, again in 4s
         30:28 reread
         30:28 hibernate
         30:29 failed, again in 8s
         30:37 reread
         30:37 hibernate
         30:38 failed, again in 16s
         30:54 reread
         30:54 hibernate
         30:55 failed, again in 32s
         31:27 reread
         31:27 hibernate
         31:28 failed, again in 64s
         32:32 reread
         32:32 hibernate
         32:33 failed, again in 64s
         33:37 reread
         33:37 hibernate
         33:38 failed, again in 64s
         34:42 reread
         34:42 hibernate
         34:43 failed, again in 64s
         35:47 reread
         35:47 hibernate
         35:48 failed, again in 64s
         36:52 reread
         36:52 hibernate
         36:53 failed: throttled
         41:53 quiet",
    );
}

#[test]
fn not_ready_to_hibernate_is_believed_for_ten_minutes() {
    check(
        "policy fallback stop
         ec2 not-ready 5
         60:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hibernate
         30:21 failed, again in 60s
         31:21 reread
         31:21 hibernate
         31:22 failed, again in 120s
         33:22 reread
         33:22 hibernate
         33:23 failed, again in 240s
         37:23 reread
         37:23 hibernate
         37:24 failed, again in 300s
         42:24 reread
         42:24 hibernate
         42:25 refused: hibernation-not-ready
         42:25 fell back
         42:25 reread
         42:25 stop
         42:26 accepted
         47:26 describe
         52:26 describe
         57:26 describe",
    );
}

#[test]
fn a_refusal_of_hibernation_falls_back_where_that_is_configured() {
    check(
        "policy fallback stop
         ec2 refuses hibernation unsupported
         31:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hibernate
         30:21 refused: unsupported
         30:21 fell back
         30:21 reread
         30:21 stop
         30:22 accepted",
    );
    check(
        "ec2 refuses hibernation unsupported
         31:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hibernate
         30:21 refused: unsupported",
    );
}

#[test]
fn a_hibernation_that_is_known_to_be_impossible_is_announced_as_a_stop() {
    check(
        "policy fallback stop
         ec2 cannot hibernate
         31:00 end",
        "05:20 quiet
         20:20 warn stop in 600s
         25:20 warn stop in 300s
         29:20 warn stop in 60s
         30:20 reread
         30:20 stop
         30:21 accepted",
    );
}

#[test]
fn a_refusal_that_is_not_about_hibernation_never_falls_back() {
    check(
        "policy fallback stop
         ec2 refuses protected
         200:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hibernate
         30:21 refused: protected",
    );
}

#[test]
fn a_refused_call_is_tried_again_after_hours() {
    check(
        "ec2 refuses unauthorized
         400:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hibernate
         30:21 refused: unauthorized
         390:30 warn hibernate in 120s
         391:30 warn hibernate in 60s
         392:30 reread
         392:30 hibernate
         392:31 accepted
         397:31 describe",
    );
}

#[test]
fn a_failure_doubles_the_next_period() {
    check(
        "policy warn_before 2m
         ec2 fails
         ec2 fails
         220:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 failed: broken
         35:21 quiet
         88:21 warn hibernate in 120s
         90:21 reread
         90:21 hibernate
         90:22 failed: broken
         95:22 quiet
         208:22 warn hibernate in 120s
         210:22 reread
         210:22 hibernate
         210:23 accepted
         215:23 describe",
    );
}

#[test]
fn an_answer_that_was_lost_is_looked_for_before_another_call() {
    check(
        "ec2 loses answer applied
         32:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hibernate
         30:21 failed: no answer from EC2
         30:23 describe
         30:23 accepted",
    );
    check(
        "ec2 loses answer
         32:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hibernate
         30:21 failed: no answer from EC2
         30:23 describe
         30:33 describe
         31:03 describe
         31:03 failed, again in 1s
         31:04 reread
         31:04 hibernate
         31:05 accepted",
    );
}

#[test]
fn a_call_that_is_lost_again_and_again_is_given_up() {
    let scene = play(&("ec2 loses answer\n".repeat(40) + "60:00 end"));
    let calls = scene.trace.iter().filter(|(_, line)| line == "hibernate").count();
    assert_eq!(calls, 11, "{:?}", scene.trace);
}

#[test]
fn a_machine_that_never_stops_is_told_and_the_next_period_is_longer() {
    check(
        "policy warn_before 2m
         ec2 state running
         100:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 accepted
         35:21 describe
         35:21 never stopped in 300s
         40:21 quiet
         93:21 warn hibernate in 120s
         95:21 reread
         95:21 hibernate
         95:22 accepted",
    );
}

#[test]
fn a_machine_that_is_stopping_for_long_is_awaited_for_a_while() {
    check(
        "policy warn_before 2m
         65:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 accepted
         35:21 describe
         40:21 describe
         45:21 describe
         50:21 describe
         55:21 describe
         60:22 describe
         60:22 never stopped in 1801s",
    );
}

#[test]
fn it_may_be_stopping_already() {
    check(
        "policy warn_before 2m
         ec2 already
         31:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 accepted",
    );
}

#[test]
fn a_plain_stop_is_a_plain_stop() {
    check(
        "policy action stop
         policy warn_before 2m
         31:00 end",
        "05:20 quiet
         28:20 warn stop in 120s
         30:20 reread
         30:20 stop
         30:21 accepted",
    );
}

#[test]
fn nothing_destructive_runs_when_nothing_can_be_saved() {
    check(
        "policy hook true
         policy warn_before 2m
         20:00 disk full
         95:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hook failed: the state could not be saved
         35:20 quiet
         88:20 warn hibernate in 120s
         90:20 reread
         90:20 hook failed: the state could not be saved",
    );
}

#[test]
fn a_policy_that_changes_during_the_action_is_obeyed() {
    for change in ["policy mode observe", "policy action none", "policy enabled false"] {
        let script = format!("policy hook true\nhook takes 3m\n31:00 {change}\n40:00 end");
        let scene = play(&script);
        let lines: Vec<&str> = scene.trace.iter().map(|(_, line)| line.as_str()).collect();
        assert!(lines.contains(&"hook"), "{lines:?}");
        assert!(!lines.contains(&"hibernate"), "{change}: {lines:?}");
        assert!(lines.iter().any(|line| line.contains("no longer asks for it")), "{lines:?}");
    }
}

#[test]
fn a_policy_that_changes_at_any_moment_before_the_call_is_obeyed() {
    for second in (1240..1860).step_by(20) {
        let scene = play(&format!(
            "policy hook true
             hook takes 30s
             {}:{:02} policy act_after 2h
             60:00 end",
            second / 60,
            second % 60
        ));
        let acted = scene.trace.iter().any(|(_, line)| line == "hibernate");
        let called_off = scene.trace.iter().any(|(_, line)| line.starts_with("called off"));
        assert!(!acted && called_off, "changed at {second} s: {:?}", scene.trace);
    }
}

#[test]
fn a_longer_period_that_is_configured_while_a_call_waits_calls_it_off() {
    check(
        "policy warn_before 2m
         ec2 throttles 9
         30:20 policy act_after 2h
         31:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:20 withdraw
         30:21 failed, again in 2s
         30:21 called off: the machine has been idle for 30m only, of 2h00m
         30:21 quiet",
    );
}
