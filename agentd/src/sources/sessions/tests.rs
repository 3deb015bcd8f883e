use super::*;
use crate::host::tree::{Process, Tree};
use crate::sources::BusMode;
use Stretch::{Connected, Job};

/// Which Debian a machine looks like: 12 has utmp, logind that knows terminals and OpenSSH 9.2; 13 has none of it and
/// OpenSSH 10.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Twelve,
    Thirteen,
}

struct Machine {
    tree: Tree,
    sessions: Sessions,
    now: Stamp,
    shape: Shape,
}

const PTS: u32 = 34_816;

fn terminal(number: u32) -> impl Fn(&mut Process) {
    move |p| p.tty = PTS + number
}

impl Machine {
    fn new() -> Self {
        Self::of(Shape::Thirteen)
    }

    fn of(shape: Shape) -> Self {
        let tree = Tree::new();
        tree.file(
            "/etc/passwd",
            "root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n",
        );
        tree.folder("/dev/pts");
        tree.process(&Process::new(1, "systemd").called("/sbin/init"));
        let daemon = "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups";
        tree.process(&Process::new(100, "sshd").called(daemon));
        let host = tree.root();
        let sessions = Sessions::new(&Context { host, options: toml::Table::new(), bus: BusMode::None });
        Self { tree, sessions, now: Stamp::new(1_000_000, 0, 0), shape }
    }

    /// A connection of sshd: the monitor is `pid`, the user's process the next one. It is in session 42.
    fn ssh(&self, pid: u32, uid: u32, state: &str) {
        let name = match self.shape {
            Shape::Twelve => "sshd",
            Shape::Thirteen => "sshd-session",
        };
        let user = state.split('@').next().unwrap();
        let parent = match self.shape {
            Shape::Twelve => 100,
            Shape::Thirteen => 1,
        };
        let title = |rest: &str| vec![format!("{name}: {rest}"), String::new(), String::new()];
        let monitor = title(&format!("{user} [priv]"));
        self.tree.process(
            &Process::new(pid, name).with(|p| (p.ppid, p.arguments) = (parent, monitor)),
        );
        self.tree.process(&Process::new(pid + 1, name).with(|p| {
            (p.ppid, p.session, p.uid, p.arguments) = (pid, pid, uid, title(state));
        }));
        let scope = format!("/user.slice/user-{uid}.slice/session-42.scope");
        self.tree.file(&format!("/proc/{}/cgroup", pid + 1), format!("0::{scope}\n"));
        let tty = match self.shape {
            Shape::Twelve => "TTY=pts/3\nIDLESINCE=5\n",
            Shape::Thirteen => "",
        };
        let text = format!("UID={uid}\nUSER={user}\nTYPE=tty\nCLASS=user\nSTATE=active\n{tty}");
        self.tree.file("/run/systemd/sessions/42", text);
    }

    /// A shell that leads the session on a terminal, with a group in the foreground.
    fn shell(&self, pid: u32, parent: u32, uid: u32, pts: u32, foreground: u32) {
        self.tree.file(&format!("/dev/pts/{pts}"), "");
        self.tree.process(&Process::new(pid, "bash").called("-bash").with(|p| {
            (p.ppid, p.uid, p.tty, p.foreground) = (parent, uid, PTS + pts, foreground);
        }));
    }

    /// A program in a group of its own on a terminal.
    fn program(&self, pid: u32, parent: u32, pts: u32, arguments: &str) {
        let comm: String = arguments.split(' ').next().unwrap().rsplit('/').next().unwrap().into();
        self.tree.process(&Process::new(pid, &comm).called(arguments).with(|p| {
            (p.ppid, p.session, p.tty, p.uid) = (parent, parent, PTS + pts, 1000);
        }));
    }

    /// Alice at a terminal: pts/3, shell 812, with this in the foreground.
    fn alice(&self, arguments: &str) {
        self.ssh(810, 1000, "alice@pts/3");
        self.shell(812, 811, 1000, 3, 830);
        self.program(830, 812, 3, arguments);
    }

    fn read(&mut self) -> Reading {
        self.now = self.now.after(Duration::from_mins(1));
        self.sessions.read(self.now)
    }

    fn signals(&mut self) -> Vec<Signal> {
        match self.read() {
            Reading::Signals(signals) => signals,
            other => panic!("{other:?}"),
        }
    }

