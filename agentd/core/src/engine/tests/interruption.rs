//! What EC2 announces, and the drain.

use super::{check, play};

fn did(script: &str) -> Vec<String> {
    play(script).trace.into_iter().map(|(_, line)| line).collect()
}

fn count(lines: &[String], begin: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(begin)).count()
}

#[test]
fn hooks_run_one_after_the_other_from_the_moment_of_the_notice() {
    check(
        "policy hooks /opt/save,stop_web
         cpu 1
         00:07 notice spot terminate in 2m
         01:00 end",
        "00:07 runs /opt/save, ends in 100000ms
         00:07 notify noticed spot-terminate: 2 hooks run until 08:01:47 UTC
         00:12 /opt/save done in 5000ms
         00:12 runs stop web, ends in 95000ms
         00:17 stop web done in 5000ms
         00:17 drained spot-terminate in 10000ms
         00:17 notify drained spot-terminate: '/opt/save' done in 5.0 s, 'stop web' done in 5.0 s",
    );
}

#[test]
fn a_hook_that_fails_does_not_stop_the_others() {
    let lines = did("policy hooks /opt/bad,/opt/good
                     00:07 notice spot stop in 2m
                     01:00 end");
    assert!(lines.contains(&"/opt/bad failed: exit status 3".to_owned()), "{lines:?}");
    assert!(lines.contains(&"/opt/good done in 5000ms".to_owned()), "{lines:?}");
    assert!(lines.contains(&"drained spot-stop in 10000ms, not well".to_owned()), "{lines:?}");
}

#[test]
fn a_hook_that_never_reports_is_given_up_and_leaves_no_time_for_the_next() {
    check(
        "policy hooks /opt/hangs,/opt/good
         cpu 1
         00:07 notice spot terminate in 2m
         02:10 end",
        "00:07 runs /opt/hangs, ends in 100000ms
         00:07 notify noticed spot-terminate: 2 hooks run until 08:01:47 UTC
         02:02 /opt/hangs failed: did not report
         02:02 drained spot-terminate in 115000ms, not well
         02:02 notify drained spot-terminate: '/opt/hangs' failed in 115.0 s, '/opt/good' skipped",
    );
}

#[test]
fn what_is_left_is_divided_where_it_is_short() {
    for (left, ends) in [("40s", 20_000), ("39s", 19_500), ("4s", 2000), ("-1s", 40_000)] {
        let lines = did(&format!(
            "policy hooks /opt/save
             00:07 notice spot terminate in {left}
             00:20 end"
        ));
        assert_eq!(lines[0], format!("runs /opt/save, ends in {ends}ms"), "{left} are left");
    }
}

#[test]
fn a_hibernation_gets_the_fast_hooks_alone_and_two_seconds() {
    let lines = did("policy hooks /opt/slow
                     policy fast_hooks /opt/fast
                     drain takes 1s
                     00:07 notice spot hibernate in 2m
                     01:00 end");
    assert_eq!(lines[0], "runs /opt/fast, ends in 2000ms");
    assert_eq!(count(&lines, "runs"), 1, "{lines:?}");
}

#[test]
fn a_deadline_moves_earlier_only_and_hurries_the_hook_that_runs() {
    let lines = did("policy hooks /opt/hangs
                     00:07 notice spot terminate in 2m
                     00:10 notice spot terminate in 2m
                     00:12 notice spot terminate in 1m
                     00:14 notice spot terminate in 5m
                     00:20 end");
    assert_eq!(count(&lines, "moved spot-terminate: 60000ms left"), 1, "{lines:?}");
    assert_eq!(count(&lines, "hurry, ends in 40000ms, killed in 50000ms"), 1, "{lines:?}");
    assert_eq!((count(&lines, "moved"), count(&lines, "runs")), (1, 1), "{lines:?}");
}

#[test]
fn a_stale_or_far_away_notice_is_said_once_and_nothing_is_done() {
    for left in ["-11m", "61m", "9d"] {
        let lines = did(&format!(
            "policy hooks /opt/save
             00:07 notice spot terminate in {left}
             00:09 notice spot terminate in {left}
             00:11 notice spot terminate in {left}
             00:20 end"
        ));
        assert_eq!(count(&lines, "stale spot interruption"), 1, "{left}: {lines:?}");
        assert_eq!(lines.len(), 1, "{left}: {lines:?}");
    }
}

#[test]
fn a_far_away_notice_that_comes_near_is_acted_on() {
    let lines = did("policy hooks /opt/save
                     00:07 notice spot terminate in 61m
                     00:09 notice spot terminate in 59m
                     00:20 end");
    assert_eq!(count(&lines, "runs /opt/save"), 1, "{lines:?}");
}

#[test]
fn a_deadline_that_runs_away_with_every_poll_runs_hooks_once() {
    let poll = |n| format!("{:02}:{:02} notice spot terminate in 2m", n * 2 / 60, n * 2 % 60);
    let polls = (1..4000).map(poll).collect::<Vec<_>>().join("\n");
    let lines = did(&format!("policy hooks /opt/save\ncpu 1\n{polls}"));
    assert_eq!((count(&lines, "runs"), count(&lines, "over")), (1, 0), "{lines:?}");
}

#[test]
fn a_notice_that_never_comes_true_ends_after_ten_minutes_and_what_it_stopped_starts_again() {
    let lines = did("policy hooks stop_web,/opt/save
                     cpu 1
                     00:07 notice spot terminate in 2m
                     12:06 notice spot terminate in -599s
                     12:08 notice spot terminate in -601s
                     12:09 notice spot terminate in -599s
                     13:00 end");
    assert_eq!(count(&lines, "over spot-terminate: never came"), 1, "{lines:?}");
    assert_eq!(count(&lines, "undo start web"), 1, "{lines:?}");
    assert_eq!(count(&lines, "runs"), 2, "a poll after its end opens nothing: {lines:?}");
    assert_eq!(count(&lines, "notify never-came"), 1, "{lines:?}");
}

#[test]
fn only_observing_nothing_runs_and_people_are_told() {
    let lines = did("policy mode observe
                     policy hooks /opt/save,stop_web
                     00:07 notice spot terminate in 2m
                     00:09 notice target Terminated
                     15:00 end");
    assert_eq!(count(&lines, "would run 2 hooks"), 2, "{lines:?}");
    assert_eq!(count(&lines, "runs") + count(&lines, "autoscaling") + count(&lines, "undo"), 0);
    assert_eq!(count(&lines, "notify noticed"), 2, "{lines:?}");
}

#[test]
fn switched_off_every_notice_is_ignored() {
    let lines = did("policy hooks /opt/save
                     policy interruption false
                     00:07 notice spot terminate in 2m
                     00:08 notice target Terminated
                     00:20 end");
    assert!(lines.is_empty(), "{lines:?}");
}

#[test]
fn a_second_notice_joins_the_drain_and_hurries_it() {
    let lines = did("policy hooks /opt/save,stop_web
                     policy rebalance drain
                     drain takes 100s
                     00:07 notice rebalance 7
                     00:27 notice spot stop in 2m
                     00:28 notice spot terminate in 1m
                     01:00 end");
    assert_eq!(count(&lines, "runs /opt/save"), 1, "{lines:?}");
    assert!(lines.contains(&"hurry, ends in 100000ms, killed in 110000ms".to_owned()), "{lines:?}");
    assert!(lines.contains(&"hurry, ends in 40000ms, killed in 50000ms".to_owned()), "{lines:?}");
}

#[test]
fn what_a_joined_alert_needs_stopped_is_not_started_when_the_first_ends() {
    let lines = did("policy hooks stop_web
                     policy maintenance drain
                     cpu 1
                     00:07 notice event e1 system-reboot in 5m
                     00:27 notice spot terminate in 2m
                     00:40 withdrawn e1
                     14:00 end");
    assert_eq!(count(&lines, "runs stop web"), 1, "{lines:?}");
    let undo = lines.iter().position(|line| line.starts_with("undo start web")).unwrap();
    let over = lines.iter().position(|line| line == "over spot-terminate: never came").unwrap();
    assert!(undo > over, "{lines:?}");
}

#[test]
fn a_recommendation_is_told_and_expires_and_is_read_for_ever_without_effect() {
    let mut script = "policy hooks stop_web
                      policy rebalance notify
                      cpu 1
                      00:07 notice rebalance 7
                      61:00 notice rebalance 7
                      61:05 killed for 5s
                      61:20 notice rebalance 7
                      62:00 end"
        .to_owned();
    let lines = did(&script);
    assert_eq!((count(&lines, "notify noticed"), count(&lines, "runs")), (1, 0), "{lines:?}");
    assert_eq!(count(&lines, "over rebalance-7: expired"), 1, "{lines:?}");
    script = script.replace("rebalance notify", "rebalance drain");
    let lines = did(&script);
    assert_eq!((count(&lines, "runs"), count(&lines, "undo start web")), (1, 1), "{lines:?}");
}

#[test]
fn recommendations_lead_to_one_drain_an_hour() {
    let lines = did("policy hooks /opt/save
                     policy rebalance drain
                     cpu 1
                     00:07 notice rebalance 7
                     30:00 notice rebalance 8
                     62:00 notice rebalance 9
                     63:00 end");
    assert_eq!(count(&lines, "runs"), 2, "{lines:?}");
}

#[test]
fn an_event_is_told_at_once_and_drained_ten_minutes_before_never_earlier() {
    let lines = play(
        "policy hooks stop_web
         policy maintenance drain
         cpu 1
         00:07 notice event e1 system-reboot in 40m
         01:07 notice event e1 system-reboot in 39m
         31:00 end",
    );
    let at =
        |what: &str| lines.trace.iter().find(|(_, line)| line.starts_with(what)).map(|(at, _)| *at);
    assert_eq!(at("notify noticed"), Some(7000));
    assert_eq!(at("runs stop web"), Some(30 * 60_000 + 7000));
}

#[test]
fn an_event_that_is_withdrawn_starts_again_what_was_stopped_and_stays_closed() {
    let lines = did("policy hooks stop_web
                     policy maintenance drain
                     cpu 1
                     00:07 notice event e1 system-reboot in 5m
                     02:00 withdrawn e1
                     03:00 end");
    assert_eq!(count(&lines, "over e1@1800000307000: withdrawn"), 1, "{lines:?}");
    assert_eq!(count(&lines, "undo start web"), 1, "{lines:?}");
    assert_eq!(count(&lines, "notify withdrawn"), 1, "{lines:?}");
}

#[test]
fn an_event_that_leaves_the_machine_up_or_is_only_told_runs_nothing() {
    for (code, reaction) in [("system-maintenance", "drain"), ("system-reboot", "notify")] {
        let lines = did(&format!(
            "policy hooks stop_web
             policy maintenance {reaction}
             cpu 1
             00:07 notice event e1 {code} in 5m
             10:00 end"
        ));
        assert_eq!(count(&lines, "runs"), 0, "{lines:?}");
    }
}

#[test]
fn a_termination_by_the_group_is_drained_with_heartbeats_and_completed() {
    check(
        "policy hooks /opt/save
         cpu 1
         drain takes 45s
         00:07 notice target Terminated
         00:09 notice target Terminated
         02:00 end",
        "00:07 target Terminated
         00:07 runs /opt/save, ends in 580000ms
         00:07 notify noticed autoscaling-Terminated: 1 hook runs until 08:09:47 UTC
         00:07 autoscaling-heartbeat
         00:27 autoscaling-heartbeat
         00:47 autoscaling-heartbeat
         00:52 /opt/save done in 45000ms
         00:52 drained autoscaling-Terminated in 45000ms
         00:52 notify drained autoscaling-Terminated: '/opt/save' done in 45.0 s
         00:52 autoscaling-complete
         00:52 group complete ok: as asked",
    );
}

#[test]
fn a_completion_is_tried_again_five_times_and_no_heartbeat_follows_a_refusal() {
    let lines = did("policy hooks /opt/save
                     cpu 1
                     drain takes 50s
                     group refuses
                     group throttles 9
                     00:07 notice target Terminated
                     03:00 end");
    assert_eq!(count(&lines, "autoscaling-heartbeat"), 1, "{lines:?}");
    assert_eq!(count(&lines, "autoscaling-complete"), 6, "{lines:?}");
    assert_eq!(count(&lines, "group complete failed"), 1, "{lines:?}");
}

#[test]
fn without_hooks_the_group_may_go_on_at_once_and_when_only_told_it_is_not_completed() {
    for (reaction, calls) in [("drain", 1), ("notify", 0)] {
        let lines = did(&format!(
            "policy autoscaling {reaction}
             cpu 1
             00:07 notice target Terminated
             01:00 end"
        ));
        assert_eq!(count(&lines, "autoscaling-complete"), calls, "{reaction}: {lines:?}");
    }
}

#[test]
fn the_same_target_state_is_one_event_however_often_it_is_read() {
    let poll = |n| format!("{:02}:{:02} notice target Terminated", n / 60, n % 60);
    let polls = (1..1000).map(poll).collect::<Vec<_>>().join("\n");
    let lines = did(&format!("policy hooks /opt/save\ncpu 1\n{polls}"));
    assert_eq!((count(&lines, "target"), count(&lines, "runs")), (1, 1), "{lines:?}");
}

#[test]
fn a_spot_notice_and_the_group_share_one_drain_and_the_group_is_told_of_its_end() {
    let lines = did("policy hooks /opt/save
                     cpu 1
                     drain takes 30s
                     00:07 notice spot terminate in 2m
                     00:12 notice target Terminated
                     01:00 end");
    assert_eq!(count(&lines, "runs"), 1, "{lines:?}");
    let drained = lines.iter().position(|line| line.starts_with("drained")).unwrap();
    let told = lines.iter().position(|line| line == "autoscaling-complete").unwrap();
    assert!(told > drained, "{lines:?}");
}

#[test]
fn a_member_of_a_group_is_not_stopped() {
    let lines = did("policy interruption true
                     00:01 notice target InService
                     00:10 root asks stop
                     90:00 end");
    assert_eq!(count(&lines, "stop") + count(&lines, "hibernate") + count(&lines, "reread"), 0);
    assert!(lines.iter().any(|line| line.contains("auto-scaling-member")), "{lines:?}");
}

#[test]
fn where_the_policy_allows_it_a_member_is_put_on_standby_before_and_put_back_after() {
    // The metadata service has no target state of an instance that never changed it; then its tags tell.
    for member in ["00:01 notice target InService", "ec2 member"] {
        let lines = did(&format!(
            "policy interruption true
             policy standby true
             policy fallback stop
             {member}
             00:10 root asks stop
             01:30 boots 5m
             01:00 end"
        ));
        let wanted = ["autoscaling-enter-standby", "stop", "autoscaling-exit-standby"];
        let order: Vec<&str> =
            lines.iter().map(String::as_str).filter(|l| wanted.contains(l)).collect();
        assert_eq!(order, wanted, "{member}: {lines:?}");
    }
}

#[test]
fn an_action_that_is_called_off_on_standby_puts_the_instance_back() {
    let lines = did("policy interruption true
                     policy standby true
                     00:01 notice target InService
                     00:10 root asks stop
                     00:15 hold alice 1h
                     02:00 end");
    assert_eq!(count(&lines, "called off"), 1, "{lines:?}");
    assert_eq!(count(&lines, "stop"), 0, "{lines:?}");
    assert_eq!(count(&lines, "autoscaling-exit-standby"), 1, "{lines:?}");
}

#[test]
fn while_the_group_may_still_answer_it_is_not_asked_for_standby_again() {
    // It slept while the answer was awaited: who answers slept, too, so the answer may come yet.
    for sleep in ["30:05 sleeps 59s", "30:05 sleeps 10m", ""] {
        let lines = did(&format!(
            "policy interruption true
             policy standby true
             group takes 90m
             00:01 notice target InService
             {sleep}
             85:00 end"
        ));
        assert_eq!(count(&lines, "autoscaling-enter-standby"), 1, "{sleep}: {lines:?}");
        assert_eq!(count(&lines, "stop") + count(&lines, "hibernate"), 0, "{sleep}: {lines:?}");
    }
}

#[test]
fn a_group_that_refuses_standby_is_obeyed() {
    let lines = did("policy interruption true
                     policy standby true
                     group refuses
                     00:01 notice target InService
                     00:10 root asks stop
                     02:00 end");
    assert_eq!((count(&lines, "refused: no"), count(&lines, "stop")), (1, 0), "{lines:?}");
    assert_eq!(count(&lines, "autoscaling-exit"), 0, "{lines:?}");
}

#[test]
fn an_interruption_calls_the_idle_action_off_at_every_moment() {
    for second in (28 * 60..31 * 60 + 20).step_by(7) {
        let lines = did(&format!(
            "policy hooks /opt/save
             policy hook true
             policy warn_before 2m
             ec2 call leaves after 20s
             hook takes 30s
             {:02}:{:02} notice spot terminate in 2m
             36:00 end",
            second / 60,
            second % 60
        ));
        assert_eq!(count(&lines, "hibernate"), 0, "at {second} s: {lines:?}");
        assert_eq!(count(&lines, "runs /opt/save"), 1, "at {second} s: {lines:?}");
    }
}

#[test]
fn a_call_that_has_not_left_is_withdrawn() {
    let lines = did("policy hooks /opt/save
                     ec2 call leaves after 20s
                     00:10 root asks stop
                     00:15 notice spot terminate in 2m
                     02:00 end");
    assert_eq!(count(&lines, "withdraw"), 1, "{lines:?}");
    assert!(
        lines.iter().any(|line| line.starts_with("called off: EC2 terminates this instance at")),
        "{lines:?}"
    );
}

#[test]
fn what_ec2_leaves_is_not_shortened_by_an_administrator() {
    let lines = did("policy hooks /opt/save
                     00:07 notice spot terminate in 2m
                     00:10 root asks stop
                     00:30 end");
    let denied = "denied: policy: EC2 terminates this instance at 08:02:07 UTC; the agent does not shorten that";
    assert!(lines.contains(&denied.to_owned()), "{lines:?}");
}

#[test]
fn the_tag_says_so_after_the_hooks_began() {
    let lines = did("policy hooks /opt/save
                     cpu 1
                     show tags
                     02:07 notice spot terminate in 2m
                     02:30 end");
    let tag = lines.iter().position(|line| line == "tag interrupted").unwrap();
    assert!(tag > lines.iter().position(|line| line.starts_with("runs")).unwrap(), "{lines:?}");
    assert_eq!(count(&lines, "tag interrupted"), 1, "{lines:?}");
}

#[test]
fn a_killed_agent_starts_no_hook_twice_and_goes_on_with_the_next_at_once() {
    check(
        "policy hooks /opt/save,stop_web
         cpu 1
         00:07 notice spot terminate in 2m
         00:09 killed for 1s
         00:11 notice spot terminate in 116s
         00:20 end",
        "00:07 runs /opt/save, ends in 100000ms
         00:07 notify noticed spot-terminate: 2 hooks run until 08:01:47 UTC
         00:10 /opt/save lost: the agent was restarted meanwhile; it is not started again
         00:10 runs stop web, ends in 97000ms
         00:15 stop web done in 5000ms
         00:15 drained spot-terminate in 8000ms, not well
         00:15 notify drained spot-terminate: '/opt/save' lost, 'stop web' done in 5.0 s",
    );
}

#[test]
fn after_the_next_boot_it_is_told_what_happened() {
    let lines = did("policy hooks /opt/save
                     cpu 1
                     00:07 notice spot stop in 2m
                     01:00 boots 30m
                     01:00 end");
    assert_eq!(count(&lines, "over spot-stop: started again"), 1, "{lines:?}");
    let told = lines.iter().find(|line| line.starts_with("notify came-back spot-stop")).unwrap();
    assert!(told.ends_with("'/opt/save' done in 5.0 s"), "{told}");
}

#[test]
fn after_a_resume_it_is_told_what_happened() {
    let lines = did("policy fast_hooks /opt/fast
                     drain takes 1s
                     cpu 1
                     00:07 notice spot hibernate in 2m
                     00:12 sleeps 5h
                     301:00 end");
    assert_eq!(count(&lines, "over spot-hibernate: resumed"), 1, "{lines:?}");
    assert_eq!(count(&lines, "notify came-back"), 1, "{lines:?}");
}

#[test]
fn a_drill_is_gone_through_like_a_notice_and_keeps_nothing_else_from_happening() {
    let lines = did("policy hooks stop_web
                     cpu 1
                     00:07 root drills terminate in 2m
                     00:08 root drills terminate in 2m
                     00:09 alice drills terminate in 2m
                     00:30 root asks stop dry-run
                     02:30 end");
    assert_eq!(lines[1], "drill runs stop web, ends in 100000ms", "{lines:?}");
    assert!(lines.contains(&"drilling: 1 hooks".to_owned()), "{lines:?}");
    assert!(lines.contains(&"acting: stop, dry run".to_owned()), "{lines:?}");
    assert_eq!(count(&lines, "denied"), 2, "{lines:?}");
    assert_eq!(count(&lines, "drill undo start web"), 1, "{lines:?}");
    assert!(lines.iter().any(|line| line.ends_with("drill over")), "{lines:?}");
}

#[test]
fn a_drill_gives_way_to_a_notice_at_once() {
    check(
        "policy hooks /opt/save,stop_web
         cpu 1
         drain takes 30s
         00:07 root drills terminate in 2m
         00:10 notice spot terminate in 2m
         00:12 root drills stop in 2m
         00:20 end",
        "00:07 drilling: 2 hooks
         00:07 drill runs /opt/save, ends in 100000ms
         00:07 notify drill noticed drill-terminate-1800000000002: 2 hooks run until 08:01:47 UTC
         00:10 runs /opt/save, ends in 100000ms
         00:10 hurry, ends in 0ms, killed in 2000ms
         00:10 notify noticed spot-terminate: 2 hooks run until 08:01:50 UTC
         00:12 denied: policy: this is no drill: spot interruption (terminate)
         00:17 /opt/save failed: did not report
         00:17 drained drill-terminate-1800000000002 in 10000ms, not well
         00:17 notify drill drained drill-terminate-1800000000002: '/opt/save' failed in 10.0 s, 'stop web' skipped",
    );
}
