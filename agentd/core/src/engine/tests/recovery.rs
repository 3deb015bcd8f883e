//! The agent is killed, or the machine boots, at every point: nothing runs twice, nothing is lost, nothing comes early.

use super::{check, play};

#[test]
fn the_idle_clock_survives_the_agent() {
    check(
        "policy warn_before 2m
         20:05 killed for 5s
         31:00 end",
        "05:20 quiet
         20:20 quiet
         28:40 warn hibernate in 120s
         30:40 reread
         30:40 hibernate
         30:41 accepted",
    );
}

#[test]
fn an_agent_that_is_killed_every_few_minutes_still_acts() {
    let kills: Vec<String> =
        (1..20).map(|n| format!("{}:{:02} killed for 2s", n * 3, n % 60)).collect();
    let scene = play(&format!("policy warn_before 2m\n{}\n60:00 end", kills.join("\n")));
    let (at, _) = scene.trace.iter().find(|(_, line)| line == "hibernate").unwrap();
    // Two readings make the CPU known again: at most half a minute is lost by each start.
    assert!(*at < 45 * 60_000, "{:?}", scene.trace);
}

#[test]
fn after_a_long_absence_the_period_begins_anew() {
    check(
        "policy warn_before 2m
         20:00 killed for 2m
         55:00 end",
        "05:20 quiet
         27:10 quiet
         50:10 warn hibernate in 120s
         52:10 reread
         52:10 hibernate
         52:11 accepted",
    );
}

#[test]
fn without_its_memory_the_agent_waits_for_a_whole_period() {
    check(
        "policy warn_before 2m
         20:00 state lost
         20:01 killed for 2s
         52:00 end",
        "05:20 quiet
         25:20 quiet
         48:20 warn hibernate in 120s
         50:20 reread
         50:20 hibernate
         50:21 accepted",
    );
    check(
        "policy warn_before 2m
         20:00 clock lost
         20:01 killed for 2s
         52:00 end",
        "05:20 quiet
         25:20 quiet
         48:20 warn hibernate in 120s
         50:20 reread
         50:20 hibernate
         50:21 accepted",
    );
}

#[test]
fn a_key_that_was_pressed_while_no_agent_ran_is_use() {
    check(
        "policy warn_before 2m
         20:00 killed for 20s
         20:05 key pts/0
         21:00 end
         40:00 end
         52:00 end",
        "05:20 quiet
         20:20 active: input (pts/0, alice)
         25:30 quiet
         48:30 warn hibernate in 120s
         50:30 reread
         50:30 hibernate
         50:31 accepted",
    );
}

#[test]
fn a_terminal_that_was_opened_while_no_agent_ran_is_use() {
    let scene = play(
        "policy warn_before 2m
         10:00 logout pts/0
         20:00 killed for 20s
         20:05 key pts/3
         49:00 end",
    );
    assert!(scene.trace.iter().all(|(_, line)| line != "hibernate"), "{:?}", scene.trace);
}

#[test]
fn killed_during_the_notice_it_warns_again_and_acts() {
    check(
        "25:00 killed for 5s
         33:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 quiet
         25:20 warn hibernate in 320s
         25:40 warn hibernate in 300s
         29:40 warn hibernate in 60s
         30:40 reread
         30:40 hibernate
         30:41 accepted",
    );
}

#[test]
fn killed_before_the_recheck_it_rechecks() {
    check(
        "policy warn_before 2m
         crash before reread for 5s
         33:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:55 reread
         30:55 hibernate
         30:56 accepted",
    );
}

#[test]
fn killed_before_or_in_the_hook_it_never_runs_the_hook_again() {
    check(
        "policy hook true
         policy warn_before 2m
         crash before hook for 5s
         33:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:25 hook not repeated
         30:55 reread
         30:55 hibernate
         30:56 accepted",
    );
    check(
        "policy hook true
         policy warn_before 2m
         crash after hook for 5s
         33:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hook
         30:25 hook not repeated
         30:55 reread
         30:55 hibernate
         30:56 accepted",
    );
}

