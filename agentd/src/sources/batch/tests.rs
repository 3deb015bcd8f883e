use super::*;
use crate::host::tree::{Process, Tree};
use crate::sources::BusMode;

fn open(tree: &Tree, daemons: &[&str]) -> Batch {
    let mut options = toml::Table::new();
    options.insert("daemons".to_owned(), daemons.to_vec().into());
    Batch::new(&Context { host: tree.root(), options, bus: BusMode::None })
}

fn at(seconds: u64) -> Stamp {
    Stamp::new(1_000_000 + seconds * 1000, 0, 0)
}

/// The jobs as `subject: 1` or `subject: stretches`.
fn told(reading: Reading) -> Vec<String> {
    let Reading::Signals(signals) = reading else { panic!("{reading:?}") };
    let tell = |signal: &Signal| {
        let value = match signal.value {
            Value::Level { value } => value.to_string(),
            Value::Stretches { .. } => "stretches".to_owned(),
            ref other => panic!("{other:?}"),
        };
        format!("{}: {value}", signal.subject)
    };
    signals.iter().map(tell).collect()
}

fn is_absent(reading: &Reading) -> bool {
    matches!(reading, Reading::Absent { .. })
}

fn process(tree: &Tree, pid: u32, parent: u32, comm: &str, title: &str) {
    tree.process(&Process::new(pid, comm).with(|p| p.ppid = parent));
    tree.file(&format!("/proc/{pid}/cmdline"), title.replace(' ', "\0") + "\0");
}

fn machine() -> Tree {
    let tree = Tree::new();
    tree.process(&Process::new(1, "systemd"));
    tree.process(&Process::new(50, "bash").with(|p| p.ppid = 49));
    tree
}

#[test]
fn a_machine_without_schedulers_has_no_jobs() {
    assert!(is_absent(&open(&machine(), &[]).read(at(0))));
}

#[test]
fn daemons_that_wait_are_no_jobs_and_what_they_started_is_one() {
    for (daemon, child, expected) in [
        ("atd", "sh", Some("atd: sh[101]: 1")),
        ("pbs_mom", "bash", Some("pbs_mom: bash[101]: 1")),
        ("gitlab-runner", "bash", Some("gitlab-runner: bash[101]: 1")),
        ("gitlab-runner", "fleeting-plugin", None),
        ("act_runner", "fleeting-plugin", Some("act_runner: fleeting-plugin[101]: 1")),
        ("buildkite-agent", "buildkite-agent", Some("buildkite-agent: buildkite-agent[101]: 1")),
        ("sge_execd", "sge_shepherd", Some("sge_shepherd[101]: 1")),
        ("sge_execd", "load.sh", None),
        ("condor_startd", "condor_starter", Some("condor_starter[101]: 1")),
        ("Runner.Listener", "Runner.Worker", Some("Runner.Worker[101]: 1")),
        ("Runner.Listener", "bash", None),
        ("slurmd", "slurmstepd", Some("slurmstepd[101]: 1")),
        ("slurmd", "health.sh", None),
        ("raylet", "ray::train()", Some("ray::train()[101]: 1")),
        ("Agent.Listener", "Agent.Worker", Some("Agent.Worker[101]: 1")),
        ("Agent.Listener", "Agent.PluginHos", None),
        ("act_runner", "bash", Some("act_runner: bash[101]: 1")),
        ("forgejo-runner", "sh", Some("forgejo-runner: sh[101]: 1")),
        ("condor_master", "condor_startd", None),
        ("mine", "job", Some("mine: job[101]: 1")),
    ] {
        let tree = machine();
        process(&tree, 200, 1, daemon, daemon);
        let mut batch = open(&tree, &["mine"]);
        assert_eq!(told(batch.read(at(0))), Vec::<String>::new(), "{daemon}");
        // The child has the lower number, so it is met first.
        process(&tree, 101, 200, child, child);
        batch.refresh();
        assert_eq!(told(batch.read(at(10))), Vec::from_iter(expected), "{daemon} {child}");
    }
}

#[test]
fn the_keeper_of_a_group_of_slurm_is_no_step() {
    let tree = machine();
    process(&tree, 101, 1, "slurmstepd", "/usr/sbin/slurmstepd infinity");
    process(&tree, 102, 1, "slurmstepd", "slurmstepd: [77.batch]");
    assert_eq!(told(open(&tree, &[]).read(at(0))), ["slurmstepd[102]: 1"]);
}

