use super::*;
use crate::host::tree::{Process, Tree};
use crate::sources::BusMode;
use agent_core::reading::Role;

struct Machine {
    tree: Tree,
    cpu: Cpu,
    now: Stamp,
}

impl Machine {
    fn new(units: &[&str]) -> Self {
        let tree = Tree::new();
        tree.file("/etc/passwd", "root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n");
        let mut options = toml::Table::new();
        options.insert("units".to_owned(), units.to_vec().into());
        let context = Context { host: tree.root(), options, bus: BusMode::None };
        let cpu = Cpu::new(&context);
        Self { tree, cpu, now: Stamp::new(1_000_000, 0, 0) }
    }

    /// A machine with the groups that every Debian has.
    fn debian(units: &[&str]) -> Self {
        let machine = Self::new(units);
        machine.tree.cgroup("init.scope", 900, &[1]);
        machine.tree.cgroup("user.slice", 0, &[]);
        machine.tree.cgroup("system.slice", 5000, &[]);
        machine.tree.process(&Process::new(1, "systemd"));
        machine
    }

    fn read(&mut self) -> Reading {
        self.now = self.now.after(Duration::from_mins(1));
        self.cpu.read(self.now)
    }

    fn signals(&mut self) -> Vec<Signal> {
        match self.read() {
            Reading::Signals(signals) => signals,
            other => panic!("{other:?}"),
        }
    }

    /// The workload counters by subject.
    fn work(&mut self) -> std::collections::BTreeMap<String, u64> {
        let signals = self.signals().into_iter().filter(|signal| signal.role == Role::Workload);
        signals.map(|signal| (signal.subject.clone(), total(&signal))).collect()
    }

    fn why(&mut self) -> String {
        match self.read() {
            Reading::Blind { why } => why,
            other => panic!("{other:?}"),
        }
    }
}

fn total(signal: &Signal) -> u64 {
    match signal.value {
        Value::Counter { total } => total,
        ref other => panic!("{other:?}"),
    }
}

const SESSION: &str = "user.slice/user-1000.slice/session-3.scope";

#[test]
fn a_session_counts_and_belongs_to_its_user() {
    let mut machine = Machine::debian(&[]);
    machine.tree.cgroup(SESSION, 777, &[50]);
    let signals = machine.signals();
    let session = signals.iter().find(|signal| signal.subject == SESSION).unwrap();
    assert_eq!((total(session), session.role), (777, Role::Workload));
    assert_eq!(session.owner.as_deref(), Some("alice"));
}

#[test]
fn services_are_told_by_whose_they_are() {
    let mut machine = Machine::debian(&[]);
    machine.tree.file("/var/lib/dpkg/info/x.list", "/lib/systemd/system/nginx.service\n");
    machine.tree.file("/usr/lib/systemd/system/nginx.service", "");
    let units = [("cron", Role::Upkeep), ("nginx", Role::Server), ("train", Role::Local)];
    for (unit, _) in units {
        machine.tree.cgroup(&format!("system.slice/{unit}.service"), 4000, &[]);
    }
    assert!(machine.work().values().all(|total| *total == 0));
    machine.tree.cgroup("system.slice", 6_000_000, &[]);
    for (unit, _) in units {
        machine.tree.cgroup(&format!("system.slice/{unit}.service"), 1_004_000, &[]);
    }
    let signals = machine.signals();
    for (unit, role) in units {
        let subject = format!("system.slice/{unit}.service");
        let signal = signals.iter().find(|signal| signal.subject == subject).unwrap();
        assert_eq!((signal.role, total(signal)), (role, 1_000_000), "{unit}");
    }
    let ended = signals.iter().find(|signal| signal.role == Role::Unexplained).unwrap();
    assert_eq!(total(ended), 6_000_000 - 5_000 - 3_000_000, "nobody can be named for it");
}

