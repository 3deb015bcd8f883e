//! Hooks of an interruption: what they are told, when they end, and that nothing holds them up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant as Clock;

use agent_core::action::{ActionKind, ActionRequest, Retry};

use super::*;
use crate::actuators::hook::tests::{safe_folder, script};

fn order(path: &Path, end_in_ms: u64, kill_in_ms: u64) -> HookOrder {
    HookOrder {
        alert: "spot-terminate".to_owned(),
        hook: path.display().to_string(),
        index: 0,
        event: "spot-interruption".to_owned(),
        action: "terminate".to_owned(),
        deadline_wall_ms: 1_795_262_400_999,
        left_ms: 119_999,
        end_in_ms,
        kill_in_ms,
        drill: false,
        undo: false,
    }
}

fn drainer(user: Option<&str>) -> Drainer {
    Drainer::new(Drains::default(), user.map(str::to_owned), BusMode::None)
}

async fn run(order: &HookOrder) -> Outcome {
    drainer(None).run(Key(7), order).await
}

fn failure(outcome: Outcome) -> String {
    let Outcome::Failed { error, retry: Retry::Never } = outcome else {
        panic!("not failed: {outcome:?}")
    };
    error
}

fn detail(outcome: Outcome) -> String {
    let Outcome::Done { detail } = outcome else { panic!("not done: {outcome:?}") };
    detail
}

