use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::host::tree::Tree;
use crate::sources::BusMode;

/// 2026-11-26, twelve o'clock UTC.
const NOON_MS: i64 = 1_795_694_400_000;

fn stamp() -> Stamp {
    Stamp::new(36_000_000, 0, NOON_MS)
}

fn source(tree: &Tree) -> Cron {
    Cron::new(&Context { host: tree.root(), options: toml::Table::new(), bus: BusMode::None })
}

/// What blocks, and what is shown.
fn told(reading: Reading) -> (Vec<String>, Vec<String>) {
    let Reading::Signals(signals) = reading else { panic!("{reading:?}") };
    let line = |signal: &Signal| {
        format!("{}: {}", signal.subject, signal.owner.as_deref().unwrap_or_default())
    };
    let blocks = |signal: &&Signal| matches!(signal.value, Value::Blocks { .. });
    let (blocking, shown): (Vec<_>, Vec<_>) = signals.iter().partition(blocks);
    (blocking.into_iter().map(line).collect(), shown.into_iter().map(line).collect())
}

#[test]
fn a_machine_without_cron_and_at_has_none() {
    let tree = Tree::new();
    assert!(matches!(source(&tree).read(stamp()), Reading::Absent { .. }));
    tree.folder("/var/spool/cron/crontabs");
    assert_eq!(source(&tree).read(stamp()), Reading::Signals(Vec::new()));
}