#[test]
fn containers_configured_units_and_unknown_groups_count_and_the_agent_does_not() {
    let mut machine = Machine::debian(&["slurmd"]);
    machine.tree.file("/proc/self/cgroup", "0::/system.slice/agentd.service\n");
    for (group, usage) in [
        ("system.slice/agentd.service", 1),
        ("system.slice/docker-12.scope", 2),
        ("system.slice/slurmd.service", 3),
        ("machine.slice", 4),
        ("machine.slice/libpod-9.scope", 4),
        ("kubepods.slice", 5),
        ("dev-hugepages.mount", 6),
    ] {
        machine.tree.cgroup(group, usage, &[]);
    }
    let work = machine.work();
    let counted: Vec<_> = work.iter().filter(|(_, total)| **total > 0).collect();
    assert_eq!(
        counted.iter().map(|(subject, total)| (subject.as_str(), **total)).collect::<Vec<_>>(),
        [
            ("kubepods.slice", 5),
            ("machine.slice/libpod-9.scope", 4),
            ("system.slice/docker-12.scope", 2),
            ("system.slice/slurmd.service", 3),
        ]
    );
}

#[test]
fn a_session_that_came_and_went_between_two_looks_is_not_lost() {
    let mut machine = Machine::debian(&[]);
    assert_eq!(machine.work()["rest of user.slice"], 0);
    machine.tree.cgroup("user.slice", 8_000_000, &[]);
    assert_eq!(machine.work()["rest of user.slice"], 8_000_000);
}

#[test]
fn a_job_of_cron_counts_though_its_service_does_not() {
    let mut machine = Machine::debian(&[]);
    machine.tree.cgroup("system.slice/cron.service", 10, &[400, 401, 402]);
    machine.tree.process(&Process::new(400, "cron"));
    machine.tree.process(&Process::new(401, "cron").with(|p| p.own = 3));
    let job = |own| Process::new(402, "make").with(|p| (p.uid, p.own) = (1000, own));
    machine.tree.process(&job(100));
    machine.work();
    machine.tree.process(&Process::new(401, "cron").with(|p| p.own = 90));
    machine.tree.process(&job(150));
    let subject = "people's processes in system.slice/cron.service";
    assert_eq!(machine.work().get(subject), Some(&500_000));
    let owner = machine.signals().into_iter().find(|s| s.subject == subject).unwrap().owner;
    assert_eq!(owner, None, "nobody used any since");
    machine.tree.process(&job(151));
    let owner = machine.signals().into_iter().find(|s| s.subject == subject).unwrap().owner;
    assert_eq!(owner.as_deref(), Some("alice, make[402]"));
}

#[test]
fn the_shell_of_an_ssm_session_counts_by_its_terminal() {
    let mut machine = Machine::debian(&[]);
    machine.tree.cgroup("system.slice/amazon-ssm-agent.service", 10, &[500, 501]);
    machine.tree.process(&Process::new(500, "ssm-agent-worke").with(|p| p.own = 1));
    machine.work();
    machine.tree.process(&Process::new(500, "ssm-agent-worke").with(|p| p.own = 900));
    machine.tree.process(&Process::new(501, "sh").with(|p| (p.tty, p.own) = (34_816, 20)));
    let work = machine.work();
    assert_eq!(work["people's processes in system.slice/amazon-ssm-agent.service"], 200_000);
}

#[test]
fn a_service_of_an_ordinary_user_counts_as_a_whole() {
    let mut machine = Machine::debian(&[]);
    let unit = "system.slice/jupyter.service";
    machine.tree.cgroup(unit, 5_000_000, &[600]);
    machine.tree.process(&Process::new(600, "jupyter-lab").with(|p| p.uid = 1000));
    machine.work();
    machine.tree.cgroup(unit, 6_000_000, &[600]);
    let signals = machine.signals();
    let service = signals.iter().find(|signal| signal.subject == unit).unwrap();
    assert_eq!((total(service), service.owner.as_deref()), (6_000_000, Some("alice")));
    let twice = signals.iter().filter(|signal| signal.subject.contains("jupyter")).count();
    assert_eq!(twice, 1, "its processes must not be counted again");
    // A second process of root makes it a mixed service.
    machine.tree.cgroup(unit, 6_000_000, &[600, 601]);
    machine.tree.process(&Process::new(601, "helper"));
    machine.work();
    assert!(!machine.work().contains_key(unit));
}