#[test]
fn killed_for_long_in_the_hook_it_calls_the_action_off() {
    check(
        "policy hook true
         policy warn_before 2m
         crash after hook for 5m
         67:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hook
         35:20 called off: the agent was not able to look for a while before the call
         40:30 quiet
         63:30 warn hibernate in 120s
         65:30 reread
         65:30 hook
         66:20 reread
         66:20 hibernate
         66:21 accepted",
    );
}

#[test]
fn killed_before_the_call_it_asks_ec2_before_it_calls() {
    check(
        "policy warn_before 2m
         ec2 state running
         crash before hibernate for 5s
         33:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:27 describe
         30:37 describe
         31:07 describe
         31:07 failed, again in 1s
         31:08 reread
         31:08 hibernate
         31:09 accepted",
    );
}

#[test]
fn killed_after_the_call_it_asks_ec2_and_does_not_call_again() {
    check(
        "policy warn_before 2m
         crash after hibernate for 5s
         33:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:27 describe
         30:27 accepted",
    );
}

#[test]
fn killed_at_any_moment_it_runs_one_hook_and_calls_once() {
    // From before the first warning until after the call; the hook, settling and a throttled call are in between.
    for second in (28 * 60 + 50..32 * 60).step_by(3) {
        let scene = play(&format!(
            "policy hook true
             policy warn_before 2m
             ec2 throttles 1
             {}:{:02} killed for 3s
             36:00 end",
            second / 60,
            second % 60
        ));
        let count = |what: &str| scene.trace.iter().filter(|(_, line)| line == what).count();
        assert_eq!(count("hook"), 1, "killed at {second} s: {:?}", scene.trace);
        assert!((1..=2).contains(&count("hibernate")), "killed at {second} s: {:?}", scene.trace);
        assert_eq!(count("accepted"), 1, "killed at {second} s: {:?}", scene.trace);
    }
}

#[test]
fn killed_after_the_call_and_resumed_it_says_that_it_was_hibernated() {
    check(
        "policy warn_before 2m
         crash after hibernate for 70m
         30:40 sleeps 1h
         101:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         100:20 hibernated for 3600s",
    );
}

#[test]
fn a_boot_after_the_call_is_a_cold_boot_or_the_end_of_a_stop() {
    check(
        "policy warn_before 2m
         30:30 boots 2h
         31:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 accepted
         00:05 cold boot
         05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 accepted",
    );
    check(
        "policy warn_before 2m
         policy action stop
         30:30 boots 2h
         31:00 end",
        "05:20 quiet
         28:20 warn stop in 120s
         30:20 reread
         30:20 stop
         30:21 accepted
         00:05 stopped and started
         05:20 quiet
         28:20 warn stop in 120s
         30:20 reread
         30:20 stop
         30:21 accepted",
    );
}

#[test]
fn a_boot_before_the_call_ends_the_intent_and_the_hook_is_not_owed() {
    check(
        "policy hook true
         hook takes 5m
         policy warn_before 2m
         33:00 boots 1m
         31:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hook
         00:05 called off: the machine was restarted before the call
         05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hook",
    );
}

#[test]
fn an_old_intent_on_a_full_disk_is_not_carried_out_later() {
    // The end of the first intent could not be saved; the agent that finds it must not act on it.
    check(
        "policy hook true
         policy warn_before 2m
         30:30 disk full
         40:00 killed for 5s
         45:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hook
         31:10 reread
         31:10 failed: the state could not be saved
         36:10 quiet
         40:20 quiet",
    );
}

#[test]
fn an_operators_old_intent_on_a_full_disk_is_not_carried_out_later() {
    check(
        "policy warn_before 2m
         00:00 cpu 1
         policy hook true
         hook fails
         10:00 root asks stop
         10:05 disk full
         45:00 disk free
         45:01 killed for 5s
         60:00 end",
        "10:00 acting: stop
         10:00 reread
         10:00 hook
         10:20 hook failed: exit status 3",
    );
}