    /// What makes the agent wait, by subject, with its owner.
    fn waits(&mut self) -> Vec<Wait> {
        let stretch = |signal: Signal| match signal.value {
            Value::Stretches { by } => Some((signal.subject, by, signal.owner.unwrap())),
            _ => None,
        };
        self.signals().into_iter().filter_map(stretch).collect()
    }

    /// What is shown only.
    fn shown(&mut self) -> Vec<(String, String)> {
        let shown = |signal: Signal| match signal.value {
            Value::Shown { .. } => Some((signal.subject, signal.owner.unwrap())),
            _ => None,
        };
        self.signals().into_iter().filter_map(shown).collect()
    }

    fn why(&mut self) -> String {
        match self.read() {
            Reading::Blind { why } => why,
            other => panic!("{other:?}"),
        }
    }
}

fn wait(subject: &str, by: Stretch, owner: &str) -> Wait {
    (subject.to_owned(), by, owner.to_owned())
}

#[test]
fn nobody_is_a_reading() {
    assert_eq!(Machine::new().signals(), []);
}

#[test]
fn a_terminal_keeps_its_name_from_prompt_to_job_and_back() {
    let mut machine = Machine::new();
    machine.ssh(810, 1000, "alice@pts/3");
    machine.shell(812, 811, 1000, 3, 812);
    assert_eq!(machine.waits(), [wait("pts/3", Connected, "alice, at the prompt")]);
    machine.shell(812, 811, 1000, 3, 830);
    machine.program(830, 812, 3, "make -j8 TOKEN=secret");
    assert_eq!(machine.waits(), [wait("pts/3", Job, "alice, make[830]")]);
    machine.shell(812, 811, 1000, 3, 812);
    assert_eq!(machine.waits(), [wait("pts/3", Connected, "alice, at the prompt")]);
    machine.tree.remove("/proc/812");
    machine.tree.remove("/dev/pts/3");
    machine.tree.remove("/proc/811");
    assert_eq!(machine.waits(), []);
}

#[test]
fn what_is_in_the_foreground_tells_for_how_long_to_wait() {
    for (arguments, by, what) in [
        ("htop", Connected, "htop[830]"),
        ("tail -f x.log", Connected, "tail[830]"),
        ("vim a.c", Connected, "vim[830]"),
        ("ssh other", Connected, "ssh[830]"),
        ("sudo -i", Connected, "at the prompt"),
        ("/usr/bin/python3 /usr/bin/jupyter-lab", Connected, "Jupyter server[830]"),
        ("bash train.sh", Job, "train.sh[830]"),
        ("sudo make", Job, "make[830]"),
        ("sleep 390", Job, "sleep[830]"),
        ("python3 train.py", Job, "python3[830]"),
    ] {
        let mut machine = Machine::new();
        machine.alice(arguments);
        let terminal: Vec<_> =
            machine.waits().into_iter().filter(|(subject, _, _)| subject == "pts/3").collect();
        assert_eq!(terminal, [wait("pts/3", by, &format!("alice, {what}"))], "{arguments}");
    }
}

#[test]
fn a_nested_shell_at_its_prompt_is_a_prompt_of_the_same_person() {
    let mut machine = Machine::new();
    machine.alice("sudo -i");
    // Without a terminal of its own, sudo leaves the foreground to the shell of root.
    machine.tree.process(&Process::new(831, "bash").called("-bash").with(|p| {
        (p.ppid, p.session, p.tty) = (830, 812, PTS + 3);
    }));
    machine.shell(812, 811, 1000, 3, 831);
    assert_eq!(machine.waits(), [wait("pts/3", Connected, "alice, at the prompt")]);
}

#[test]
fn what_sudo_runs_on_a_terminal_of_its_own_is_its_users() {
    let mut machine = Machine::new();
    machine.alice("sudo make");
    machine.tree.file("/dev/pts/4", "");
    machine.tree.process(&Process::new(831, "sudo").called("sudo make").with(|p| {
        (p.ppid, p.tty, p.foreground) = (830, PTS + 4, 832);
    }));
    machine.tree.process(&Process::new(832, "make").called("make").with(|p| {
        (p.ppid, p.session, p.tty) = (831, 831, PTS + 4);
    }));
    let expected = [
        wait("pts/3", Job, "alice, make[830]"),
        wait("pts/4", Job, "alice, make[832]"),
    ];
    assert_eq!(machine.waits(), expected);
}

