//! Holds and blocks: whatever the sources say, they keep the machine up.

use super::{check, play};

#[test]
fn a_hold_keeps_the_machine_up_and_the_idle_time_begins_anew_at_its_end() {
    check(
        "10:00 hold alice 1h
         101:00 end",
        "05:20 quiet
         10:00 hold 1 of alice
         10:00 held: 1
         70:00 hold 1 expired
         75:00 quiet
         90:00 warn hibernate in 600s
         95:00 warn hibernate in 300s
         99:00 warn hibernate in 60s
         100:00 reread
         100:00 hibernate
         100:01 accepted",
    );
}

#[test]
fn a_hold_during_the_notice_calls_it_off() {
    check(
        "29:30 hold alice 20m
         81:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         29:30 hold 1 of alice
         29:30 called off: 'alice' holds the machine up: training
         29:30 held: 1
         29:30 quiet
         49:30 hold 1 expired
         54:30 quiet
         69:30 warn hibernate in 600s
         74:30 warn hibernate in 300s
         78:30 warn hibernate in 60s
         79:30 reread
         79:30 hibernate
         79:31 accepted",
    );
}

#[test]
fn a_hold_that_is_released_ends_at_once_and_the_idle_time_begins_anew() {
    check(
        "10:00 hold alice 8h
         60:00 release bob 1
         60:01 release alice
         91:00 end",
        "05:20 quiet
         10:00 hold 1 of alice
         10:00 held: 1
         60:00 denied: not permitted
         60:01 hold 1 released
         60:01 released: 1
         65:01 quiet
         80:01 warn hibernate in 600s
         85:01 warn hibernate in 300s
         89:01 warn hibernate in 60s
         90:01 reread
         90:01 hibernate
         90:02 accepted",
    );
}

#[test]
fn a_period_that_is_shorter_than_the_longest_warning_begins_after_the_hold_and_warns_in_it() {
    check(
        "policy act_after 6m
         policy quiet_after 2m
         01:00 hold alice 30m
         38:00 end",
        "00:20 warn hibernate in 360s
         01:00 hold 1 of alice
         01:00 called off: 'alice' holds the machine up: training
         01:00 held: 1
         02:20 quiet
         31:00 hold 1 expired
         31:00 warn hibernate in 360s
         32:00 warn hibernate in 300s
         36:00 warn hibernate in 60s
         37:00 reread
         37:00 hibernate
         37:01 accepted",
    );
}

#[test]
fn an_ordinary_user_holds_for_no_longer_than_policy_allows() {
    check(
        "10:00 hold alice 100h
         10:01 hold root 20h
         11:00 renew alice 1 1h
         11:01 renew bob 1 1h
         11:02 hold alice 0s
         12:00 end",
        "05:20 quiet
         10:00 hold 1 of alice
         10:00 held: 1, shortened
         10:01 hold 2 of root
         10:01 held: 2
         11:00 held: 1
         11:01 denied: not permitted
         11:02 denied: invalid",
    );
}

#[test]
fn a_hold_of_a_process_ends_with_it() {
    check(
        "10:00 hold alice 8h 4711
         40:00 exits 4712
         45:00 exits 4711
         76:00 end",
        "05:20 quiet
         10:00 hold 1 of alice
         10:00 held: 1
         45:00 hold 1 process gone
         50:00 quiet
         65:00 warn hibernate in 600s
         70:00 warn hibernate in 300s
         74:00 warn hibernate in 60s
         75:00 reread
         75:00 hibernate
         75:01 accepted",
    );
}

#[test]
fn a_hold_survives_the_agent_and_the_boot() {
    check(
        "10:00 hold alice 8h
         10:00 hold alice 8h 4711
         20:00 killed for 5s
         30:00 boots 10m
         60:00 end",
        "05:20 quiet
         10:00 hold 1 of alice
         10:00 held: 1
         10:00 hold 2 of alice
         10:00 held: 2
         20:20 quiet
         05:20 quiet",
    );
}

#[test]
fn a_block_keeps_the_machine_up_and_the_idle_time_begins_anew_at_its_end() {
    check(
        "10:00 block dpkg 4h
         60:00 unblock dpkg
         91:00 end",
        "05:20 quiet
         60:10 active: packages
         65:10 quiet
         80:10 warn hibernate in 600s
         85:10 warn hibernate in 300s
         89:10 warn hibernate in 60s
         90:10 reread
         90:10 hibernate
         90:11 accepted",
    );
}

#[test]
fn a_set_up_that_the_agent_meets_at_its_start_is_the_last_use_when_it_ends() {
    check(
        "block cloud-init 2h
         45:00 unblock cloud-init
         76:00 end",
        "05:20 quiet
         45:10 active: packages
         50:10 quiet
         65:10 warn hibernate in 600s
         70:10 warn hibernate in 300s
         74:10 warn hibernate in 60s
         75:10 reread
         75:10 hibernate
         75:11 accepted",
    );
}

#[test]
fn a_block_that_ends_while_the_agent_is_away_has_been_use_until_then() {
    check(
        "10:00 block dpkg 4h
         30:00 killed for 20s
         30:10 unblock dpkg
         61:00 end",
        "05:20 quiet
         35:30 quiet
         50:30 warn hibernate in 600s
         55:30 warn hibernate in 300s
         59:30 warn hibernate in 60s
         60:30 reread
         60:30 hibernate
         60:31 accepted",
    );
}

#[test]
fn the_end_of_a_block_that_outlived_its_cap_is_no_use() {
    check(
        "policy warn_before none
         01:00 block dpkg 20m
         25:00 unblock dpkg
         31:00 end",
        "05:20 quiet
         21:10 block of dpkg expired
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 accepted",
    );
}

#[test]
fn a_block_counts_for_no_longer_than_its_cap() {
    check(
        "10:00 block dpkg 1h
         73:00 end",
        "05:20 quiet
         70:10 block of dpkg expired
         70:10 warn hibernate in 120s
         71:10 warn hibernate in 60s
         72:10 reread
         72:10 hibernate
         72:11 accepted",
    );
}

#[test]
fn a_block_during_the_notice_calls_it_off() {
    check(
        "29:55 block dpkg 4h
         31:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:00 called off: blocked by packages (dpkg)
         30:00 quiet",
    );
}

#[test]
fn a_hold_never_adds_idleness() {
    // Used all the time while it is held: the hold's end alone is no reason.
    let scene = play(
        "00:00 cpu 1
         10:00 hold alice 1h
         100:00 end",
    );
    assert!(scene.trace.iter().all(|(_, line)| line != "hibernate"), "{:?}", scene.trace);
}