#[test]
fn a_child_of_a_daemon_that_becomes_a_users_is_noticed() {
    let mut machine = Machine::debian(&[]);
    machine.tree.cgroup("system.slice/cron.service", 10, &[400, 402]);
    machine.tree.process(&Process::new(400, "cron"));
    machine.tree.process(&Process::new(402, "cron"));
    machine.work();
    machine.tree.process(&Process::new(402, "sh").with(|p| (p.uid, p.own) = (1000, 7)));
    let work = machine.work();
    assert_eq!(work["people's processes in system.slice/cron.service"], 70_000);
}

#[test]
fn a_process_outside_every_group_counts_but_kernel_threads_do_not() {
    let mut machine = Machine::debian(&[]);
    machine.tree.cgroup("", 0, &[2, 700]);
    machine.tree.process(&Process::new(2, "kthreadd").with(|p| p.flags = 0x0020_8040));
    machine.tree.process(&Process::new(700, "stray"));
    machine.work();
    machine
        .tree
        .process(&Process::new(2, "kthreadd").with(|p| (p.flags, p.own) = (0x0020_8040, 5000)));
    machine.tree.process(&Process::new(700, "stray").with(|p| p.own = 11));
    assert_eq!(machine.work()["people's processes in no control group"], 110_000);
}

#[test]
fn processes_are_looked_at_again_when_a_fresh_look_is_asked_for() {
    let mut machine = Machine::debian(&[]);
    machine.tree.cgroup("system.slice/cron.service", 10, &[402]);
    machine.tree.process(&Process::new(402, "make").with(|p| p.tty = 1));
    machine.cpu.read(machine.now);
    machine.tree.process(&Process::new(402, "make").with(|p| (p.tty, p.own) = (1, 5)));
    let has = |reading: &Reading| {
        let Reading::Signals(signals) = reading else { panic!("{reading:?}") };
        signals.iter().any(|signal| signal.subject.starts_with("people's"))
    };
    assert!(!has(&machine.cpu.read(machine.now)), "no walk is due");
    machine.cpu.refresh();
    assert!(has(&machine.cpu.read(machine.now)));
}

#[test]
fn version_1_is_read_with_the_same_rules() {
    let mut machine = Machine::new(&[]);
    machine.tree.process(&Process::new(1, "systemd"));
    machine.tree.cgroup_v1("system.slice", 9_000_000, &[]);
    machine.tree.cgroup_v1("user.slice", 5_000_000, &[]);
    machine.tree.cgroup_v1("user.slice/user-1000.slice", 4_000_000, &[]);
    machine.tree.cgroup_v1("docker", 3_000_000, &[]);
    let work = machine.work();
    assert_eq!(work["user.slice/user-1000.slice"], 4000);
    assert_eq!(work["docker"], 3000);
    assert!(!work.contains_key("system.slice"));
}

#[test]
fn without_groups_every_process_counts() {
    let mut machine = Machine::new(&[]);
    machine.tree.process(&Process::new(1, "init"));
    machine.tree.process(&Process::new(2, "kthreadd").with(|p| p.flags = 0x0020_8040));
    let job = |own, children| {
        Process::new(30, "make (x) y").with(|p| (p.uid, p.own, p.children) = (1000, own, children))
    };
    machine.tree.process(&job(100, 100));
    assert_eq!(machine.work()["all processes"], 0);
    machine.tree.process(&Process::new(1, "init").with(|p| p.own = 500));
    machine.tree.process(&job(103, 140));
    let signals = machine.signals();
    assert_eq!(total(&signals[0]), 430_000);
    assert_eq!(signals[0].owner.as_deref(), Some("alice, make (x) y[30]"));
}

