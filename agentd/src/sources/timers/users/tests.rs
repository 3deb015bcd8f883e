use super::*;
use crate::host::tree::Tree;
use agent_core::reading::Value;

/// A machine on which these users have managers.
fn machine(uids: &[u32]) -> Tree {
    let tree = Tree::new();
    tree.file("/etc/passwd", "alice:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n");
    for uid in uids {
        tree.folder(&format!("/run/user/{uid}"));
    }
    tree
}

fn now(minutes: u64) -> Stamp {
    Stamp::new(36_000_000 + minutes * 60_000, 0, 1_700_000_000_000)
}

/// What a manager with one timer prints.
fn timer(name: &str) -> String {
    format!(
        r#"[{{"name":"{name}","next_wall_us":1700000600000000,"next_monotonic_us":null,"last_wall_us":null,"repeats_us":null,"runs":false}}]"#
    )
}

#[expect(clippy::unnecessary_wraps, reason = "as the judgement of timers that may say nothing")]
fn judge(timer: &Timer, owner: &str) -> Option<Signal> {
    Some(Signal::new(timer.name.clone(), Value::Shown { value: 1.0 }).owned_by(owner.to_owned()))
}

/// Managers whose readers are shells; each writes down that it ran.
fn managers(tree: &Tree, script: impl Fn(u32) -> String + 'static) -> Managers {
    let runs = tree.path("/runs");
    let reader = move |uid| {
        Some(Reader::shell(&format!("echo {uid} >> {}; {}", runs.display(), script(uid))))
    };
    Managers::by(tree.root(), Box::new(reader))
}

/// Which readers ran since the last question.
fn runs(tree: &Tree) -> Vec<String> {
    let text = std::fs::read_to_string(tree.path("/runs")).unwrap_or_default();
    let _ = std::fs::remove_file(tree.path("/runs"));
    let mut runs: Vec<String> = text.lines().map(str::to_owned).collect();
    runs.sort();
    runs
}

/// What a look tells, however long the readers take.
async fn told(managers: &mut Managers, at: Stamp) -> Vec<String> {
    managers.signals(at, judge).await;
    while managers.running.is_some() {
        managers.hear().await;
    }
    let signals = managers.signals(at, judge).await;
    signals.iter().map(|it| format!("{}: {}", it.subject, it.owner.as_deref().unwrap_or_default())).collect()
}

#[tokio::test]
async fn each_manager_is_asked_as_its_user_and_rarely() {
    let tree = machine(&[1000, 1001]);
    let mut managers = managers(&tree, |uid| format!("echo '{}'", timer(&format!("0000{uid}"))));
    let expected =
        ["user@1000.service timer 00001000: alice", "user@1001.service timer 00001001: bob"];
    assert_eq!(told(&mut managers, now(0)).await, expected);
    assert_eq!(runs(&tree), ["1000", "1001"]);
    assert_eq!(told(&mut managers, now(4)).await, expected);
    assert_eq!(runs(&tree), Vec::<String>::new());
    told(&mut managers, now(5)).await;
    assert_eq!(runs(&tree), ["1000", "1001"]);
    managers.refresh();
    told(&mut managers, now(6)).await;
    assert_eq!(runs(&tree), ["1000", "1001"], "before an action");
    managers.refresh();
    told(&mut managers, now(6)).await;
    assert_eq!(runs(&tree), Vec::<String>::new(), "told just now");
    // Who comes and goes all the time is not asked each time.
    tree.remove("/run/user/1001");
    assert_eq!(told(&mut managers, now(7)).await, ["user@1000.service timer 00001000: alice"]);
    tree.folder("/run/user/1001");
    told(&mut managers, now(8)).await;
    assert_eq!(runs(&tree), Vec::<String>::new());
}

#[tokio::test]
async fn a_manager_that_fails_costs_its_user_only() {
    for (script, why) in [
        ("echo 'Failed to start transient service unit: Access denied' >&2; exit 1", "Access denied"),
        ("echo nonsense", "understand a reader"),
        ("head -c 2000000 /dev/zero", "more than"),
        ("echo '[{\"name\":\"00000001\",\"command\":\"x\"}]'", "unknown field"),
    ] {
        let tree = machine(&[1000, 1001]);
        let good = format!("echo '{}'", timer("0000abcd"));
        let mut managers =
            managers(&tree, move |uid| if uid == 1000 { script.to_owned() } else { good.clone() });
        let told = told(&mut managers, now(0)).await;
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("timers of alice: closed to the agent (failed to"), "{told:?}");
        assert!(told[0].contains(why), "{told:?}");
        assert_eq!(told[1], "user@1001.service timer 0000abcd: bob");
    }
}

#[tokio::test]
async fn one_that_hangs_keeps_no_look_waiting() {
    let tree = machine(&[1000]);
    let reader = |_| Some(Reader::shell("exec sleep 60").within(Duration::from_secs(30)));
    let mut managers = Managers::by(tree.root(), Box::new(reader));
    for minute in [0, 6] {
        let signals = managers.signals(now(minute), judge).await;
        assert!(signals[0].owner.as_deref().unwrap().contains("being asked for"));
    }
    assert!(managers.running.is_some());
}

#[tokio::test]
async fn what_a_manager_told_stands_for_a_quarter_of_an_hour() {
    let tree = machine(&[1000]);
    let told_once = tree.path("/told");
    let script = format!("test -e {0} && exit 1; touch {0}; echo '{1}'", told_once.display(), timer("0000abcd"));
    let mut managers = managers(&tree, move |_| script.clone());
    for (minute, stands) in [(0, true), (6, true), (15, true), (16, false)] {
        let told = told(&mut managers, now(minute)).await;
        assert_eq!(told[0].starts_with("user@1000.service timer"), stands, "{minute}: {told:?}");
    }
}

#[tokio::test]
async fn where_nobody_can_be_asked_they_are_said_to_be_closed() {
    let tree = machine(&[1000]);
    let mut managers = Managers::new(tree.root(), BusMode::None);
    let told = told(&mut managers, now(0)).await;
    assert_eq!(told, ["timers of alice: closed to the agent, its jobs count once they run"]);
    let mut none = Managers::new(Tree::new().root(), BusMode::None);
    assert!(none.signals(now(0), judge).await.is_empty());
}

#[test]
fn many_managers_are_asked_more_seldom() {
    let minutes = [1, 4, 5, 20, 100].map(|managers| every(managers).as_secs() / 60);
    assert_eq!(minutes, [5, 5, 10, 25, 60]);
}

#[test]
fn a_name_is_told_as_a_number_and_no_other_is_taken() {
    assert_eq!(number("backup.timer"), number("backup.timer"));
    assert_ne!(number("backup.timer"), number("backups.timer"));
    assert!(is_number(&number("send resignation.timer")));
    for name in ["backup.timer", "", "0000abc", "0000abcg", "0000abcdé"] {
        assert!(understand(timer(name).as_bytes()).is_err(), "{name}");
    }
    let many = vec![Timer { name: number("x"), ..Timer::default() }; TIMERS + 1];
    assert_eq!(understand(&serde_json::to_vec(&many).unwrap()).unwrap().len(), TIMERS);
}
