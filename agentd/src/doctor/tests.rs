//! The whole examination on machines and in clouds of several kinds.

use super::*;
use crate::aws::testec2::{Fake, World, cloud, error};
use crate::aws::testserver::{Reply, refusing_url};
use crate::host::tree::Tree;

fn now() -> Stamp {
    // The Date that the simulated metadata service sends.
    Stamp::new(0, 0, 1_795_262_400_000)
}

/// A machine that is ready for everything.
fn ready() -> Tree {
    let tree = Tree::new();
    tree.file(
        "/proc/meminfo",
        "MemTotal:        8000000 kB\nMemFree: 1 kB\nSwapTotal:       8000000 kB\n",
    );
    tree.file("/proc/cmdline", "root=/dev/nvme0n1p1 resume=/dev/nvme0n1p2 quiet\n");
    tree.file("/sys/power/state", "freeze mem disk\n");
    tree.file("/usr/bin/hibinit-agent", "");
    tree.file("/run/systemd/journal/socket", "");
    tree.file("/run/dbus/system_bus_socket", "");
    tree.file("/state/.keep", "");
    tree
}

fn examination(cloud: Arc<Cloud>, tree: &Tree) -> Examination {
    Examination {
        cloud,
        host: tree.root(),
        state_dir: tree.path("/state"),
        needs: Needs {
            hibernation: true,
            tag_keys: vec!["agentd:state".to_owned()],
            ..Needs::default()
        },
        sources: Vec::new(),
        accounts: vec![AccountReport {
            of: "CPU time".to_owned(),
            closed: true,
            detail: "/proc/schedstat".to_owned(),
            cure: None,
        }],
        clock: now,
    }
}

async fn examine_world(world: World) -> (Vec<Check>, Fake) {
    let fake = Fake::start(world).await;
    let checks = examine(&examination(fake.cloud.clone(), &ready())).await;
    (checks, fake)
}

#[track_caller]
fn find<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks
        .iter()
        .find(|check| check.name == name)
        .unwrap_or_else(|| panic!("no check {name} in {checks:?}"))
}

#[track_caller]
fn expect<'a>(checks: &'a [Check], name: &str, status: Status) -> &'a Check {
    let check = find(checks, name);
    assert_eq!(check.status, status, "{check:?}");
    let must_help = matches!(status, Status::Warn | Status::Fail);
    assert_eq!(check.remedy.is_some(), must_help, "{check:?}");
    check
}

/// The checks of a machine alone.
fn machine(change: impl FnOnce(&Tree)) -> Vec<Check> {
    let tree = ready();
    change(&tree);
    let mut checks = machine::hibernation(&tree.root());
    checks.extend(machine::services(&tree.root()));
    checks
}

#[tokio::test]
async fn a_good_machine_passes_every_check() {
    let (checks, fake) = examine_world(World::default()).await;
    for check in &checks {
        assert_eq!(check.status, Status::Pass, "{check:?}");
    }
    let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "imds",
            "clock",
            "identity",
            "credentials",
            "region",
            "ec2",
            "ec2:StopInstances",
            "ec2:CreateTags",
            "ec2:DescribeInstances",
            "ec2:DescribeInstanceAttribute",
            "ec2:DescribeSpotInstanceRequests",
            "imds-hop-limit",
            "hibernate",
            "stop",
            "hibernation-kernel",
            "hibernation-memory",
            "hibernation-swap",
            "hibernation-resume",
            "hibernation-agent",
            "instance-store",
            "processes",
            "state",
            "journald",
            "system-bus",
            "accounts",
        ]
    );
    let acted = |seen: &crate::aws::testserver::Seen| {
        let action = seen.parameter("Action").unwrap();
        !action.starts_with("Describe") && seen.parameter("DryRun").as_deref() != Some("true")
    };
    assert!(!fake.ec2.seen().iter().any(acted), "an examination changes nothing");
}

#[tokio::test]
async fn the_examination_can_be_handed_to_another_task() {
    fn is_send(_: &impl Send) {}
    let examination =
        examination(Arc::new(cloud("http://127.0.0.1:1", "http://127.0.0.1:1")), &ready());
    is_send(&examine(&examination));
}

#[tokio::test]
async fn credentials_are_never_shown() {
    let (checks, _fake) = examine_world(World::default()).await;
    let all = format!("{checks:?}");
    assert!(!all.contains("AKIAEXAMPLE") && !all.contains("hush") && !all.contains("TOKEN"));
}

#[tokio::test]
async fn each_missing_permission_is_named_with_its_remedy() {
    for action in ["StopInstances", "CreateTags", "DescribeInstances", "DescribeInstanceAttribute"]
    {
        let world =
            World::default().fault(action, error(403, "UnauthorizedOperation", "not authorized"));
        let (checks, _fake) = examine_world(world).await;
        let name = format!("ec2:{action}");
        let check = expect(&checks, &name, Status::Fail);
        assert!(check.remedy.as_ref().unwrap().contains(&name));
        expect(&checks, "ec2", Status::Pass);
    }
}