#[test]
fn what_cannot_be_read_is_blind_and_never_zero() {
    let mut machine = Machine::debian(&[]);
    machine.tree.cgroup(SESSION, 777, &[]);
    machine.work();
    machine.tree.file(&format!("/sys/fs/cgroup/{SESSION}/cpu.stat"), "garbage");
    assert!(machine.why().contains("session-3.scope/cpu.stat"));
    machine.tree.cgroup(SESSION, 778, &[]);
    assert_eq!(machine.work()[SESSION], 778);
    machine.tree.cgroup("system.slice/x.service", 1, &[9]);
    machine.tree.file("/proc/9/stat", "9 (x");
    assert!(machine.why().contains("/proc/9/stat"));
    machine.tree.remove("/proc/9");
    machine.work();
}

#[test]
fn no_process_at_all_or_hidden_processes_are_blind() {
    let mut machine = Machine::new(&[]);
    assert!(machine.why().contains("no process"));
    machine.tree.process(&Process::new(1, "init"));
    machine.work();
    machine.tree.file("/proc/self/mounts", "proc /proc proc rw,hidepid=2 0 0\n");
    assert!(machine.why().contains("hidepid"));
    machine.tree.remove("/proc");
    machine.why();
}

#[test]
fn a_counter_that_runs_backwards_is_passed_on_as_it_is() {
    let mut machine = Machine::debian(&[]);
    machine.tree.cgroup(SESSION, 777, &[]);
    machine.work();
    machine.tree.cgroup(SESSION, 5, &[]);
    assert_eq!(machine.work()[SESSION], 5);
}

#[test]
fn this_machine_can_be_read() {
    let context =
        Context { host: HostRoot::real(), options: toml::Table::new(), bus: BusMode::None };
    let mut cpu = Cpu::new(&context);
    let reading = cpu.read(Stamp::new(1_000_000, 0, 0));
    assert!(matches!(&reading, Reading::Signals(signals) if !signals.is_empty()), "{reading:?}");
}

const NODE: &str = "/home/alice/.vscode-server/bin/17b/node /home/alice/.vscode-server/bin/17b/out/server-main.js";

/// A session of alice's with an IDE server (50), its helper (51), a terminal's shell (52) and a job in it (53), after
/// these seconds of CPU time of helper and job.
fn develop(machine: &Machine, helper: u64, job: u64) {
    machine.tree.cgroup(SESSION, (helper + job) * 1_000_000, &[50, 51, 52, 53]);
    let own = |p: &mut Process| p.uid = 1000;
    machine.tree.process(&Process::new(50, "node").called(NODE).with(own));
    machine.tree.process(&Process::new(51, "rg").called("/usr/bin/rg --files").with(|p| {
        (p.uid, p.ppid, p.own) = (1000, 50, helper * 100);
    }));
    machine.tree.process(&Process::new(52, "bash").called("bash").with(|p| {
        (p.uid, p.ppid, p.tty) = (1000, 50, 34_816);
    }));
    machine.tree.process(&Process::new(53, "rg").called("/usr/bin/rg x /").with(|p| {
        (p.uid, p.ppid, p.tty, p.own) = (1000, 52, 34_816, job * 100);
    }));
}

fn find(signals: &[Signal], subject: &str) -> Option<(u64, Role, Option<String>)> {
    let signal = signals.iter().find(|signal| signal.subject == subject)?;
    Some((total(signal), signal.role, signal.owner.clone()))
}

#[test]
fn a_runaway_helper_of_an_ide_is_shown_and_is_no_work_but_a_job_in_its_terminal_is() {
    let mut machine = Machine::debian(&[]);
    develop(&machine, 100, 10);
    let signals = machine.signals();
    let owner = || Some("alice".to_owned());
    assert_eq!(find(&signals, SESSION), Some((110_000_000, Role::Workload, owner())));
    // A minute of a whole core.
    develop(&machine, 160, 10);
    let signals = machine.signals();
    assert_eq!(find(&signals, SESSION), Some((110_000_000, Role::Workload, owner())));
    let helpers = find(&signals, "IDE servers of alice");
    assert_eq!(helpers, Some((60_000_000, Role::Ignored, owner())));
    develop(&machine, 220, 25);
    let signals = machine.signals();
    assert_eq!(find(&signals, SESSION), Some((125_000_000, Role::Workload, owner())));
    assert_eq!(find(&signals, "IDE servers of alice").unwrap().0, 120_000_000);
    assert_eq!(find(&signals, "rest of user.slice").unwrap().0, 0);
}

