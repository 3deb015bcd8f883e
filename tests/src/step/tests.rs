use super::*;
use crate::imds::metadata;

fn world() -> World {
    World::start(Instance::default()).unwrap()
}

fn play(world: &mut World, steps: &[&str]) {
    for step in steps {
        step.parse::<Step>().unwrap().apply(world).unwrap();
    }
}

fn told(world: &World, item: &str) -> Option<String> {
    let path = format!("/latest/meta-data/{item}");
    metadata(&world.instance.snapshot(), &path, world.imds.wall())
}

fn mistake(step: &str) -> String {
    step.parse::<Step>().unwrap_err().to_string()
}

#[test]
fn every_line_of_the_help_is_understood() {
    for step in [
        "spot terminate in 120s",
        "spot stop moving 2m",
        "spot hibernate ago 20m",
        "spot gone",
        "termination-time no time at all",
        "rebalance",
        "rebalance ago 5m",
        "event e-1 system-reboot in 1h",
        "event e-1 canceled",
        "events missing",
        "target Warmed:Stopped",
        "group workers min 1 desired 2 hook drain 30s",
        "group terminate",
        "life-cycle spot",
        "instance running",
        "imds fault /latest/* status=503 chance 30%",
        "imds fault * hang for 5s",
        "imds throttle 5",
        "imds clock -1d",
        "imds token-life 3s",
        "imds seed 4",
        "aws fault Stop* reset times 1",
        "aws lose StopInstances",
        "aws lose StopInstances hang times 2",
        "aws refuse CreateTags RequestLimitExceeded for 1m",
        "aws deny EnterStandby",
        "aws delay 2s",
        "aws limit CreateTags 1 0.5",
        "aws heal",
    ] {
        assert_eq!(step.parse::<Step>().unwrap().to_string(), step);
    }
    for verb in "heal refuse disable hop-limit undate revoke keep-alive close".split(' ') {
        assert!(format!("imds {verb}").parse::<Step>().is_ok(), "{verb}");
        assert!(HELP.contains(verb), "{verb}");
    }
}

#[test]
fn mistakes_name_the_word_and_what_was_expected() {
    assert!(mistake("spt terminate").contains("\"spt\""));
    assert!(mistake("spot explode in 3s").contains("terminate, stop, hibernate"));
    assert!(mistake("spot stop in").contains("a span such as 3s is missing"));
    assert!(mistake("spot stop in soon").contains("\"soon\""));
    assert!(mistake("spot gone now").contains("expected the end"));
    assert!(mistake("imds fault /x hnag").contains("\"hnag\""));
    assert!(mistake("imds fault /x hang chance 130%").contains("130%"));
    assert!(mistake("").contains("the name of a step is missing"));
}

#[test]
fn notices_come_move_and_go() {
    let mut world = world();
    play(&mut world, &["spot terminate in 120s", "rebalance", "target Terminated"]);
    assert!(told(&world, "spot/instance-action").unwrap().contains("\"action\":\"terminate\""));
    assert!(told(&world, "events/recommendations/rebalance").is_some());
    assert_eq!(told(&world, "autoscaling/target-lifecycle-state").as_deref(), Some("Terminated"));
    play(&mut world, &["spot gone", "rebalance gone", "target gone"]);
    assert_eq!(told(&world, "spot"), None);
    play(&mut world, &["imds clock +1d", "spot stop in 0s"]);
    let day = Timestamp::now() + SignedDuration::from_hours(24);
    let date = day.strftime("%Y-%m-%d").to_string();
    assert!(told(&world, "spot/instance-action").unwrap().contains(&date), "the service's clock");
}

#[test]
fn a_canceled_event_moves_into_the_history() {
    let mut world = world();
    play(&mut world, &["event e-1 system-reboot in 1h", "event e-2 instance-stop in 2h"]);
    play(&mut world, &["event e-1 canceled"]);
    let scheduled = told(&world, "events/maintenance/scheduled").unwrap();
    assert!(scheduled.contains("e-2") && !scheduled.contains("e-1"), "{scheduled}");
    let history = told(&world, "events/maintenance/history").unwrap();
    assert!(history.contains("[Canceled] scheduled system-reboot"), "{history}");
    let again: Step = "event e-1 completed".parse().unwrap();
    assert!(again.apply(&mut world).unwrap_err().to_string().contains("no event e-1"));
}

#[test]
fn a_group_takes_its_member_down() {
    let mut world = world();
    let none: Step = "group terminate".parse().unwrap();
    assert!(none.apply(&mut world).unwrap_err().to_string().contains("in no group"));
    play(&mut world, &["group workers hook drain 30s", "group terminate"]);
    assert_eq!(world.instance.snapshot().group.lifecycle_state, "Terminating:Wait");
}