#[tokio::test]
async fn without_the_metadata_service_the_rest_still_is_examined() {
    let cloud = Arc::new(cloud(&refusing_url().await, &refusing_url().await));
    let checks = examine(&examination(cloud, &ready())).await;
    expect(&checks, "imds", Status::Fail);
    expect(&checks, "clock", Status::Skipped);
    expect(&checks, "identity", Status::Fail);
    expect(&checks, "ec2", Status::Skipped);
    expect(&checks, "state", Status::Pass);
}

#[tokio::test]
async fn an_unreachable_ec2_is_one_failure_and_not_ten() {
    let fake = Fake::start(World::default()).await;
    let cloud = Arc::new(cloud(&fake.imds.url(), &refusing_url().await));
    let checks = examine(&examination(cloud, &ready())).await;
    assert!(expect(&checks, "ec2", Status::Fail).remedy.as_ref().unwrap().contains("VPC endpoint"));
    assert!(!checks.iter().any(|check| check.name.starts_with("ec2:")));
}

#[tokio::test]
async fn abilities_are_told_with_the_reason() {
    let (checks, _fake) = examine_world(World { hibernation: false, ..World::default() }).await;
    assert!(expect(&checks, "hibernate", Status::Fail).detail.contains("launch"));
    expect(&checks, "stop", Status::Pass);
    let (checks, _fake) = examine_world(World { stop_protection: true, ..World::default() }).await;
    assert!(
        expect(&checks, "stop", Status::Fail).remedy.as_ref().unwrap().contains("stop-protection")
    );
    let (checks, _fake) =
        examine_world(World::default().fault("DescribeInstanceAttribute", Reply::Drop)).await;
    assert!(!expect(&checks, "stop", Status::Warn).detail.is_empty());
}

#[tokio::test]
async fn a_hook_that_would_be_refused_in_an_emergency_is_named_before() {
    let fake = Fake::start(World::default()).await;
    let mut examination = examination(fake.cloud.clone(), &ready());
    let missing = PathBuf::from("/no/such/hook");
    examination.needs.programs = vec![("interruption.hooks", missing)];
    let checks = examine(&examination).await;
    let check = checks.iter().find(|check| check.name == "program:/no/such/hook").unwrap();
    assert_eq!(check.status, Status::Fail);
    assert!(check.detail.starts_with("interruption.hooks: "), "{}", check.detail);
}

#[tokio::test]
async fn hibernation_is_not_examined_where_nobody_wants_it() {
    let fake = Fake::start(World { hibernation: false, ..World::default() }).await;
    let mut examination = examination(fake.cloud.clone(), &ready());
    examination.needs = Needs::default();
    let checks = examine(&examination).await;
    expect(&checks, "hibernate", Status::Skipped);
    expect(&checks, "ec2:CreateTags", Status::Skipped);
    assert!(!checks.iter().any(|check| check.name.starts_with("hibernation-")));
}

#[tokio::test]
async fn asking_often_does_not_use_up_the_calls_of_the_agent() {
    let fake = Fake::start(World::default()).await;
    let examination = examination(fake.cloud.clone(), &ready());
    let mut last = Vec::new();
    for _ in 0..4 {
        last = examine(&examination).await;
    }
    assert!(
        last.iter()
            .any(|check| check.status == Status::Skipped && check.detail.contains("too often")),
        "{last:?}"
    );
    let identity = fake.cloud.identify().await.unwrap();
    assert_eq!(fake.cloud.ec2(&identity).create_tags(&[]).await, Ok(()));
}

#[test]
fn each_part_of_the_hibernation_set_up_is_looked_at() {
    let huge = machine(|tree| {
        tree.file("/proc/meminfo", "MemTotal: 200000000 kB\nSwapTotal: 0 kB\n");
    });
    expect(&huge, "hibernation-memory", Status::Fail);
    expect(&huge, "hibernation-swap", Status::Fail);
    let garbage = machine(|tree| {
        tree.file("/proc/meminfo", "MemTotal: many kB\n");
        tree.file("/proc/cmdline", "root=/dev/xvda1 noresume\n");
        tree.file("/sys/power/state", "freeze mem\n");
    });
    expect(&garbage, "hibernation-memory", Status::Warn);
    expect(&garbage, "hibernation-swap", Status::Warn);
    expect(&garbage, "hibernation-resume", Status::Warn);
    expect(&garbage, "hibernation-kernel", Status::Fail);
    let bare = machine(|tree| std::fs::remove_file(tree.path("/usr/bin/hibinit-agent")).unwrap());
    expect(&bare, "hibernation-agent", Status::Warn);
}

