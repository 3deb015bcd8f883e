//! What makes the agent wait longer: connections, jobs in the foreground, tags, and loops of stopping and starting.

use super::{check, play};

#[test]
fn a_silent_connection_doubles_the_time_and_does_not_block() {
    check(
        "with sessions
         connected pts/0
         62:00 end",
        "05:20 quiet
         50:20 warn hibernate in 600s
         55:20 warn hibernate in 300s
         59:20 warn hibernate in 60s
         60:20 reread
         60:20 hibernate
         60:21 accepted",
    );
}

#[test]
fn a_job_in_the_foreground_is_waited_for_up_to_its_own_limit() {
    check(
        "with sessions
         policy job_after 2h
         job pts/0
         125:00 end",
        "05:20 quiet
         110:20 warn hibernate in 600s
         115:20 warn hibernate in 300s
         119:20 warn hibernate in 60s
         120:20 reread
         120:20 hibernate
         120:21 accepted",
    );
}

#[test]
fn a_connection_that_comes_and_stays_is_use_at_the_time_it_came() {
    check(
        "with sessions
         10:00 connected pts/1
         72:00 end",
        "05:20 quiet
         11:10 active: sessions (pts/1, alice)
         15:10 quiet
         60:10 warn hibernate in 600s
         65:10 warn hibernate in 300s
         69:10 warn hibernate in 60s
         70:10 reread
         70:10 hibernate
         70:11 accepted",
    );
}

#[test]
fn a_connection_that_looks_in_for_some_seconds_changes_nothing() {
    check(
        "with sessions
         10:00 connected monitor
         10:30 leaves monitor
         31:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hibernate
         30:21 accepted",
    );
}

#[test]
fn a_session_or_a_job_that_begins_during_the_notice_calls_it_off() {
    for what in ["connected pts/1", "job pts/1"] {
        let scene = play(&format!("with sessions\n29:55 {what}\n40:00 end"));
        let lines: Vec<&str> = scene.trace.iter().map(|(_, line)| line.as_str()).collect();
        assert!(!lines.contains(&"hibernate"), "{what}: {lines:?}");
        let off = lines.iter().find(|line| line.starts_with("called off")).unwrap();
        assert!(off.contains("pts/1"), "{what}: {off}");
    }
}

#[test]
fn the_end_of_a_long_job_is_use_and_the_end_of_a_short_one_is_not() {
    check(
        "with sessions
         policy connected_after 30m
         job pts/0
         50:00 connected pts/0
         81:00 end",
        "05:20 quiet
         50:10 active: sessions (pts/0, alice)
         55:10 quiet
         70:10 warn hibernate in 600s
         75:10 warn hibernate in 300s
         79:10 warn hibernate in 60s
         80:10 reread
         80:10 hibernate
         80:11 accepted",
    );
    check(
        "with sessions
         policy connected_after 30m
         05:30 job pts/0
         14:00 leaves pts/0
         31:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hibernate
         30:21 accepted",
    );
}

#[test]
fn the_end_of_a_connection_is_use_because_somebody_was_there_until_then() {
    check(
        "with sessions
         connected pts/0
         40:00 leaves pts/0
         71:00 end",
        "05:20 quiet
         40:10 active: sessions
         45:10 quiet
         60:10 warn hibernate in 600s
         65:10 warn hibernate in 300s
         69:10 warn hibernate in 60s
         70:10 reread
         70:10 hibernate
         70:11 accepted",
    );
}

#[test]
fn tags_can_only_make_it_wait_longer() {
    check(
        "00:01 wish after=5m
         31:00 end",
        "00:01 wished
         05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:20 reread
         30:20 hibernate
         30:21 accepted",
    );
    let scene = play("00:01 wish after=2h\n119:00 end");
    assert!(scene.trace.iter().all(|(_, line)| line != "hibernate"));
    let scene = play("00:01 wish after=2h\n121:00 end");
    assert!(scene.trace.iter().any(|(_, line)| line == "hibernate"));
}

#[test]
fn a_tag_can_make_it_observe_and_calls_a_countdown_off() {
    let scene = play("25:00 wish observe\n50:00 end");
    let lines: Vec<&str> = scene.trace.iter().map(|(_, line)| line.as_str()).collect();
    assert!(!lines.contains(&"hibernate"), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("called off")), "{lines:?}");
    assert!(lines.contains(&"would hibernate"), "{lines:?}");
}

#[test]
fn a_tag_can_hold_the_machine_up_for_no_longer_than_an_administrator_could() {
    let scene = play("00:01 wish hold=2h\n119:59 end");
    assert!(scene.trace.iter().all(|(_, line)| line != "hibernate"));
    let scene = play("00:01 wish hold=2h\n151:00 end");
    let stops: Vec<_> = scene.trace.iter().filter(|(_, line)| line == "hibernate").collect();
    assert_eq!(stops.len(), 1, "{:?}", scene.trace);
    assert_eq!(stops[0].0 / 60_000, 150, "half an hour after the end of the hold");
    let scene = play("00:01 wish hold=30d\n4360:00 end");
    assert!(scene.trace.iter().any(|(_, line)| line == "hibernate"), "72 hours are over");
}

#[test]
fn after_a_stop_of_its_own_the_machine_runs_for_a_least_time() {
    let scene = play(
        "policy act_after 5m
         policy action stop
         policy warn_before none
         policy least_run 30m
         06:00 boots 1h
         60:00 end",
    );
    let stops: Vec<u64> =
        scene.trace.iter().filter(|(_, line)| line == "stop").map(|(at, _)| *at).collect();
    assert_eq!(stops.len(), 2, "{:?}", scene.trace);
    assert!(stops[1] >= 5_000 + 30 * 60_000, "{:?}", scene.trace);
}

#[test]
fn three_stops_that_people_undo_at_once_double_the_time() {
    let again = "boots 5m\n 00:30 key pts/0";
    let once = "policy act_after 10m
         policy action stop
         policy warn_before none
         11:30 boots 5m
         00:30 key pts/0";
    let scene = play(&format!("{once}\n12:00 {again}\n12:00 {again}\n12:00 end"));
    let lines: Vec<&str> = scene.trace.iter().map(|(_, line)| line.as_str()).collect();
    assert!(lines.contains(&"looping, waits 1200s"), "{lines:?}");
    let scene = play(&format!("{once}\n12:00 {again}\n12:00 {again}\n24:00 end"));
    let stops = scene.trace.iter().filter(|(_, line)| line == "stop").count();
    assert_eq!(stops, 4, "{:?}", scene.trace);
}

#[test]
fn the_same_evidence_is_told_by_person() {
    let scene = play("with sessions\nconnected pts/0\ncpu 1\n06:00 end");
    let view = scene.engine.as_ref().unwrap().view(scene.stamp());
    let users: Vec<_> =
        view.users.iter().map(|user| (user.user.as_str(), user.keeps_up.join(", "))).collect();
    assert_eq!(users, [("alice", "cpu: user.slice, sessions: pts/0".to_owned())]);
    assert!(view.users[0].last_activity.is_some());
}
