//! What an administrator asks for passes the same gates.

use super::check;

#[test]
fn an_administrator_stops_a_busy_machine_at_once() {
    check(
        "00:00 cpu 4
         10:00 root asks stop
         11:00 end",
        "10:00 acting: stop
         10:00 reread
         10:00 stop
         10:01 accepted",
    );
}

#[test]
fn the_hook_runs_for_an_administrator_too() {
    check(
        "policy hook true
         00:00 cpu 4
         10:00 root asks hibernate
         12:00 end",
        "10:00 acting: hibernate
         10:00 reread
         10:00 hook
         10:50 reread
         10:50 hibernate
         10:51 accepted",
    );
}

#[test]
fn a_dry_run_does_nothing() {
    check(
        "00:00 cpu 4
         10:00 root asks stop dry-run
         20:00 end",
        "10:00 acting: stop, dry run",
    );
}

#[test]
fn nobody_else_may() {
    check(
        "00:00 cpu 4
         10:00 alice asks stop
         11:00 end",
        "10:00 denied: not permitted",
    );
}

#[test]
fn only_observing_nobody_may() {
    check(
        "policy mode observe
         00:00 cpu 4
         10:00 root asks stop
         11:00 end",
        "10:00 denied: policy: the mode is 'observe', which never acts; set mode = \"enforce\" in /etc/agentd/agentd.toml",
    );
}

#[test]
fn an_unknown_instance_cannot_be_stopped() {
    check(
        "ec2 unknown
         00:00 cpu 4
         10:00 root asks stop
         11:00 end",
        "10:00 denied: blind",
    );
}

#[test]
fn what_ec2_refuses_is_refused_with_its_reason() {
    check(
        "ec2 cannot hibernate
         00:00 cpu 4
         10:00 root asks hibernate
         11:00 end",
        "10:00 denied: policy: EC2 says not-configured (not-configured)",
    );
}

#[test]
fn holds_and_blocks_stand_above_an_administrator() {
    check(
        "00:00 cpu 4
         10:00 hold alice 5m
         11:00 root asks stop
         16:00 block dpkg 1h
         17:00 root asks stop
         18:00 end",
        "10:00 hold 1 of alice
         10:00 held: 1
         11:00 denied: policy: 'alice' holds the machine up (hold 1: \"training\"); end it with 'agentctl release 1'
         15:00 hold 1 expired
         17:00 denied: policy: 'packages' blocks it: dpkg; wait until it has ended",
    );
}

#[test]
fn a_block_that_cannot_be_read_any_more_has_not_ended() {
    check(
        "00:00 cpu 4
         10:00 block dpkg 1h
         11:00 blind packages
         12:00 root asks stop
         13:00 unblock dpkg
         13:01 see packages
         14:00 root asks stop
         14:30 end",
        "11:10 packages blind: input/output error
         12:00 denied: policy: 'packages' blocks it; wait until it has ended
         13:10 packages back after 120s
         14:00 acting: stop
         14:00 reread
         14:00 stop
         14:01 accepted",
    );
}

#[test]
fn a_hold_that_comes_in_time_calls_an_operators_action_off() {
    check(
        "policy hook true
         00:00 cpu 4
         10:00 root asks stop
         10:10 hold alice 5m
         12:00 end",
        "10:00 acting: stop
         10:00 reread
         10:00 hook
         10:10 hold 1 of alice
         10:10 held: 1
         10:20 called off: 'alice' holds the machine up: training",
    );
}

#[test]
fn one_action_at_a_time() {
    check(
        "policy hook true
         00:00 cpu 4
         10:00 root asks stop
         10:01 root asks hibernate
         12:00 end",
        "10:00 acting: stop
         10:00 reread
         10:00 hook
         10:01 denied: policy: an action is under way already; see 'agentctl status'
         10:50 reread
         10:50 stop
         10:51 accepted",
    );
}

#[test]
fn an_operator_takes_a_countdown_over() {
    check(
        "22:00 root asks stop
         23:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         22:00 acting: stop
         22:00 reread
         22:00 stop
         22:01 accepted",
    );
}

#[test]
fn who_asks_to_keep_the_memory_is_not_served_by_losing_it() {
    check(
        "policy fallback stop
         ec2 refuses hibernation unsupported
         00:00 cpu 4
         10:00 root asks hibernate
         11:00 end",
        "10:00 acting: hibernate
         10:00 reread
         10:00 hibernate
         10:01 refused: unsupported",
    );
}

#[test]
fn an_operators_request_does_not_outlive_a_resume() {
    check(
        "policy hook true
         hook takes 5m
         00:00 cpu 4
         10:00 root asks stop
         11:00 sleeps 1h
         80:00 end",
        "10:00 acting: stop
         10:00 reread
         10:00 hook
         71:00 resumed after 3600s
         71:00 called off: it was asked for too long ago",
    );
}