#[test]
fn a_swap_file_that_is_switched_on_later_counts() {
    let checks = machine(|tree| {
        tree.file("/proc/meminfo", "MemTotal: 1000 kB\nSwapTotal: 0 kB\n");
        tree.file("/swap-hibinit", "x".repeat(1_024_000));
    });
    assert!(expect(&checks, "hibernation-swap", Status::Pass).detail.contains("/swap-hibinit"));
}

#[test]
fn missing_services_are_warnings() {
    let checks = machine(|tree| {
        std::fs::remove_file(tree.path("/run/systemd/journal/socket")).unwrap();
        std::fs::remove_file(tree.path("/run/dbus/system_bus_socket")).unwrap();
    });
    expect(&checks, "journald", Status::Warn);
    expect(&checks, "system-bus", Status::Warn);
}

#[test]
fn a_state_folder_that_cannot_be_written_fails() {
    let tree = ready();
    let checks =
        [machine::state_folder(&tree.path("/state")), machine::state_folder(&tree.path("/none"))];
    assert_eq!(checks.map(|check| check.status), [Status::Pass, Status::Fail]);
    assert!(!tree.path("/state/.doctor").exists());
}

fn report(name: &str, sight: Sight, why: &str) -> SourceReport {
    let (name, detail) = (name.to_owned(), Some(why.to_owned()));
    SourceReport { name, sight, detail, closed: Vec::new() }
}

#[test]
fn what_is_closed_is_a_warning_that_says_what_to_do() {
    let closed = vec!["/var/spool/cron/atjobs: closed to the agent".to_owned()];
    let check = source(&SourceReport { closed, ..report("cron", Sight::Sees, "") });
    assert_eq!(check.status, Status::Warn);
    assert!(check.detail.contains("atjobs"), "{}", check.detail);
    let remedy = check.remedy.unwrap();
    for word in ["/etc/cron.d", "agentctl hold", "journalctl -u 'agentd-schedules-*'"] {
        assert!(remedy.contains(word), "{remedy}");
    }
}

#[test]
fn each_source_has_its_check() {
    let check = |sight| source(&report("gpu", sight, "why"));
    assert_eq!(check(Sight::Sees).status, Status::Pass);
    for sight in [Sight::Absent, Sight::Disabled, Sight::Pending] {
        assert_eq!(check(sight).status, Status::Skipped);
    }
    let blind = check(Sight::Blind);
    assert_eq!(
        (blind.name.as_str(), blind.status, blind.detail.as_str()),
        ("source:gpu", Status::Fail, "why")
    );
    assert!(blind.remedy.unwrap().contains("[source.gpu]"));
}

#[test]
fn a_blindness_that_lasts_is_cured_by_what_the_doctor_says() {
    let why = "/proc: it hides other users' processes (hidepid=)".to_owned();
    let check = source(&report("cpu", Sight::Blind, &why));
    assert!(check.remedy.unwrap().starts_with("mount /proc without hidepid="));
}

#[test]
fn every_account_that_is_not_closed_is_named_with_its_cure() {
    let report = |of: &str, closed, cure: Option<&str>| AccountReport {
        of: of.to_owned(),
        closed,
        detail: "why".to_owned(),
        cure: cure.map(str::to_owned),
    };
    let checks = accounts(&[
        report("CPU time", true, None),
        report("network", false, Some("another kernel")),
        report("disk traffic", false, None),
    ]);
    assert!(checks.iter().all(|check| check.name == "accounts"));
    let told: Vec<(Status, &str)> =
        checks.iter().map(|check| (check.status, check.detail.as_str())).collect();
    assert_eq!(
        told,
        [
            (Status::Pass, "everything that runs is booked: CPU time (why)"),
            (Status::Warn, "the account of network cannot be closed: why"),
            (Status::Warn, "the account of disk traffic cannot be closed: why"),
        ]
    );
    assert_eq!(checks[1].remedy.as_deref(), Some("another kernel"));
    assert!(checks[2].remedy.as_deref().unwrap().contains("agentctl hold"));
    assert_eq!(accounts(&[])[0].status, Status::Skipped);
}

