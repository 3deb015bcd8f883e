//! What people read: the reason, the obstacles, the last action.

use super::play;
use crate::verdict::View;

fn view(script: &str) -> View {
    let scene = play(script);
    scene.engine.as_ref().map(|engine| engine.view(scene.stamp())).unwrap()
}

#[test]
fn the_reason_names_everything_that_is_in_use() {
    let view = view("05:00 cpu 2\n05:00 gpu 40\n06:20 end");
    assert_eq!(
        view.because,
        "cpu 2 core, limit 0.05 (user.slice, alice); gpu 40 %, limit 1 (gpu0)"
    );
    assert_eq!(view.idle_since, None);
}

#[test]
fn what_is_unknown_comes_first() {
    let view = view("05:00 cpu 2\n06:00 blind gpu\n06:20 end");
    assert!(view.because.starts_with("gpu unknown: input/output error; cpu "), "{}", view.because);
    let blind: Vec<&str> =
        view.obstacles.iter().filter(|o| o.code == "blind").map(|o| o.detail.as_str()).collect();
    assert_eq!(blind, ["'gpu' is unknown: input/output error"]);
    assert_eq!(view.act_at, None, "nobody knows when");
}

#[test]
fn every_obstacle_is_listed_with_its_end() {
    let view = view(
        "policy mode observe
         policy boot_grace 30m
         06:00 hold alice 1h
         06:01 block dpkg 2h
         06:20 end",
    );
    let codes: Vec<&str> = view.obstacles.iter().map(|o| o.code.as_str()).collect();
    assert_eq!(codes, ["observe", "grace", "blocked", "hold"]);
    let ends: Vec<Option<u64>> =
        view.obstacles.iter().map(|o| o.until.map(|at| at.boot_ms / 60_000)).collect();
    assert_eq!(ends, [None, Some(30), None, Some(66)]);
    assert!(view.obstacles[0].detail.contains("mode = \"enforce\""), "a remedy");
}

#[test]
fn what_is_switched_off_is_said() {
    assert_eq!(view("policy enabled false\n06:00 end").obstacles[0].code, "disabled");
    assert_eq!(view("policy action none\n06:00 end").obstacles[0].code, "no-action");
    assert_eq!(view("ec2 unknown\n06:00 end").obstacles[0].code, "identity-unknown");
}

#[test]
fn the_last_action_and_its_end_are_told() {
    let last = |script: &str| view(script).last_action.map(|l| (l.result, l.detail)).unwrap();
    assert_eq!(last("31:00 end"), ("accepted".to_owned(), "stopping".to_owned()));
    assert_eq!(
        last("ec2 refuses unauthorized\n31:00 end"),
        ("refused".to_owned(), "unauthorized: EC2 says unauthorized".to_owned())
    );
    assert_eq!(
        last("policy hook true\nhook fails\n31:00 end"),
        ("failed".to_owned(), "the pre-stop hook failed: exit status 3".to_owned())
    );
    assert_eq!(
        last("30:40 sleeps 90m\n121:00 end"),
        ("hibernated".to_owned(), "slept for 1h30m".to_owned())
    );
    let (result, detail) = last("policy mode observe\n31:00 end");
    assert_eq!(result, "would-act");
    assert!(detail.starts_with("no use for 30m: cpu 0/0.05 core"), "{detail}");
}

#[test]
fn a_failure_lengthens_the_period_that_is_shown() {
    let minutes = |script: &str| {
        view(&format!("policy warn_before none\nec2 fails\nec2 fails\n{script}")).act_after_ms
            / 60_000
    };
    assert_eq!(minutes("30:00 end"), 30);
    assert_eq!(minutes("31:00 end"), 60);
    assert_eq!(minutes("92:00 end"), 120);
}

#[test]
fn a_hold_is_shown_with_its_owner_and_reason() {
    let view = view("06:00 hold alice 1h 4711\n06:10 end");
    let hold = &view.holds[0];
    assert_eq!((hold.uid, hold.owner.as_str(), hold.pid), (1000, "alice", Some(4711)));
    let shown = view.obstacles.iter().find(|o| o.code == "hold").unwrap();
    assert_eq!(shown.detail, "hold 1 of alice: training");
}
