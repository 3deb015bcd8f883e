//! Holds and blocks: whatever the sources say, they keep the machine up.

use super::{check, play};

#[test]
fn a_hold_keeps_the_machine_up_and_its_end_is_the_time_of_the_action() {
    check(
        "10:00 hold alice 1h
         75:00 end",
        "05:20 quiet
         10:00 hold 1 of alice
         10:00 held: 1
         60:00 warn hibernate in 600s
         65:00 warn hibernate in 300s
         69:00 warn hibernate in 60s
         70:00 hold 1 expired
         70:00 reread
         70:00 hibernate
         70:01 accepted",
    );
}

#[test]
fn a_hold_during_the_notice_calls_it_off() {
    check(
        "29:30 hold alice 20m
         51:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         29:30 hold 1 of alice
         29:30 called off: 'alice' holds the machine up: training
         29:30 held: 1
         29:30 quiet
         39:30 warn hibernate in 600s
         44:30 warn hibernate in 300s
         48:30 warn hibernate in 60s
         49:30 hold 1 expired
         49:30 reread
         49:30 hibernate
         49:31 accepted",
    );
}

#[test]
fn a_hold_that_is_released_ends_at_once() {
    check(
        "10:00 hold alice 8h
         60:00 release bob 1
         60:01 release alice
         63:00 end",
        "05:20 quiet
         10:00 hold 1 of alice
         10:00 held: 1
         60:00 denied: not permitted
         60:01 hold 1 released
         60:01 released: 1
         60:01 warn hibernate in 120s
         61:01 warn hibernate in 60s
         62:01 reread
         62:01 hibernate
         62:02 accepted",
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
         48:00 end",
        "05:20 quiet
         10:00 hold 1 of alice
         10:00 held: 1
         45:00 hold 1 process gone
         45:00 warn hibernate in 120s
         46:00 warn hibernate in 60s
         47:00 reread
         47:00 hibernate
         47:01 accepted",
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
fn a_block_keeps_the_machine_up_until_it_ends() {
    check(
        "10:00 block dpkg 4h
         60:00 unblock dpkg
         63:00 end",
        "05:20 quiet
         60:10 warn hibernate in 120s
         61:10 warn hibernate in 60s
         62:10 reread
         62:10 hibernate
         62:11 accepted",
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