#[test]
fn helpers_are_subtracted_between_two_searches_too() {
    let mut machine = Machine::debian(&[]);
    develop(&machine, 100, 0);
    machine.signals();
    let step = Duration::from_millis(1);
    develop(&machine, 105, 0);
    let Reading::Signals(signals) = machine.cpu.read(machine.now.after(step)) else { panic!() };
    assert_eq!(find(&signals, SESSION).unwrap().0, 100_000_000);
}

#[test]
fn a_session_without_an_ide_is_passed_on_and_one_that_gets_one_goes_on_from_there() {
    let mut machine = Machine::debian(&[]);
    machine.tree.cgroup(SESSION, 5_000_000, &[52]);
    machine.tree.process(&Process::new(52, "bash").called("bash").with(|p| p.uid = 1000));
    assert_eq!(find(&machine.signals(), SESSION).unwrap().0, 5_000_000);
    develop(&machine, 50, 10);
    let signals = machine.signals();
    assert_eq!(find(&signals, SESSION).unwrap().0, 60_000_000, "what was used before stays work");
    develop(&machine, 90, 11);
    assert_eq!(find(&machine.signals(), SESSION).unwrap().0, 61_000_000);
    // The server ends; its last stretch is not known, so it counts.
    for pid in [50, 51] {
        machine.tree.remove(&format!("/proc/{pid}"));
    }
    machine.tree.cgroup(SESSION, 103_000_000, &[52, 53]);
    let signals = machine.signals();
    assert_eq!(find(&signals, SESSION).unwrap().0, 63_000_000);
    assert_eq!(find(&signals, "IDE servers of alice"), None);
}

#[test]
fn children_of_a_helper_that_ended_count_as_work() {
    let mut machine = Machine::debian(&[]);
    develop(&machine, 0, 0);
    machine.signals();
    develop(&machine, 0, 0);
    machine.tree.cgroup(SESSION, 30_000_000, &[50, 51, 52, 53]);
    machine.tree.process(&Process::new(50, "node").called(NODE).with(|p| {
        (p.uid, p.children) = (1000, 3000);
    }));
    assert_eq!(find(&machine.signals(), SESSION).unwrap().0, 30_000_000);
}

#[test]
fn a_kernel_in_a_jupyter_service_counts_and_the_server_does_not() {
    let mut machine = Machine::debian(&[]);
    let unit = "system.slice/jupyter.service";
    let state = |server: u64, kernel: u64| {
        let usage = (server + kernel) * 1_000_000;
        let lab = "/usr/bin/python3 /usr/bin/jupyter-lab";
        let run = "python3 -m ipykernel_launcher -f /x/kernel-1.json";
        let lab = Process::new(600, "jupyter-lab").called(lab);
        let run = Process::new(601, "python3").called(run);
        (usage, [lab.with(|p| (p.uid, p.own) = (1000, server * 100)), run.with(|p| {
            (p.uid, p.ppid, p.own) = (1000, 600, kernel * 100);
        })])
    };
    let set = |machine: &Machine, server, kernel| {
        let (usage, processes) = state(server, kernel);
        machine.tree.cgroup(unit, usage, &[600, 601]);
        for process in &processes {
            machine.tree.process(process);
        }
    };
    set(&machine, 0, 0);
    machine.signals();
    machine.signals();
    set(&machine, 40, 7);
    assert_eq!(find(&machine.signals(), unit).unwrap().0, 7_000_000);
    // With a process of root in it, single processes are counted.
    machine.tree.process(&Process::new(602, "configurable-h"));
    machine.tree.cgroup(unit, 47_000_000, &[600, 601, 602]);
    machine.signals();
    set(&machine, 90, 9);
    machine.tree.cgroup(unit, 99_000_000, &[600, 601, 602]);
    let people = format!("people's processes in {unit}");
    assert_eq!(find(&machine.signals(), &people).unwrap().0, 2_000_000);
}