#[test]
fn a_pager_of_a_program_waits_for_its_user_and_one_of_a_script_does_not() {
    let mut machine = Machine::new();
    machine.alice("git log");
    machine.tree.children(830, &[831]);
    let less = |p: &mut Process| {
        (p.ppid, p.group, p.session, p.tty, p.uid) = (830, 830, 812, PTS + 3, 1000);
    };
    machine.tree.process(&Process::new(831, "less").called("less").with(less));
    assert_eq!(machine.waits(), [wait("pts/3", Connected, "alice, less[831]")]);
    machine.program(830, 812, 3, "bash ./run.sh");
    machine.sessions.refresh();
    assert_eq!(machine.waits(), [wait("pts/3", Job, "alice, run.sh[830]")]);
}

#[test]
fn a_pipeline_whose_first_part_ended_is_what_is_left_of_it() {
    let mut machine = Machine::new();
    machine.alice("dmesg");
    machine.tree.remove("/proc/830");
    machine.tree.children(812, &[831]);
    let member = |p: &mut Process| {
        (p.ppid, p.group, p.session, p.tty) = (812, 830, 812, PTS + 3);
    };
    machine.tree.process(&Process::new(831, "less").called("less").with(member));
    assert_eq!(machine.waits(), [wait("pts/3", Connected, "alice, less[831]")]);
    machine.tree.remove("/proc/831");
    machine.sessions.refresh();
    assert_eq!(machine.waits(), [wait("pts/3", Job, "alice, a command[830]")], "doubt is a job");
}

/// Alice's tmux server with two panes, pts/5 and pts/6, both at their prompts.
fn tmux(machine: &Machine) {
    let server = |p: &mut Process| p.uid = 1000;
    machine.tree.process(&Process::new(900, "tmux: server").called("tmux").with(server));
    machine.shell(905, 900, 1000, 5, 905);
    machine.shell(906, 900, 1000, 6, 906);
}

#[test]
fn detached_shells_are_nothing_and_attached_ones_are_connected() {
    let mut machine = Machine::new();
    tmux(&machine);
    assert_eq!(machine.waits(), []);
    let expected = [("terminals of alice in tmux".to_owned(), "alice, nobody is seen attached".to_owned())];
    assert_eq!(machine.shown(), expected);
    machine.alice("tmux attach");
    let client = Process::new(830, "tmux: client").called("tmux attach");
    machine.tree.process(&client.with(|p| {
        (p.ppid, p.session, p.tty, p.uid) = (812, 812, PTS + 3, 1000);
    }));
    let expected = [
        wait("pts/3", Connected, "alice, tmux[830]"),
        wait("pts/5", Connected, "alice, at the prompt"),
        wait("pts/6", Connected, "alice, at the prompt"),
    ];
    assert_eq!(machine.waits(), expected);
    // The network drops: client, shell and connection end, the panes stay.
    for pid in [810, 811, 812, 830] {
        machine.tree.remove(&format!("/proc/{pid}"));
    }
    machine.tree.remove("/dev/pts/3");
    assert_eq!(machine.waits(), []);
}

#[test]
fn a_job_in_the_background_of_a_detached_shell_is_waited_for_and_a_helper_or_a_display_there_is_not() {
    let mut machine = Machine::new();
    tmux(&machine);
    machine.program(870, 905, 5, "gitstatusd -G");
    machine.program(871, 905, 5, "tail -f log");
    machine.tree.children(905, &[870, 871]);
    assert_eq!(machine.waits(), []);
    machine.program(872, 905, 5, "python3 train.py");
    machine.tree.children(905, &[870, 871, 872]);
    assert_eq!(machine.waits(), [wait("pts/5", Job, "alice, python3[872]")]);
}

#[test]
fn a_client_of_somebody_else_attaches_nobody_elses_shells() {
    let mut machine = Machine::new();
    tmux(&machine);
    machine.ssh(810, 1001, "bob@pts/3");
    machine.shell(812, 811, 1001, 3, 830);
    machine.tree.process(&Process::new(830, "tmux: client").called("tmux").with(|p| {
        (p.ppid, p.session, p.tty, p.uid) = (812, 812, PTS + 3, 1001);
    }));
    assert_eq!(machine.waits(), [wait("pts/3", Connected, "bob, tmux[830]")]);
}

