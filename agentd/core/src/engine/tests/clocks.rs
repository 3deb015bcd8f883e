//! Clocks: resumes, gaps, steps of the wall, time that runs backwards.

use super::{check, play};

#[test]
fn a_machine_that_comes_back_from_hibernation_says_so_and_begins_anew() {
    check(
        "policy warn_before 2m
         30:30 sleeps 14h
         920:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 accepted
         870:30 hibernated for 50400s
         875:50 quiet
         898:50 warn hibernate in 120s
         900:50 reread
         900:50 hibernate
         900:51 accepted
         905:51 describe
         910:51 describe
         915:51 describe",
    );
}

#[test]
fn a_resume_that_nobody_asked_for_begins_every_window_anew() {
    check(
        "policy warn_before 2m
         25:00 sleeps 2h
         185:00 end",
        "05:20 quiet
         145:00 resumed after 7200s
         150:20 quiet
         173:20 warn hibernate in 120s
         175:20 reread
         175:20 hibernate
         175:21 accepted
         180:21 describe",
    );
}

#[test]
fn a_resume_is_told_once_although_the_kernel_and_logind_both_tell_it() {
    check(
        "policy warn_before 2m
         25:00 sleeps 2h
         145:00 resumed
         145:03 resumed
         150:00 end",
        "05:20 quiet
         145:00 resumed after 7200s",
    );
    check(
        "policy warn_before 2m
         25:00 resumed
         25:02 resumed
         30:00 end",
        "05:20 quiet
         25:00 resumed after 0s",
    );
}

#[test]
fn logind_alone_is_enough_to_know_of_a_resume() {
    check(
        "policy warn_before 2m
         30:30 resumed
         31:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 accepted
         30:30 hibernated for 0s",
    );
}

#[test]
fn a_gap_is_not_a_hibernation() {
    check(
        "policy warn_before 2m
         30:30 stalls 2m
         40:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         30:20 reread
         30:20 hibernate
         30:21 accepted
         32:30 gap of 120s
         35:21 describe",
    );
}

#[test]
fn a_gap_begins_the_period_anew() {
    check(
        "policy warn_before 2m
         20:00 stalls 61s
         55:00 end",
        "05:20 quiet
         21:01 gap of 61s
         26:20 quiet
         49:20 warn hibernate in 120s
         51:20 reread
         51:20 hibernate
         51:21 accepted",
    );
}

#[test]
fn a_short_stall_is_no_gap() {
    check(
        "policy warn_before 2m
         20:00 stalls 45s
         31:00 end",
        "05:20 quiet
         20:45 cpu blind: no reading for 45 s
         20:45 gpu blind: no reading for 45 s
         20:45 input blind: no reading for 45 s
         20:45 packages blind: no reading for 45 s
         20:50 cpu back after 4s
         20:50 gpu back after 4s
         20:50 input back after 4s
         20:50 packages back after 4s
         28:39 warn hibernate in 120s
         30:39 reread
         30:39 hibernate
         30:40 accepted",
    );
}

#[test]
fn a_gap_during_the_notice_calls_it_off() {
    check(
        "25:00 stalls 2m
         28:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         27:00 gap of 120s
         27:00 called off: the machine was away or unknown for a while",
    );
}

#[test]
fn steps_of_the_wall_clock_change_nothing() {
    for years in [-10_i64, 10] {
        let step = years * 31_557_600_000;
        let scene = play(&format!("12:00 wall {step}\n25:00 wall {step}\n31:00 end"));
        let acted: Vec<u64> =
            scene.trace.iter().filter(|(_, l)| l == "hibernate").map(|(at, _)| *at).collect();
        assert_eq!(acted, [30 * 60_000 + 20_000], "{years} years: {:?}", scene.trace);
    }
}

#[test]
fn time_that_runs_backwards_is_told_once_and_nothing_counts_as_idle() {
    check(
        "policy warn_before 2m
         29:30 back 10m
         65:00 end",
        "05:20 quiet
         28:20 warn hibernate in 120s
         19:40 unexpected: CLOCK_BOOTTIME went back by 590000 ms
         19:40 called off: the machine was away or unknown for a while
         34:30 quiet
         57:30 warn hibernate in 120s
         59:30 reread
         59:30 hibernate
         59:31 accepted
         64:31 describe",
    );
}

#[test]
fn the_same_moment_twice_adds_nothing() {
    let ticks = "29:58 tick\n".repeat(50);
    let scene = play(&(ticks + "29:59 end"));
    assert!(scene.trace.iter().all(|(_, line)| line != "hibernate"), "{:?}", scene.trace);
}