#[test]
fn workers_of_ray_are_judged_by_their_titles() {
    for (title, expected) in [
        ("ray::IDLE", None),
        ("ray::SPILL_IDLE", None),
        ("ray::ServeController.run_control_loop", None),
        ("ray::Trainer.fit", Some("1")),
        ("ray::train()", Some("1")),
        ("ray::Trainer", Some("stretches")),
        ("", Some("stretches")),
    ] {
        let tree = machine();
        process(&tree, 100, 1, "raylet", "raylet");
        let comm: String = if title.is_empty() { "ray::x" } else { title }.chars().take(15).collect();
        process(&tree, 101, 100, &comm, title);
        let expected: Vec<String> =
            expected.into_iter().map(|value| format!("{comm}[101]: {value}")).collect();
        assert_eq!(told(open(&tree, &[]).read(at(0))), expected, "{title}");
    }
}

#[test]
fn processes_are_looked_through_seldom_without_a_scheduler_and_on_demand() {
    let tree = machine();
    let mut batch = open(&tree, &[]);
    assert!(batch.standing(at(0)).is_none());
    batch.read(at(0));
    process(&tree, 100, 1, "slurmstepd", "slurmstepd: [77.0]");
    assert!(batch.standing(at(59)).is_some_and(|reading| is_absent(&reading)));
    assert!(batch.standing(at(60)).is_none());
    batch.refresh();
    assert!(batch.standing(at(10)).is_none());
    assert_eq!(told(batch.read(at(10))), ["slurmstepd[100]: 1"]);
}

#[test]
fn a_walk_that_fails_is_blind_and_made_again_at_once() {
    let tree = machine();
    let mut batch = open(&tree, &[]);
    batch.read(at(0));
    tree.file("/proc/50/stat", "garbage");
    batch.refresh();
    for seconds in [10, 20] {
        let Reading::Blind { why } = batch.read(at(seconds)) else { panic!("not blind") };
        assert!(why.contains("/proc/50/stat"), "{why}");
        assert!(batch.standing(at(seconds)).is_none());
    }
    tree.process(&Process::new(50, "bash"));
    assert!(is_absent(&batch.read(at(30))));
}

#[test]
fn a_job_that_ended_and_was_not_reaped_is_nobody() {
    for (daemon, child) in [
        ("Runner.Listener", "Runner.Worker"),
        ("gitlab-runner", "bash"),
        ("slurmd", "slurmstepd"),
        ("raylet", "ray::train()"),
    ] {
        let tree = machine();
        process(&tree, 200, 1, daemon, daemon);
        tree.process(&Process::new(201, child).with(|p| (p.ppid, p.state) = (200, 'Z')));
        let mut batch = open(&tree, &[]);
        assert_eq!(told(batch.read(at(0))), Vec::<String>::new(), "{daemon} {child}");
        process(&tree, 202, 200, child, child);
        batch.refresh();
        assert_eq!(told(batch.read(at(10))).len(), 1, "{daemon} {child}");
    }
}

#[test]
fn builds_of_jenkins_and_teamcity_are_jobs_and_their_waiting_agents_are_none() {
    let tree = machine();
    process(&tree, 300, 1, "java", "java -jar /home/jenkins/agent.jar -url https://ci/");
    process(&tree, 310, 1, "java", "java -cp l.jar jetbrains.buildServer.agent.Launcher x");
    // Its list of libraries is longer than what is read.
    process(&tree, 311, 310, "java", &format!("java -classpath {}", "/opt/lib/x.jar:".repeat(2000)));
    process(&tree, 320, 1, "java", "java -jar /srv/app.jar");
    process(&tree, 321, 320, "sh", "sh -c helper");
    let mut batch = open(&tree, &[]);
    assert_eq!(told(batch.read(at(0))), Vec::<String>::new());
    process(&tree, 301, 300, "mvn", "mvn package");
    process(&tree, 312, 311, "java", "java -jar build.jar");
    let script = "sh -c jsc=durable-1f; /bin/sh -xe '/home/jenkins/workspace/a@tmp/durable-1f/script.sh'";
    process(&tree, 330, 1, "sh", script);
    process(&tree, 331, 1, "sh", "sh -c /srv/other.sh");
    batch.refresh();
    assert_eq!(
        told(batch.read(at(10))),
        ["Jenkins: mvn[301]: 1", "TeamCity: java[312]: 1", "jenkins script[330]: 1"]
    );
}

#[test]
fn a_script_of_a_pipeline_runs_on_the_controllers_own_node_too() {
    let tree = machine();
    process(&tree, 300, 1, "java", "/usr/bin/java -jar /usr/share/java/jenkins.war");
    process(&tree, 301, 300, "git", "git ls-remote https://example.com/x");
    let mut batch = open(&tree, &[]);
    assert!(is_absent(&batch.read(at(0))), "a controller that asks for news is no job");
    process(&tree, 330, 1, "sh", "sh -c x '/var/lib/jenkins/workspace/a@tmp/durable-1f/script.sh'");
    batch.refresh();
    assert_eq!(told(batch.read(at(10))), ["jenkins script[330]: 1"]);
}