#[test]
fn a_client_inside_a_detached_pane_attaches_nothing() {
    let mut machine = Machine::new();
    tmux(&machine);
    machine.shell(906, 900, 1000, 6, 930);
    machine.tree.process(&Process::new(930, "tmux: client").called("tmux -L b attach").with(|p| {
        (p.ppid, p.session, p.tty, p.uid) = (906, 906, PTS + 6, 1000);
    }));
    assert_eq!(machine.waits(), []);
}

#[test]
fn a_job_in_a_detached_pane_is_a_job() {
    let mut machine = Machine::new();
    tmux(&machine);
    machine.shell(905, 900, 1000, 5, 940);
    machine.program(940, 905, 5, "./train");
    assert_eq!(machine.waits(), [wait("pts/5", Job, "alice, train[940]")]);
    // Its end takes the terminal away, which the engine takes for the end of the job.
    machine.shell(905, 900, 1000, 5, 905);
    assert_eq!(machine.waits(), []);
}

#[test]
fn screen_is_told_apart_from_its_client() {
    let mut machine = Machine::new();
    let owned = |p: &mut Process| p.uid = 1000;
    machine.tree.process(&Process::new(900, "screen").called("SCREEN -S x").with(owned));
    machine.shell(905, 900, 1000, 5, 905);
    assert_eq!(machine.waits(), []);
    machine.alice("screen -r x");
    let subjects: Vec<_> = machine.waits().into_iter().map(|(subject, _, _)| subject).collect();
    assert_eq!(subjects, ["pts/3", "pts/5"]);
}

type Wait = (String, Stretch, String);

