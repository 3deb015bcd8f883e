//! From the last use to the action: quiet, warned, due.

use super::{check, play};

#[test]
fn an_idle_machine_is_warned_three_times_and_hibernated() {
    check(
        "00:00 cpu 0.8
         20:00 cpu 0
         55:00 end",
        "25:00 quiet
         40:00 warn hibernate in 600s
         45:00 warn hibernate in 300s
         49:00 warn hibernate in 60s
         50:00 reread
         50:00 hibernate
         50:01 accepted",
    );
}

#[test]
fn a_machine_that_nobody_ever_used_is_idle_from_its_start() {
    check(
        "policy act_after 20m
         25:00 end",
        "05:20 quiet
         10:20 warn hibernate in 600s
         15:20 warn hibernate in 300s
         19:20 warn hibernate in 60s
         20:20 reread
         20:20 hibernate
         20:21 accepted",
    );
}

#[test]
fn one_busy_thread_keeps_the_machine_up_for_ever() {
    check(
        "00:00 cpu 1
         600:00 end",
        "",
    );
}

#[test]
fn load_just_below_the_limit_is_idle() {
    check(
        "00:00 cpu 0.04
         32:00 end",
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
fn housekeeping_is_no_use() {
    check(
        "00:00 housekeeping 3
         32:00 end",
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
fn a_busy_gpu_alone_keeps_the_machine_up() {
    check(
        "00:00 gpu 40
         45:00 gpu 0
         80:00 end",
        "50:00 quiet
         65:00 warn hibernate in 600s
         70:00 warn hibernate in 300s
         74:00 warn hibernate in 60s
         75:00 reread
         75:00 hibernate
         75:01 accepted",
    );
}

#[test]
fn a_key_begins_the_period_anew() {
    check(
        "15:00 key pts/0
         50:00 end",
        "05:20 quiet
         15:10 active: input (pts/0, alice)
         20:10 quiet
         35:10 warn hibernate in 600s
         40:10 warn hibernate in 300s
         44:10 warn hibernate in 60s
         45:10 reread
         45:10 hibernate
         45:11 accepted",
    );
}

#[test]
fn a_new_terminal_is_use_and_one_that_closes_is_not() {
    check(
        "10:00 key pts/7
         12:00 logout pts/7
         45:00 end",
        "05:20 quiet
         10:10 active: input (pts/7, alice)
         15:10 quiet
         30:10 warn hibernate in 600s
         35:10 warn hibernate in 300s
         39:10 warn hibernate in 60s
         40:10 reread
         40:10 hibernate
         40:11 accepted",
    );
}

#[test]
fn a_key_calls_a_warned_action_off() {
    check(
        "22:05 key pts/0
         45:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         22:10 called off: the machine is used: input (pts/0, alice)
         27:10 quiet
         42:10 warn hibernate in 600s",
    );
}

#[test]
fn a_key_in_the_last_second_calls_it_off() {
    check(
        "29:59 key pts/0
         31:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         29:20 warn hibernate in 60s
         30:00 called off: the machine is used: input (pts/0, alice)",
    );
}

#[test]
fn the_mean_of_old_work_is_not_taken_for_new_use() {
    // The period is shorter than the window of the mean, which still tells of the work while the warning is out.
    check(
        "policy quiet_after 10s
         policy act_after 40s
         policy warn_before 20s
         00:00 cpu 4
         05:00 cpu 0
         06:30 end",
        "05:10 quiet
         05:20 warn hibernate in 20s
         05:40 reread
         05:40 hibernate
         05:41 accepted",
    );
}

#[test]
fn without_warnings_it_acts_at_once_when_due() {
    check(
        "policy warn_before none
         00:00 logout pts/0
         31:00 end",
        "05:20 quiet
         30:20 reread
         30:20 hibernate
         30:21 accepted",
    );
}

#[test]
fn there_is_least_notice_even_when_it_is_long_due() {
    check(
        "policy act_after 60m
         50:00 policy act_after 10m
         53:00 end",
        "05:20 quiet
         50:00 warn hibernate in 120s
         51:00 warn hibernate in 60s
         52:00 reread
         52:00 hibernate
         52:01 accepted",
    );
}

#[test]
fn nothing_is_done_before_the_grace_after_boot_has_passed() {
    check(
        "policy boot_grace 60m
         62:00 end",
        "05:20 quiet
         50:00 warn hibernate in 600s
         55:00 warn hibernate in 300s
         59:00 warn hibernate in 60s
         60:00 reread
         60:00 hibernate
         60:01 accepted",
    );
}

#[test]
fn nothing_is_done_where_idleness_leads_to_nothing() {
    for setting in ["policy action none", "policy enabled false"] {
        check(&format!("{setting}\n120:00 end"), "05:20 quiet");
    }
}

#[test]
fn only_observing_it_says_once_what_it_would_do() {
    check(
        "policy mode observe
         60:00 key pts/0
         95:00 end",
        "05:20 quiet
         30:20 would hibernate
         60:10 active: input (pts/0, alice)
         65:10 quiet
         90:10 would hibernate",
    );
}

#[test]
fn observing_with_an_unknown_instance_still_tells_what_it_would_do() {
    check(
        "policy mode observe
         ec2 unknown
         31:00 end",
        "05:20 quiet
         30:20 would hibernate",
    );
}

#[test]
fn a_policy_that_is_loosened_while_people_are_warned_calls_it_off() {
    check(
        "25:00 policy act_after 60m
         61:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:00 called off: the configuration was changed
         25:00 quiet
         50:20 warn hibernate in 600s
         55:20 warn hibernate in 300s
         59:20 warn hibernate in 60s
         60:20 reread
         60:20 hibernate
         60:21 accepted",
    );
}

#[test]
fn observing_from_now_on_calls_a_warned_action_off() {
    check(
        "25:00 policy mode observe
         40:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:00 called off: the configuration was changed
         25:00 quiet
         30:20 would hibernate",
    );
}

#[test]
fn enforcing_from_now_on_gives_notice_first() {
    check(
        "policy mode observe
         40:00 policy mode enforce
         43:00 end",
        "05:20 quiet
         30:20 would hibernate
         40:00 quiet
         40:00 warn hibernate in 120s
         41:00 warn hibernate in 60s
         42:00 reread
         42:00 hibernate
         42:01 accepted",
    );
}

#[test]
fn a_source_that_is_switched_on_must_be_known_first() {
    check(
        "policy disable gpu
         gpu 50
         28:00 policy enable gpu
         40:00 end",
        "05:20 quiet
         20:20 warn hibernate in 600s
         25:20 warn hibernate in 300s
         28:00 called off: the configuration was changed
         28:10 active: gpu 50 %, limit 1 (gpu0)",
    );
}

#[test]
fn a_source_that_is_switched_off_counts_no_more() {
    check(
        "00:00 gpu 50
         10:00 policy disable gpu
         42:00 end",
        "15:00 quiet
         30:00 warn hibernate in 600s
         35:00 warn hibernate in 300s
         39:00 warn hibernate in 60s
         40:00 reread
         40:00 hibernate
         40:01 accepted",
    );
}

#[test]
fn an_idle_machine_is_never_stopped_while_its_instance_is_unknown() {
    check(
        "ec2 unknown
         120:00 ec2 known
         180:00 end",
        "05:20 quiet
         127:33 warn hibernate in 120s
         128:33 warn hibernate in 60s
         129:33 reread
         129:33 hibernate
         129:34 accepted
         134:34 describe
         139:35 describe
         144:35 describe
         149:35 describe
         154:35 describe
         159:35 describe
         159:36 never stopped in 1801s
         164:36 quiet",
    );
}

#[test]
fn what_ec2_forbids_is_refused_and_said() {
    let scene = play(
        "ec2 can nothing
         60:00 end",
    );
    let view = scene.engine.as_ref().map(|e| e.view(scene.stamp())).unwrap();
    assert_eq!(view.stage, crate::verdict::Stage::Refused);
    let codes: Vec<&str> = view.obstacles.iter().map(|o| o.code.as_str()).collect();
    assert_eq!(codes, ["refused"]);
    assert!(view.obstacles[0].detail.contains("EC2 says unauthorized"), "{view:?}");
}

#[test]
fn looking_a_thousand_times_changes_nothing() {
    for minute in [3, 10, 22, 29] {
        let mut looked_at = play(&format!("policy hook true\n{minute}:30 end"));
        let mut other = play(&format!("policy hook true\n{minute}:30 end"));
        let engine = looked_at.engine.as_ref().unwrap();
        let view = engine.view(looked_at.stamp());
        for _ in 0..1000 {
            assert_eq!(engine.view(looked_at.stamp()), view);
        }
        looked_at.run_to(40 * 60_000);
        other.run_to(40 * 60_000);
        assert_eq!(looked_at.trace, other.trace);
    }
}

#[test]
fn the_view_tells_what_will_be_done_and_when() {
    let scene = play("12:00 hold alice 1h\n12:10 end");
    let view = scene.engine.as_ref().unwrap().view(scene.stamp());
    assert_eq!(view.stage, crate::verdict::Stage::Quiet);
    assert_eq!(view.power, Some(crate::action::Power::Hibernate));
    let minute = |at: crate::stamp::Stamp| at.boot_ms / 60_000;
    assert_eq!(view.act_at.map(minute), Some(102), "idle for half an hour after the hold");
    assert_eq!(view.warn_at.into_iter().map(minute).collect::<Vec<_>>(), [92, 97, 101]);
    let codes: Vec<&str> = view.obstacles.iter().map(|o| o.code.as_str()).collect();
    assert_eq!(codes, ["hold"]);
    assert!(view.because.starts_with("no use for 11m: cpu 0/0.05 core"), "{}", view.because);
    assert_eq!(view.sources.len(), 4, "every source is listed, the absent one too");
}

#[test]
fn without_any_source_nothing_is_known_and_nothing_is_done() {
    for left in ["gpu", ""] {
        let script: Vec<String> = ["cpu", "gpu", "input", "packages"]
            .into_iter()
            .filter(|source| *source != left)
            .map(|source| format!("policy disable {source}"))
            .collect();
        // The machine has no GPU, so that source sees nothing either.
        let scene = play(&(script.join("\n") + "\n120:00 end"));
        assert!(scene.trace.is_empty(), "{:?}", scene.trace);
        let view = scene.engine.as_ref().map(|e| e.view(scene.stamp())).unwrap();
        assert!(view.because.contains("nothing is known"), "{}", view.because);
        assert!(view.obstacles.iter().any(|o| o.code == "blind"), "{view:?}");
    }
}