#[test]
fn without_groups_helpers_are_left_out_too() {
    let mut machine = Machine::new(&[]);
    machine.tree.process(&Process::new(1, "init"));
    let state = |machine: &Machine, server, job| {
        machine.tree.process(&Process::new(50, "node").called(NODE).with(|p| p.own = server));
        machine.tree.process(&Process::new(51, "make").called("make").with(|p| p.own = job));
    };
    state(&machine, 0, 0);
    machine.signals();
    state(&machine, 500, 7);
    assert_eq!(find(&machine.signals(), "all processes").unwrap().0, 70_000);
}

#[test]
fn a_hierarchy_that_is_gone_is_blind_and_not_a_machine_at_rest() {
    let mut machine = Machine::debian(&[]);
    machine.signals();
    for slice in ["init.scope", "user.slice", "system.slice"] {
        machine.tree.remove(&format!("/sys/fs/cgroup/{slice}"));
    }
    assert!(machine.why().contains("slices"), "an empty mount point");
    machine.tree.remove("/sys/fs/cgroup");
    assert!(machine.why().contains("/sys/fs/cgroup"), "no mount point");
}

/// A session of alice's with a display (60) in the foreground or the background of a terminal, which used these seconds of
/// children, and a build (61) beside it.
fn show(machine: &Machine, foreground: bool, display: u64, build: u64) {
    machine.tree.cgroup(SESSION, (display + build) * 1_000_000, &[60, 61]);
    let group = if foreground { 60 } else { 52 };
    machine.tree.process(&Process::new(60, "watch").called("watch -n 2 nvidia-smi").with(|p| {
        (p.uid, p.tty, p.foreground, p.children) = (1000, 34_816, group, display * 100);
    }));
    machine.tree.process(&Process::new(61, "make").called("make -j8").with(|p| {
        (p.uid, p.tty, p.own) = (1000, 34_817, build * 100);
    }));
}

#[test]
fn what_a_display_in_the_foreground_runs_is_nobodys_and_a_build_beside_it_is_work() {
    let mut machine = Machine::debian(&[]);
    show(&machine, true, 100, 10);
    machine.signals();
    // A tenth of a core.
    show(&machine, true, 106, 10);
    let signals = machine.signals();
    assert_eq!(find(&signals, SESSION).unwrap().0, 110_000_000);
    let shown = find(&signals, "displays of alice");
    assert_eq!(shown, Some((6_000_000, Role::Ignored, Some("alice".to_owned()))));
    show(&machine, true, 112, 40);
    assert_eq!(find(&machine.signals(), SESSION).unwrap().0, 140_000_000);
}

#[test]
fn a_display_that_is_a_module_of_python_or_a_client_of_docker_is_one_and_a_server_in_the_foreground_stays_one() {
    for (name, line, displays, servers) in [
        ("python3", "python3 -m glances", Some(6_000_000), None),
        ("docker", "docker stats", Some(6_000_000), None),
        ("python3", "python3 -m jupyterlab", None, Some(6_000_000)),
        ("python3", "python3 train.py", None, None),
    ] {
        let mut machine = Machine::debian(&[]);
        let set = |machine: &Machine, used: u64| {
            machine.tree.cgroup(SESSION, used * 1_000_000, &[60]);
            machine.tree.process(&Process::new(60, name).called(line).with(|p| {
                (p.uid, p.tty, p.foreground, p.own) = (1000, 34_816, 60, used * 100);
            }));
        };
        set(&machine, 100);
        machine.signals();
        set(&machine, 106);
        let signals = machine.signals();
        let of = |subject: &str| find(&signals, subject).map(|(total, ..)| total);
        assert_eq!(of("displays of alice"), displays, "{line}");
        assert_eq!(of("IDE servers of alice"), servers, "{line}");
        let work = if displays.or(servers).is_some() { 100_000_000 } else { 106_000_000 };
        assert_eq!(of(SESSION), Some(work), "{line}");
    }
}