fn told(outcome: Outcome) -> Vec<String> {
    let text = detail(outcome);
    let lines = text.strip_prefix("exit status 0\n").unwrap().lines().map(str::to_owned);
    let mut lines: Vec<String> = lines.filter(|line| line.starts_with("AGENTD_")).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn a_hook_is_told_what_happens_and_when_and_a_drill_that_it_is_one() {
    let folder = safe_folder();
    let mut order = order(&script(folder.path(), "env"), 5_000, 6_000);
    let plain = [
        "AGENTD_ACTION=terminate",
        "AGENTD_DEADLINE=2026-11-21T12:00:00Z",
        "AGENTD_EVENT=spot-interruption",
        "AGENTD_SECONDS_LEFT=119",
    ];
    assert_eq!(told(run(&order).await), plain);
    order.drill = true;
    let mut drill = plain.to_vec();
    drill.insert(2, "AGENTD_DRILL=1");
    assert_eq!(told(run(&order).await), drill);
}

#[test]
fn each_order_has_a_unit_of_its_own() {
    let mut order = order(Path::new("/x"), 1, 2);
    assert_eq!(occasion(Key(7), &order).unit, "agentd-interruption-7");
    order.drill = true;
    assert_eq!(occasion(Key(8), &order).unit, "agentd-drill-8");
}

#[tokio::test]
async fn it_is_told_to_end_and_may_say_last_words() {
    let folder = safe_folder();
    let body = "trap 'echo saved; exit 3' TERM; while :; do sleep 0.01; done";
    let begun = Clock::now();
    let error = failure(run(&order(&script(folder.path(), body), 300, 5_000)).await);
    assert!(error.contains("within 0.3 s") && error.contains("saved"), "{error}");
    assert!(error.contains("exit status: 3"), "{error}");
    let took = begun.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn it_is_killed_when_it_ignores_the_word() {
    let folder = safe_folder();
    let body = "trap '' TERM; while :; do sleep 0.01; done";
    let begun = Clock::now();
    let error = failure(run(&order(&script(folder.path(), body), 200, 500)).await);
    assert!(error.contains("signal: 9"), "{error}");
    let took = begun.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_nearer_deadline_ends_it_earlier_and_a_farther_one_changes_nothing() {
    let folder = safe_folder();
    let path = script(folder.path(), "trap '' TERM; while :; do sleep 0.01; done");
    let (drainer, order) = (drainer(None), order(&path, 60_000, 70_000));
    let begun = Clock::now();
    let hurried = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let other = Hurry { hook: Key(8), end_in_ms: 0, kill_in_ms: 0 };
        assert!(matches!(drainer.hurry(other), Outcome::Already { .. }));
        let nearer = Hurry { hook: Key(7), end_in_ms: 100, kill_in_ms: 300 };
        assert!(matches!(drainer.hurry(nearer), Outcome::Done { .. }));
        let farther = Hurry { hook: Key(7), end_in_ms: 90_000, kill_in_ms: 90_000 };
        drainer.hurry(farther);
    };
    let (outcome, ()) = tokio::join!(drainer.run(Key(7), &order), hurried);
    assert!(failure(outcome).contains("signal: 9"));
    let took = begun.elapsed();
    assert!((Duration::from_millis(400)..Duration::from_secs(3)).contains(&took), "{took:?}");
    let late = Hurry { hook: Key(7), end_in_ms: 0, kill_in_ms: 0 };
    assert!(matches!(drainer.hurry(late), Outcome::Already { .. }));
}

#[tokio::test]
async fn the_last_two_kibibytes_of_its_output_are_kept() {
    let folder = safe_folder();
    let body = "head -c 5000 /dev/zero | tr '\\0' a; head -c 2048 /dev/zero | tr '\\0' b; exit 1";
    let error = failure(run(&order(&script(folder.path(), body), 5_000, 6_000)).await);
    assert!(error.contains("exit status: 1") && !error.contains("aa"), "{error}");
    assert!(error.ends_with(&format!("\n…{}", "b".repeat(2_048))), "{error}");
}

#[tokio::test]
async fn what_others_can_change_and_what_is_no_unit_is_refused() {
    let folder = safe_folder();
    let path = script(folder.path(), "exit 0");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let mut order = order(&path, 1_000, 2_000);
    for hook in [order.hook.clone(), "save work".to_owned(), "stop a.timer".to_owned()] {
        order.hook = hook;
        let outcome = run(&order).await;
        assert!(
            matches!(&outcome, Outcome::Refused(refusal) if refusal.code == "hook-unsafe"),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn the_user_that_is_configured_runs_it_and_root_is_not_looked_up() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: only root can change the user");
        return;
    }
    let folder = tempfile::Builder::new().prefix(".agentd-drain-").tempdir_in("/var/lib").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let order = order(&script(folder.path(), "id -u"), 5_000, 6_000);
    let ran = drainer(Some("nobody")).run(Key(1), &order).await;
    assert_eq!(detail(ran), "exit status 0\n65534");
    assert_eq!(drainer(Some("root")).user, None);
}

#[tokio::test]
async fn an_api_that_hangs_delays_no_hook() {
    use crate::actuators::tests::actuators;
    use crate::aws::testec2::{Fake, World};
    use crate::aws::testserver::Reply;
    use crate::host::tree::Tree;

    let world = World::default()
        .fault("StopInstances", Reply::Hang)
        .fault("CreateTags", Reply::Hang)
        .fault("DescribeInstances", Reply::Hang);
    let (fake, tree, folder) = (Fake::start(world).await, Tree::new(), safe_folder());
    let actuators = actuators(&fake, &tree);
    let path = script(folder.path(), "exit 0");
    let request = |key, kind| ActionRequest { key: Key(key), kind };
    let busy = [request(1, ActionKind::Preflight), request(2, ActionKind::Describe)];
    let hook = request(3, ActionKind::Drain(order(&path, 5_000, 6_000)));
    let drained = async {
        // The calls are on their way.
        while fake.ec2.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        actuators.run(&hook).await
    };
    tokio::select! {
        biased;
        finish = drained => assert!(matches!(finish, crate::actuators::Finish::Outcome(Outcome::Done { .. }))),
        ends = async { tokio::join!(actuators.run(&busy[0]), actuators.run(&busy[1])) } => {
            panic!("the calls ended first: {ends:?}");
        }
    }
}

#[tokio::test]
async fn a_program_starts_within_a_tenth_of_a_second() {
    let folder = safe_folder();
    let path = script(folder.path(), "date +%s%N");
    let (drainer, order) = (drainer(None), order(&path, 5_000, 6_000));
    let mut spans = Vec::new();
    for key in 0..200 {
        let asked = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let said = detail(drainer.run(Key(key), &order).await);
        let said: u128 = said.strip_prefix("exit status 0\n").unwrap().trim().parse().unwrap();
        spans.push(Duration::from_nanos(
            u64::try_from(said.saturating_sub(asked.as_nanos())).unwrap(),
        ));
    }
    spans.sort_unstable();
    // The time of the shell and of date(1) is in it. Other work on the machine makes the slowest ones slower.
    println!("request to first line: median {:?}, p99 {:?}", spans[100], spans[198]);
    assert!(spans[100] < Duration::from_millis(100), "{:?}", spans[100]);
}