#[test]
fn jobs_that_are_due_soon_block_wherever_they_are_written() {
    let tree = Tree::new();
    tree.file("/etc/crontab", "30 12 * * * bob /srv/run\n17 * * * * root run-parts /etc/cron.hourly\n");
    tree.file("/etc/cron.d/backup", "0 13 * * * root /srv/backup\n*/5 * * * * root /srv/poll\n");
    tree.file("/var/spool/cron/crontabs/alice", "0 13 * * * train\n0 3 * * * later\n@reboot x\n");
    tree.file("/var/spool/cron/carol", "1 12 * * * train\n");
    let minutes = NOON_MS / 60_000 + 20;
    tree.file(&format!("/var/spool/cron/atjobs/a00001{minutes:08x}"), "#!/bin/sh\n");
    tree.file("/var/spool/cron/atjobs/.SEQ", "1\n");
    tree.file(&format!("/var/spool/at/b00002{:08x}", minutes - 120), "stale");
    let (blocking, shown) = told(source(&tree).read(stamp()));
    let at = format!("/var/spool/cron/atjobs/a00001{minutes:08x}: due 12:20:00 UTC");
    let expected = [
        "/etc/crontab line 1: bob, due 12:30:00 UTC",
        "/etc/cron.d/backup line 1: root, due 13:00:00 UTC",
        "/var/spool/cron/crontabs/alice line 1: alice, due 13:00:00 UTC",
        "/var/spool/cron/carol line 1: carol, due 12:01:00 UTC",
        &at,
    ];
    assert_eq!(blocking, expected);
    let expected = [
        "/etc/cron.d/backup line 2: root, runs often and is not waited for",
        "/var/spool/cron/crontabs/alice line 2: alice, will not run while the machine is stopped",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn tables_of_packages_do_not_count() {
    let tree = Tree::new();
    for name in ["e2scrub_all", "php", "mine"] {
        tree.file(&format!("/etc/cron.d/{name}"), "0 13 * * * root x\n");
    }
    tree.file("/var/lib/dpkg/info/e2fsprogs.list", "/etc/cron.d/e2scrub_all\n");
    tree.file("/var/lib/dpkg/info/php-common.list", "/etc/init.d/php\n/etc/cron.d/php\n");
    let (blocking, _) = told(source(&tree).read(stamp()));
    assert_eq!(blocking, ["/etc/cron.d/mine line 1: root, due 13:00:00 UTC"]);
}

#[test]
fn a_packages_table_that_somebody_edited_and_a_folder_with_a_script_made_here_count() {
    let tree = Tree::new();
    let sum = "d8a6ff9b8fa1a1df2f31a8e5d3b7f1f0";
    let status = format!("Package: rsnapshot\nConffiles:\n /etc/cron.d/rsnapshot {sum}\n");
    tree.file("/var/lib/dpkg/status", status);
    tree.file("/var/lib/dpkg/info/rsnapshot.list", "/etc/cron.d/rsnapshot\n/etc/cron.daily/man-db\n");
    tree.file("/etc/cron.d/rsnapshot", "0 13 * * * root rsnapshot\n");
    tree.file("/etc/crontab", "20 13 * * * root cd / && run-parts --report /etc/cron.daily\n");
    let script = |name: &str, mode: u32| {
        let path = format!("/etc/cron.daily/{name}");
        tree.file(&path, "#!/bin/sh\n");
        std::fs::set_permissions(tree.path(&path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    script("man-db", 0o755);
    script("off", 0o644);
    script("backup.sh", 0o755);
    tree.file("/etc/cron.daily/empty", "");
    let table = "/etc/cron.d/rsnapshot line 1: root, due 13:00:00 UTC".to_owned();
    assert_eq!(told(source(&tree).read(stamp())).0, std::slice::from_ref(&table));
    script("backup", 0o755);
    let scripts = "/etc/crontab line 1: root, due 13:20:00 UTC".to_owned();
    assert_eq!(told(source(&tree).read(stamp())).0, [scripts, table]);
}

#[test]
fn a_table_is_somebodys_where_no_package_brought_it_whatever_it_is_called() {
    let tree = Tree::new();
    tree.file("/etc/cron.d/certbot", "0 13 * * * root x\n");
    tree.file("/var/lib/dpkg/info/php-common.list", "/etc/cron.d/php\n");
    assert_eq!(told(source(&tree).read(stamp())).0, ["/etc/cron.d/certbot line 1: root, due 13:00:00 UTC"]);
}

#[test]
fn what_users_fill_folders_with_hides_no_table_and_makes_nothing_blind() {
    let tree = Tree::new();
    let folder = "/var/spool/cron/crontabs";
    tree.file(&format!("{folder}/zoe"), "0 13 * * * x\n");
    for number in 0..=TABLES {
        tree.file(&format!("{folder}/tmp.{number:06}"), "");
    }
    let told_now = told(source(&tree).read(stamp()));
    assert_eq!(told_now, (vec![format!("{folder}/zoe line 1: zoe, due 13:00:00 UTC")], Vec::new()));
    let minutes = NOON_MS / 60_000 + 20;
    for number in 0..=TABLES {
        tree.file(&format!("/var/spool/cron/atjobs/a{number:05x}{minutes:08x}"), "");
    }
    let (blocking, shown) = told(source(&tree).read(stamp()));
    assert_eq!(blocking.len(), 1 + TABLES);
    assert!(shown.len() == 1 && shown[0].contains("more than 512"), "{shown:?}");
}

#[test]
fn the_time_zone_is_the_machines_or_the_tables() {
    let tree = Tree::new();
    tree.file("/var/spool/cron/crontabs/alice", "0 13 * * * x\nCRON_TZ=Etc/UTC\n0 13 * * * x\n");
    let zones = [("/etc/localtime", "Europe/Berlin"), ("/usr/share/zoneinfo/Etc/UTC", "Etc/UTC")];
    for (path, name) in zones {
        let Ok(bytes) = std::fs::read(format!("/usr/share/zoneinfo/{name}")) else {
            eprintln!("skipped: this machine has no time zones");
            return;
        };
        tree.file(path, bytes);
    }
    // One o'clock in Berlin is now.
    let (blocking, _) = told(source(&tree).read(stamp()));
    assert_eq!(blocking, ["/var/spool/cron/crontabs/alice line 3: alice, due 13:00:00 UTC"]);
    tree.file("/etc/localtime", "garbage");
    assert!(matches!(source(&tree).read(stamp()), Reading::Blind { why } if why.contains("localtime")));
}

#[test]
fn nonsense_is_shown_and_does_not_hide_the_other_jobs() {
    let tree = Tree::new();
    tree.file("/var/spool/cron/crontabs/alice", b"\xff\xfe\n61 * * * * x\n0 13 * * * x\n");
    let (blocking, shown) = told(source(&tree).read(stamp()));
    assert_eq!(blocking.len(), 1);
    assert_eq!(shown.len(), 2);
    assert!(shown[1].contains("line 2: makes no sense"), "{shown:?}");
}

#[test]
fn what_fails_is_blind_and_names_the_file() {
    let tree = Tree::new();
    tree.folder("/var/spool/cron/crontabs");
    std::os::unix::fs::symlink("/proc/self/mem", tree.path("/var/spool/cron/crontabs/alice"))
        .unwrap();
    let Reading::Blind { why } = source(&tree).read(stamp()) else { panic!("not blind") };
    assert!(why.contains("/var/spool/cron/crontabs/alice"), "{why}");
}

#[test]
fn tables_are_read_once_a_minute_and_on_demand() {
    let tree = Tree::new();
    tree.folder("/var/spool/cron/crontabs");
    let mut source = source(&tree);
    assert_eq!(source.standing(stamp()), None);
    source.read(stamp());
    let soon = stamp().after(Duration::from_secs(50));
    assert_eq!(source.standing(soon), Some(Reading::Signals(Vec::new())));
    assert_eq!(source.standing(stamp().after(Duration::from_secs(55))), None);
    source.refresh();
    assert_eq!(source.standing(soon), None);
}

#[test]
fn a_job_that_was_waited_for_is_waited_for_while_it_runs() {
    let tree = Tree::new();
    tree.file("/etc/cron.d/report", "30 12 * * * root /srv/report\n*/5 * * * * root /srv/poll\n");
    tree.cgroup("system.slice", 0, &[]);
    tree.cgroup("system.slice/cron.service", 0, &[400]);
    let mut cron = source(&tree);
    let at = |minutes: u64| {
        let ms = i64::try_from(minutes * 60_000).unwrap();
        Stamp::new(36_000_000 + minutes * 60_000, 0, NOON_MS + ms)
    };
    let (blocking, _) = told(cron.read(at(29)));
    assert_eq!(blocking, ["/etc/cron.d/report line 1: root, due 12:30:00 UTC"]);
    tree.cgroup("system.slice/cron.service", 0, &[400, 512]);
    for minute in [31, 40, 55] {
        let (blocking, shown) = told(cron.read(at(minute)));
        assert_eq!(blocking, ["/etc/cron.d/report line 1: root, was due and runs now"], "{minute}");
        assert_eq!(shown.len(), 1, "{shown:?}");
    }
    tree.cgroup("system.slice/cron.service", 0, &[400]);
    assert_eq!(told(cron.read(at(56))).0, Vec::<String>::new());
    // What runs often was never waited for, whatever runs.
    tree.cgroup("system.slice/cron.service", 0, &[400, 600]);
    assert_eq!(told(cron.read(at(60))).0, Vec::<String>::new());
}

/// On this thread the files of a user of nobody's are closed, as to a root without capabilities.
struct Powerless;

impl Powerless {
    /// None where the tests are not root and everything in a fixture is theirs.
    fn here() -> Option<Self> {
        if !geteuid().is_root() {
            eprintln!("skipped: only root can give its powers up");
            return None;
        }
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_533));
        Some(Self)
    }
}

impl Drop for Powerless {
    fn drop(&mut self) {
        nix::unistd::setfsuid(geteuid());
    }
}

/// A table and a spool that are closed, with what a reader would print of them.
fn closed_tree() -> (Tree, String) {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::new();
    tree.file("/etc/passwd", "alice:x:1000:1000::/:/bin/sh\n");
    tree.file("/var/spool/cron/crontabs/alice", "0 13 * * * /srv/secret\n*/5 * * * * x\nnonsense\n");
    let minutes = NOON_MS / 60_000 + 70;
    let job = format!("/var/spool/cron/atjobs/a00001{minutes:08x}");
    tree.file(&job, "#!/bin/sh\n");
    nix::unistd::chown(&tree.path(&job), Some(nix::unistd::Uid::from_raw(1000)), None).unwrap();
    let printed = serde_json::to_string(&search::search(&tree.root())).unwrap();
    let close = |path: &str, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(tree.path(path), mode).unwrap();
    };
    std::fs::set_permissions(tree.path("/"), std::fs::Permissions::from_mode(0o755)).unwrap();
    close("/var/spool/cron/crontabs/alice", 0o600);
    close("/var/spool/cron/atjobs", 0o700);
    (tree, printed)
}

/// What a look tells when this reader is there, and it was waited for.
async fn told_by(tree: &Tree, reader: Option<super::super::reader::Reader>) -> Option<(Vec<String>, Vec<String>)> {
    let mut source = source(tree);
    source.closed = Closed::by(reader);
    let look = move || {
        let _powerless = Powerless::here()?;
        let mut reading = source.read(stamp());
        while source.closed.is_asking() {
            reading = source.read(stamp());
        }
        Some(told(reading))
    };
    tokio::task::spawn_blocking(look).await.unwrap()
}

#[tokio::test]
async fn jobs_whose_times_are_closed_are_waited_for_by_what_a_reader_tells() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can give its powers up");
        return;
    }
    let (tree, printed) = closed_tree();
    let reader = super::super::reader::Reader::shell(&format!("echo '{printed}'"));
    let Some((blocking, shown)) = told_by(&tree, Some(reader)).await else { return };
    let minutes = NOON_MS / 60_000 + 70;
    let expected = [
        "/var/spool/cron/crontabs/alice line 1: alice, due 13:00:00 UTC".to_owned(),
        format!("/var/spool/cron/atjobs/a00001{minutes:08x}: alice, due 13:10:00 UTC"),
    ];
    assert_eq!(blocking, expected);
    let expected = [
        "/var/spool/cron/crontabs/alice line 2: alice, runs often and is not waited for",
        "/var/spool/cron/crontabs/alice line 3: makes no sense, cron does not run it",
    ];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn without_a_reader_they_are_said_to_be_closed_and_nothing_is_blind() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can give its powers up");
        return;
    }
    let (tree, _) = closed_tree();
    let Some((blocking, shown)) = told_by(&tree, None).await else { return };
    assert_eq!(blocking, Vec::<String>::new());
    let closed = "closed to the agent, its jobs count once they run";
    let expected = ["/var/spool/cron/atjobs", "/var/spool/cron/crontabs/alice"];
    assert_eq!(shown, expected.map(|path| format!("{path}: {closed}")));
    for (script, why) in
        [("exit 3", "exit status: 3"), ("echo '{}'", "missing field"), ("echo 'Failed: no' >&2; exit 1", "Failed: no")]
    {
        let reader = super::super::reader::Reader::shell(script);
        let Some((blocking, shown)) = told_by(&tree, Some(reader)).await else { return };
        assert!(blocking.is_empty() && shown.iter().all(|line| line.contains(why)), "{shown:?}");
    }
}

#[test]
fn a_table_of_a_user_that_can_be_read_makes_nothing_blind_either() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let tree = Tree::new();
    let folder = "/var/spool/cron/crontabs";
    tree.file(&format!("{folder}/alice"), "CRON_TZ=Europe\n0 13 * * * x\n");
    tree.file(&format!("{folder}/huge"), "#".repeat(LIMIT * 2));
    tree.file(&format!("{folder}/many"), "0 13 * * * x\n".repeat(5000));
    tree.folder("/usr/share/zoneinfo/Europe");
    for user in ["alice", "huge", "many"] {
        let path = tree.path(&format!("{folder}/{user}"));
        nix::unistd::chown(&path, Some(nix::unistd::Uid::from_raw(1000)), None).unwrap();
    }
    let (blocking, shown) = told(source(&tree).read(stamp()));
    assert_eq!(blocking.len(), 1 + search::JOBS_OF_ONE);
    assert!(blocking.contains(&format!("{folder}/alice line 2: alice, due 13:00:00 UTC")));
    assert!(shown.len() == 1 && shown[0].contains("longer than"), "{shown:?}");
}