#[test]
fn what_a_display_uses_is_left_out_where_people_are_told_by_process_too_up_to_half_a_core() {
    let unit = "system.slice/amazon-ssm-agent.service";
    let people = format!("people's processes in {unit}");
    for (shown, job, work) in [(6, 0, 0), (6, 20, 20_000_000), (31, 0, 31_000_000)] {
        let mut machine = Machine::debian(&[]);
        let set = |machine: &Machine, shown: u64, job: u64| {
            machine.tree.cgroup(unit, (shown + job) * 1_000_000, &[5, 60, 61]);
            machine.tree.process(&Process::new(5, "amazon-ssm-agen"));
            let watch = Process::new(60, "watch").called("watch -n 2 nvidia-smi");
            machine.tree.process(&watch.with(|p| {
                (p.uid, p.tty, p.foreground, p.children) = (1000, 34_816, 60, shown * 100);
            }));
            let train = Process::new(61, "train").called("./train");
            machine.tree.process(&train.with(|p| {
                (p.uid, p.tty, p.own) = (1000, 34_816, job * 100);
            }));
        };
        set(&machine, 100, 100);
        machine.signals();
        machine.signals();
        set(&machine, 100 + shown, 100 + job);
        let signals = machine.signals();
        let told = find(&signals, &people).map_or(0, |(total, ..)| total);
        assert_eq!(told, work, "{shown} {job}");
    }
}

#[test]
fn the_screen_at_which_nobody_has_logged_in_is_upkeep_with_its_user_manager() {
    let mut machine = Machine::debian(&[]);
    let session = "user.slice/user-42.slice/session-c1.scope";
    let manager = "user.slice/user-42.slice/user@42.service";
    for group in [session, manager, SESSION] {
        machine.tree.cgroup(group, 777, &[]);
    }
    let text = "UID=42\nSTATE=active\nTYPE=wayland\nCLASS=greeter\n";
    machine.tree.file("/run/systemd/sessions/c1", text);
    let signals = machine.signals();
    let role = |group: &str| find(&signals, group).unwrap().1;
    assert_eq!([session, manager, SESSION].map(role), [Role::Upkeep, Role::Upkeep, Role::Workload]);
}

#[test]
fn a_server_of_an_ide_in_a_unit_that_systemd_run_made_is_no_work_and_what_it_runs_is() {
    let mut machine = Machine::debian(&[]);
    let unit = "system.slice/run-u12.service";
    let set = |machine: &Machine, server: u64, job: u64| {
        machine.tree.cgroup(unit, (server + job) * 1_000_000, &[50, 51]);
        let node = Process::new(50, "node").called(NODE);
        machine.tree.process(&node.with(|p| (p.uid, p.own) = (1000, server * 100)));
        let train = Process::new(51, "python3").called("python3 train.py");
        machine.tree.process(&train.with(|p| (p.uid, p.ppid, p.own) = (1000, 50, job * 100)));
    };
    set(&machine, 10, 10);
    machine.signals();
    set(&machine, 50, 17);
    let signals = machine.signals();
    assert_eq!(find(&signals, unit).unwrap().0, 27_000_000);
    assert_eq!(find(&signals, "IDE servers of services").unwrap().0, 40_000_000);
}

#[test]
fn what_a_display_in_the_background_or_beyond_half_a_core_uses_is_work() {
    for (foreground, used) in [(false, 6), (true, 31)] {
        let mut machine = Machine::debian(&[]);
        show(&machine, foreground, 100, 10);
        machine.signals();
        show(&machine, foreground, 100 + used, 10);
        let total = find(&machine.signals(), SESSION).unwrap().0;
        assert_eq!(total, (110 + used) * 1_000_000, "foreground: {foreground}");
    }
}