/// Something that happens on a machine, and what makes the agent wait then.
type Scene = (&'static str, fn(&Machine), Vec<Wait>);

/// The same things on both Debians.
fn scenes() -> Vec<Scene> {
    terminals().into_iter().chain(connections()).chain(nobody()).collect()
}

fn terminals() -> Vec<Scene> {
    vec![
        ("interactive", |m| m.alice("make"), vec![wait("pts/3", Job, "alice, make[830]")]),
        (
            "two terminals on one connection",
            |m| {
                m.ssh(810, 1000, "alice@pts/3,pts/4");
                m.shell(812, 811, 1000, 3, 812);
                m.shell(813, 811, 1000, 4, 813);
            },
            vec![
                wait("pts/3", Connected, "alice, at the prompt"),
                wait("pts/4", Connected, "alice, at the prompt"),
            ],
        ),
        (
            "root",
            |m| {
                m.ssh(810, 0, "root@pts/3");
                m.shell(812, 811, 0, 3, 812);
            },
            vec![wait("pts/3", Connected, "root, at the prompt")],
        ),
    ]
}

fn connections() -> Vec<Scene> {
    let session = "ssh session 42 of alice";
    vec![
        (
            "a tunnel",
            |m| m.ssh(810, 1000, "alice"),
            vec![wait(session, Connected, "alice, without a terminal")],
        ),
        (
            "a command",
            |m| {
                m.ssh(810, 1000, "alice@notty");
                m.tree.children(811, &[820]);
                let run = |p: &mut Process| (p.ppid, p.uid) = (811, 1000);
                m.tree.process(&Process::new(820, "sleep").called("sleep 390").with(run));
            },
            vec![wait(session, Job, "alice, sleep[820]")],
        ),
        (
            "a file transfer",
            |m| {
                m.ssh(810, 1000, "alice@notty");
                m.tree.children(811, &[820]);
                let run = |p: &mut Process| (p.ppid, p.uid) = (811, 1000);
                let server = "/usr/lib/openssh/sftp-server";
                m.tree.process(&Process::new(820, "sftp-server").called(server).with(run));
            },
            vec![wait(session, Connected, "alice, without a terminal")],
        ),
        (
            "a file transfer inside sshd",
            |m| {
                m.ssh(810, 1000, "alice@notty");
                m.tree.children(811, &[820]);
                let run = |p: &mut Process| (p.ppid, p.uid) = (811, 1000);
                let title = "sshd: alice@internal-sftp";
                m.tree.process(&Process::new(820, "sshd").called(title).with(run));
            },
            vec![wait(session, Connected, "alice, without a terminal")],
        ),
    ]
}

fn nobody() -> Vec<Scene> {
    vec![
        (
            "nobody has logged in yet",
            |m| m.ssh(810, 1000, "alice [preauth]"),
            vec![],
        ),
        (
            "left, with processes behind",
            |m| {
                let text = "UID=1000\nTYPE=tty\nCLASS=user\nSTATE=closing\n";
                m.tree.file("/run/systemd/sessions/42", text);
                tmux(m);
            },
            vec![],
        ),
        (
            "a user manager",
            |m| {
                let text = "UID=1000\nTYPE=unspecified\nCLASS=manager\nSTATE=active\n";
                m.tree.file("/run/systemd/sessions/c1", text);
                m.tree.process(&Process::new(500, "systemd").with(|p| p.uid = 1000));
            },
            vec![],
        ),
    ]
}

#[test]
fn both_debians_show_the_same() {
    for (name, scene, expected) in scenes() {
        for shape in [Shape::Twelve, Shape::Thirteen] {
            let mut machine = Machine::of(shape);
            scene(&machine);
            assert_eq!(machine.waits(), expected, "{name} on {shape:?}");
        }
    }
}

#[test]
fn a_restart_of_sshd_and_a_machine_without_logind_and_groups_change_nothing() {
    for (name, scene, expected) in scenes() {
        let mut machine = Machine::of(Shape::Twelve);
        scene(&machine);
        machine.waits();
        // The daemon is replaced; what it made belongs to pid 1 from now on.
        machine.tree.remove("/proc/100");
        machine.sessions.refresh();
        assert_eq!(machine.waits(), expected, "{name}");
        if machine.tree.path("/run").exists() {
            machine.tree.remove("/run");
        }
        machine.sessions.refresh();
        assert_eq!(machine.waits(), expected, "{name} without logind");
    }
}

#[test]
fn a_connection_without_a_group_is_called_after_its_process() {
    let mut machine = Machine::new();
    machine.ssh(810, 1000, "alice");
    machine.tree.remove("/proc/811/cgroup");
    assert_eq!(machine.waits()[0].0, "ssh session of process 811 of alice");
}

/// A VS Code server of alice's, without a client.
fn server(machine: &Machine) {
    let folder = "/home/alice/.vscode-server/bin/17b";
    let node = |p: &mut Process| p.uid = 1000;
    let main = format!("{folder}/node {folder}/out/server-main.js");
    machine.tree.process(&Process::new(400, "node").called(&main).with(node));
    let host = format!("{folder}/node {folder}/out/bootstrap-fork --type=ptyHost");
    machine.tree.process(&Process::new(401, "node").called(&host).with(|p| {
        (p.ppid, p.uid) = (400, 1000);
    }));
}

#[test]
fn a_server_of_a_development_environment_alone_is_shown_and_nothing() {
    let mut machine = Machine::new();
    server(&machine);
    machine.shell(410, 401, 1000, 7, 410);
    assert_eq!(machine.waits(), []);
    let owned = |subject: &str, owner: &str| (subject.to_owned(), owner.to_owned());
    let terminals = "terminals of alice in a development environment";
    let expected = [
        owned("VS Code server of alice", "alice, no client is connected"),
        owned(terminals, "alice, nobody is seen attached"),
    ];
    assert_eq!(machine.shown(), expected);
    // Its user connects: a shell is fed through the connection, and it starts a part of the server.
    machine.ssh(810, 1000, "alice@notty");
    machine.tree.children(811, &[820]);
    let fed = |p: &mut Process| (p.ppid, p.uid) = (811, 1000);
    machine.tree.process(&Process::new(820, "bash").called("bash").with(fed));
    machine.tree.children(820, &[821]);
    let part = "/home/alice/.vscode-server/code-17b command-shell";
    let started = |p: &mut Process| (p.ppid, p.uid) = (820, 1000);
    machine.tree.process(&Process::new(821, "code-17b").called(part).with(started));
    let expected = [
        wait("pts/7", Connected, "alice, at the prompt"),
        wait("ssh session 42 of alice", Connected, "alice, without a terminal"),
    ];
    assert_eq!(machine.waits(), expected);
    assert_eq!(machine.shown(), [owned("VS Code server of alice", "alice, a client may be connected")]);
}

#[test]
fn a_job_in_a_terminal_of_a_lingering_server_is_a_job() {
    let mut machine = Machine::new();
    server(&machine);
    machine.shell(410, 401, 1000, 7, 420);
    machine.program(420, 410, 7, "python3 train.py");
    assert_eq!(machine.waits(), [wait("pts/7", Job, "alice, python3[420]")]);
}

impl Machine {
    /// The connection of a monitor ends, and so many seconds pass until the next look.
    fn hang_up(&self, monitor: u32) {
        for pid in [monitor, monitor + 1] {
            self.tree.remove(&format!("/proc/{pid}"));
        }
    }

    /// The names of those who are connected, so many seconds later.
    fn later(&mut self, seconds: u64) -> Vec<String> {
        self.now = self.now.after(Duration::from_secs(seconds));
        self.sessions.refresh();
        let Reading::Signals(signals) = self.sessions.read(self.now) else { panic!() };
        let present = |it: &Signal| matches!(it.value, Value::Stretches { .. });
        signals.into_iter().filter(present).map(|signal| signal.subject).collect()
    }
}

#[test]
fn a_tunnel_that_is_renewed_was_never_away() {
    let mut machine = Machine::new();
    machine.ssh(810, 1000, "alice@notty");
    let name = machine.later(0);
    assert_eq!(name, ["ssh session 42 of alice"]);
    assert_eq!(machine.later(700), name);
    machine.hang_up(810);
    assert_eq!(machine.later(10), name, "a NAT dropped it");
    // The next one is in a session of its own.
    machine.ssh(910, 1000, "alice@notty");
    machine.tree.file("/proc/911/cgroup", "0::/user.slice/user-1000.slice/session-43.scope\n");
    assert_eq!(machine.later(10), name);
    assert_eq!(machine.later(700), name);
    machine.hang_up(910);
    assert_eq!(machine.later(100), name);
    assert!(machine.later(30).is_empty(), "it did not come back");
}

#[test]
fn a_connection_of_some_seconds_does_not_linger() {
    let mut machine = Machine::new();
    machine.ssh(810, 1000, "alice@notty");
    assert_eq!(machine.later(0).len(), 1);
    assert_eq!(machine.later(30).len(), 1);
    machine.hang_up(810);
    assert!(machine.later(10).is_empty());
}

#[test]
fn somebody_elses_connection_takes_nobodys_place() {
    let mut machine = Machine::new();
    machine.ssh(810, 1000, "alice@notty");
    machine.later(0);
    machine.later(700);
    machine.hang_up(810);
    machine.ssh(910, 1001, "bob@notty");
    let both = ["ssh session 42 of alice", "ssh session 42 of bob"];
    assert_eq!(machine.later(10), both);
}

#[test]
fn a_script_fed_through_a_connection_is_what_it_runs() {
    let mut machine = Machine::new();
    machine.ssh(810, 1000, "alice@notty");
    machine.tree.children(811, &[820]);
    let fed = |p: &mut Process| (p.ppid, p.uid) = (811, 1000);
    machine.tree.process(&Process::new(820, "bash").called("bash -s").with(fed));
    machine.tree.children(820, &[821]);
    let run = |p: &mut Process| (p.ppid, p.uid) = (820, 1000);
    machine.tree.process(&Process::new(821, "make").called("make").with(run));
    let session = "ssh session 42 of alice";
    assert_eq!(machine.waits(), [wait(session, Job, "alice, make[821]")]);
    machine.tree.process(&Process::new(821, "sleep").called("sleep 5").with(run));
    assert_eq!(machine.waits(), [wait(session, Connected, "alice, without a terminal")]);
    machine.tree.process(&Process::new(820, "bash").called("bash -c sleep").with(fed));
    assert_eq!(machine.waits(), [wait(session, Job, "alice, sleep[821]")]);
}

#[test]
fn sessions_of_systems_manager_have_terminals_or_not() {
    let mut machine = Machine::new();
    let worker = "/usr/bin/ssm-session-worker alice-0a1b";
    machine.tree.process(&Process::new(600, "ssm-session-wor").called(worker));
    assert_eq!(machine.waits(), [wait("SSM session alice-0a1b", Connected, "root, without a terminal")]);
    machine.shell(601, 600, 1001, 2, 601);
    assert_eq!(machine.waits(), [wait("pts/2", Connected, "bob, at the prompt")]);
    let worker = "/usr/bin/ssm-document-worker 77";
    machine.tree.process(&Process::new(700, "ssm-document-wo").called(worker));
    machine.sessions.refresh();
    let command = wait("SSM command 77", Job, "root, a command of Systems Manager");
    assert_eq!(machine.waits()[0], command);
}

#[test]
fn a_shell_that_tailscale_opened_is_live() {
    let mut machine = Machine::new();
    machine.tree.process(&Process::new(300, "tailscaled").called("/usr/sbin/tailscaled --port=41641"));
    machine.tree.process(&Process::new(301, "tailscaled").called("tailscaled be-child ssh").with(|p| p.ppid = 300));
    machine.shell(302, 301, 1000, 1, 302);
    assert_eq!(machine.waits(), [wait("pts/1", Connected, "alice, at the prompt")]);
}

#[test]
fn a_shell_under_mosh_is_connected() {
    let mut machine = Machine::new();
    let mosh = |p: &mut Process| p.uid = 1000;
    machine.tree.process(&Process::new(300, "mosh-server").called("mosh-server new").with(mosh));
    machine.shell(301, 300, 1000, 1, 301);
    assert_eq!(machine.waits(), [wait("pts/1", Connected, "alice, at the prompt")]);
}

#[test]
fn a_prompt_to_log_in_is_nobody_and_a_shell_on_a_console_is_somebody() {
    let mut machine = Machine::new();
    let console = |p: &mut Process| (p.tty, p.foreground) = (1088, 200);
    machine.tree.process(&Process::new(200, "agetty").called("/sbin/agetty -o x ttyS0").with(console));
    assert_eq!(machine.waits(), []);
    machine.tree.process(&Process::new(201, "login").called("login -p --"));
    let shell = |p: &mut Process| (p.ppid, p.tty, p.foreground) = (201, 1088, 202);
    machine.tree.process(&Process::new(202, "bash").called("-bash").with(shell));
    machine.sessions.refresh();
    assert_eq!(machine.waits(), [wait("ttyS0", Connected, "root, at the prompt")]);
}

#[test]
fn a_container_has_jobs_but_its_prompt_and_its_main_program_are_nothing() {
    let mut machine = Machine::new();
    let group = "0::/system.slice/docker-0123456789ab.scope\n";
    let main = |p: &mut Process| (p.tty, p.foreground, p.contained) = (PTS, 500, true);
    machine.tree.process(&Process::new(500, "nginx").called("nginx").with(main));
    machine.tree.file("/proc/500/cgroup", group);
    assert_eq!(machine.waits(), []);
    let shell = |foreground| {
        move |p: &mut Process| (p.tty, p.foreground, p.contained) = (PTS + 1, foreground, true)
    };
    machine.tree.process(&Process::new(510, "bash").called("bash").with(shell(510)));
    machine.tree.file("/proc/510/cgroup", group);
    machine.sessions.refresh();
    assert_eq!(machine.waits(), []);
    machine.tree.process(&Process::new(510, "bash").called("bash").with(shell(511)));
    machine.program(511, 510, 1, "make");
    assert_eq!(machine.waits(), [wait("pts/1 in docker-0123456789ab", Job, "root, make[511]")]);
}

#[test]
fn a_desktop_is_somebody() {
    let mut machine = Machine::new();
    let session = |state: &str| format!("UID=1000\nTYPE=x11\nCLASS=user\nSTATE={state}\n");
    machine.tree.file("/run/systemd/sessions/7", session("active"));
    assert_eq!(machine.waits(), [wait("desktop session 7 of alice", Connected, "alice, x11")]);
    machine.tree.file("/run/systemd/sessions/7", session("closing"));
    machine.sessions.refresh();
    assert_eq!(machine.waits(), []);
}

#[test]
fn all_processes_are_looked_at_only_when_something_calls_for_it() {
    let mut machine = Machine::new();
    let step = Duration::from_millis(1);
    machine.sessions.read(machine.now);
    let bomb = |machine: &Machine| machine.tree.file("/proc/9/stat", "garbage that a walk stumbles over");
    bomb(&machine);
    let signals = |reading| matches!(reading, Reading::Signals(_));
    assert!(signals(machine.sessions.read(machine.now.after(step))));
    // A terminal that nobody leads calls once.
    machine.tree.remove("/proc/9/stat");
    machine.tree.file("/dev/pts/8", "");
    let later = machine.now.after(Duration::from_secs(1));
    assert!(signals(machine.sessions.read(later)));
    bomb(&machine);
    let soon = later.after(Duration::from_millis(500));
    assert!(signals(machine.sessions.read(soon)));
    machine.tree.file("/dev/pts/9", "");
    assert!(!signals(machine.sessions.read(soon.after(step))), "a new terminal calls");
}

#[test]
fn what_cannot_be_read_is_blind_and_is_looked_at_anew_afterwards() {
    let mut machine = Machine::new();
    machine.alice("make");
    machine.waits();
    for path in ["/proc/812/stat", "/proc/811/stat"] {
        let before = std::fs::read(machine.tree.path(path)).unwrap();
        machine.tree.file(path, "garbage");
        let why = machine.why();
        assert!(why.contains(path), "{why}");
        machine.tree.file(path, before);
        assert_eq!(machine.waits(), [wait("pts/3", Job, "alice, make[830]")]);
    }
    machine.tree.file("/proc/self/mounts", "proc /proc proc rw,hidepid=2 0 0\n");
    machine.sessions.refresh();
    assert!(machine.why().contains("hidepid"));
    machine.tree.remove("/proc/self");
    machine.tree.remove("/dev/pts");
    assert!(machine.why().contains("/dev/pts"));
    machine.tree.folder("/dev/pts");
    machine.tree.remove("/proc");
    machine.why();
    machine.tree.folder("/proc");
    assert!(machine.why().contains("no process"));
}

#[test]
fn processes_that_vanish_in_between_are_no_error() {
    for pid in [810, 811, 812, 830] {
        let mut machine = Machine::new();
        machine.alice("make");
        machine.waits();
        machine.tree.remove(&format!("/proc/{pid}"));
        machine.waits();
        machine.sessions.refresh();
        machine.waits();
    }
}

#[test]
fn a_reused_pid_is_somebody_else() {
    let mut machine = Machine::new();
    machine.alice("make");
    machine.waits();
    machine.tree.process(&Process::new(812, "daemon").with(|p| {
        (p.start, p.tty, p.foreground) = (99_999, PTS + 3, 812);
    }));
    let reading = machine.waits();
    assert!(reading.iter().all(|(_, _, owner)| !owner.contains("make")), "{reading:?}");
}

#[test]
fn a_terminal_that_was_hung_up_is_nothing() {
    let mut machine = Machine::new();
    machine.ssh(810, 1000, "alice@pts/3");
    let shell = Process::new(812, "bash").called("-bash").with(|p| (p.ppid, p.uid) = (811, 1000));
    machine.tree.process(&shell.with(terminal(3)));
    machine.tree.file("/dev/pts/3", "");
    assert_eq!(machine.waits(), []);
}

#[test]
fn this_machine_can_be_read() {
    let host = HostRoot::real();
    let context = Context { host, options: toml::Table::new(), bus: BusMode::None };
    let mut sessions = Sessions::new(&context);
    for moment in [1_000_000, 2_000_000] {
        let reading = sessions.read(Stamp::new(moment, 0, 0));
        println!("{reading:#?}");
        assert!(matches!(reading, Reading::Signals(_)), "{reading:?}");
    }
}

#[test]
fn a_server_in_a_terminal_that_nobody_is_attached_to_is_nobody_and_a_job_there_is_waited_for() {
    for (arguments, expected) in [
        ("/usr/bin/python3 -m http.server 8000", None),
        ("/usr/bin/python3 /usr/local/bin/nvitop", None),
        ("/usr/bin/python3 train.py", Some("alice, python3[831]")),
    ] {
        let mut machine = Machine::new();
        tmux(&machine);
        machine.shell(905, 900, 1000, 7, 831);
        machine.program(831, 905, 7, arguments);
        let expected: Vec<_> = expected.map(|words| wait("pts/7", Job, words)).into_iter().collect();
        assert_eq!(machine.waits(), expected, "{arguments}");
    }
    // Who is connected is, and waits for nothing.
    let mut machine = Machine::new();
    machine.alice("/usr/bin/python3 -m http.server 8000");
    assert_eq!(machine.waits(), [wait("pts/3", Connected, "alice, python3[830]")]);
}

#[test]
fn a_client_that_ended_and_was_not_reaped_is_nobody() {
    let mut machine = Machine::new();
    tmux(&machine);
    machine.tree.process(&Process::new(930, "tmux: client").called("tmux attach").with(|p| {
        (p.uid, p.state) = (1000, 'Z');
    }));
    assert_eq!(machine.waits(), []);
}