#[tokio::test]
async fn a_member_learns_whether_its_drain_can_be_completed() {
    use crate::aws::preflight::AUTO_SCALING_TAG;
    use crate::aws::testautoscaling::{self, FakeGroup, Group};

    let identity = async |fake: &FakeGroup| fake.cloud.identify().await.unwrap();
    let denied = testautoscaling::error(403, "AccessDenied", "not authorized");
    for (group, status, words) in [
        (Group::of(&["InService"]), Status::Pass, "drain, backup"),
        (
            Group { hooks: Vec::new(), ..Group::of(&["InService"]) },
            Status::Pass,
            "nothing to complete",
        ),
        (Group { name: None, ..Group::of(&["InService"]) }, Status::Skipped, "left its group"),
        (
            Group::of(&["InService"]).fault("DescribeLifecycleHooks", denied),
            Status::Warn,
            "autoscaling:DescribeLifecycleHooks",
        ),
    ] {
        let fake = FakeGroup::start(group).await;
        let examination = examination(fake.cloud.clone(), &ready());
        let check = service::auto_scaling(&examination, &identity(&fake).await).await;
        assert!(check.status == status && check.detail.contains(words), "{check:?}");
        assert_eq!(check.remedy.is_some(), status == Status::Warn);
    }
    let (checks, _) =
        examine_world(World { tags: vec![(AUTO_SCALING_TAG, "web")], ..World::default() }).await;
    find(&checks, "autoscaling");
    let (checks, _) = examine_world(World::default()).await;
    assert!(!checks.iter().any(|check| check.name == "autoscaling"));
}

const SWAPS: &str = "Filename Type Size Used Priority\n";

#[test]
fn swap_is_read_as_the_kernel_will_use_it() {
    let with = |areas: &str, resume: &str| {
        machine(|tree| {
            tree.file("/proc/swaps", format!("{SWAPS}{areas}"));
            tree.file("/proc/cmdline", format!("root=/dev/nvme0n1p1 {resume}\n"));
            tree.folder("/dev/disk/by-uuid");
            let link = tree.path("/dev/disk/by-uuid/0f-3b");
            std::os::unix::fs::symlink("../../nvme0n1p2", link).unwrap();
        })
    };
    let offset = "resume=/dev/nvme0n1p1 resume_offset=34816";
    for (areas, resume, status) in [
        ("/swap-hibinit file 8000000 0 -2\n", offset, Status::Pass),
        ("/swapfile file 2000000 0 -2\n/swap-hibinit file 8000000 0 -3\n", offset, Status::Warn),
        ("/swapfile file 2000000 0 -3\n/swap-hibinit file 8000000 0 -2\n", offset, Status::Pass),
        ("/swapfile file 2000000 0 -2\n/swap-hibinit file 8000000 0 -2\n", offset, Status::Warn),
        (
            "/dev/zram0 partition 2000000 0 100\n/swap-hibinit file 8000000 0 -2\n",
            offset,
            Status::Pass,
        ),
        ("/swapfile file 4000000 0 -3\n/swap file 4000000 0 -2\n", offset, Status::Fail),
        (
            "/swapfile file 2000000 0 5\n/dev/nvme0n1p2 partition 8000000 0 -2\n",
            "resume=UUID=0f-3b",
            Status::Warn,
        ),
        (
            "/swapfile file 2000000 0 -3\n/dev/nvme0n1p2 partition 8000000 0 -2\n",
            "resume=UUID=0f-3b",
            Status::Pass,
        ),
        ("/a file 8000000 0 -2\n/b file 8000000 0 -3\n", offset, Status::Warn),
    ] {
        let checks = with(areas, resume);
        let check = expect(&checks, "hibernation-swap", status);
        if status == Status::Warn {
            assert!(check.detail.contains("known to fail"), "{check:?}");
        }
    }
}

#[test]
fn a_mounted_instance_store_is_told_with_the_cure() {
    let tree = ready();
    assert_eq!(machine::instance_store(&tree.root(), false).status, Status::Pass);
    tree.file("/sys/block/nvme1n1/device/model", "Amazon EC2 NVMe Instance Storage \n");
    tree.file("/proc/self/mounts", "/dev/nvme1n1 /data xfs rw 0 0\n");
    let refused = machine::instance_store(&tree.root(), false);
    assert_eq!(refused.status, Status::Fail);
    assert!(refused.detail.contains("/dev/nvme1n1 is mounted on /data"), "{refused:?}");
    assert!(refused.remedy.unwrap().contains("idle.instance_store"));
    assert_eq!(machine::instance_store(&tree.root(), true).status, Status::Warn);
}

#[test]
fn hidden_processes_and_a_broken_driver_are_told_with_the_cure() {
    let tree = ready();
    tree.file("/proc/self/mounts", "proc /proc proc rw,hidepid=2 0 0\n");
    let hidden = machine::processes(&tree.root());
    assert_eq!(hidden.status, Status::Fail);
    assert!(hidden.remedy.unwrap().contains("remount,hidepid=0"));
    let blind = |name: &str, why: &str| source(&report(name, Sight::Blind, why)).remedy.unwrap();
    assert!(blind("sessions", "hides (hidepid=)").contains("SupplementaryGroups="));
    let gpu = blind("gpu", "failed to start NVML: driver and library differ");
    assert!(
        gpu.contains("install the driver") && gpu.contains("[source.gpu] enabled = false"),
        "{gpu}"
    );
}