/// A node of kind in a container: its parts used `plane` seconds each, a process beside them `job` seconds.
fn node(machine: &Machine, group: &str, kubelet: &str, job: &str, plane: u64, used: u64) {
    let pods = format!("{group}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod7.slice/cri-containerd-9.scope");
    machine.tree.cgroup(group, (3 * plane + used) * 1_000_000, &[70]);
    machine.tree.cgroup(&pods, 0, &[71, 72, 73]);
    for (pid, name, own) in
        [(70, kubelet, plane), (71, "kube-apiserver", plane), (72, "etcd", plane), (73, job, used)]
    {
        machine.tree.process(&Process::new(pid, name).with(|p| p.own = own * 100));
    }
}

#[test]
fn the_control_plane_of_a_kubernetes_in_a_container_is_upkeep_and_a_pods_work_is_work() {
    let group = "system.slice/docker-4f1a0c.scope";
    for (kubelet, job, plane, work) in [
        ("kubelet", "python3", Some(5_000_000), 107_000_000),
        // Without a kubelet an etcd is a program like any other.
        ("bash", "python3", None, 122_000_000),
        // Whoever gives a job the name of a part gets its ceiling.
        ("kubelet", "coredns", Some(5_000_000), 100_000_000),
    ] {
        let mut machine = Machine::debian(&[]);
        node(&machine, group, kubelet, job, 10, 70);
        machine.signals();
        node(&machine, group, kubelet, job, 15, 77);
        let signals = machine.signals();
        assert_eq!(find(&signals, group).unwrap().0, work, "{kubelet} {job}");
        let etcd = find(&signals, "Kubernetes: etcd");
        assert_eq!(etcd, plane.map(|used| (used, Role::Upkeep, None)), "{kubelet} {job}");
    }
}

#[test]
fn an_etcd_in_a_session_or_without_its_kubelet_is_work() {
    let mut machine = Machine::debian(&[]);
    node(&machine, SESSION, "kubelet", "python3", 10, 0);
    machine.signals();
    node(&machine, SESSION, "kubelet", "python3", 20, 0);
    let signals = machine.signals();
    assert_eq!(find(&signals, SESSION).unwrap().0, 60_000_000);
    assert_eq!(find(&signals, "Kubernetes: etcd"), None);

    let group = "system.slice/docker-4f1a0c.scope";
    let mut machine = Machine::debian(&[]);
    node(&machine, group, "kubelet", "python3", 10, 0);
    machine.signals();
    // The kubelet became another program; two looks later nothing is left out any more.
    node(&machine, group, "bash", "python3", 10, 0);
    machine.signals();
    machine.signals();
    let before = find(&machine.signals(), group).unwrap().0;
    node(&machine, group, "bash", "python3", 20, 0);
    assert_eq!(find(&machine.signals(), group).unwrap().0 - before, 30_000_000);
}

#[test]
fn in_the_pods_of_a_kubelet_of_the_machine_itself_parts_are_told_from_work_too() {
    let mut machine = Machine::debian(&[]);
    let pod = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod7.slice/cri-containerd-9.scope";
    let set = |machine: &Machine, plane: u64, job: u64| {
        machine.tree.cgroup("kubepods.slice", (plane + job) * 1_000_000, &[]);
        machine.tree.cgroup(pod, 0, &[71, 72]);
        machine.tree.process(&Process::new(71, "kube-apiserver").with(|p| p.own = plane * 100));
        machine.tree.process(&Process::new(72, "train").with(|p| p.own = job * 100));
    };
    set(&machine, 10, 10);
    machine.signals();
    set(&machine, 16, 13);
    let signals = machine.signals();
    assert_eq!(find(&signals, "kubepods.slice").unwrap().0, 23_000_000);
    assert_eq!(find(&signals, "Kubernetes: kube-apiserver"), Some((6_000_000, Role::Upkeep, None)));
}
