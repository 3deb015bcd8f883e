//! Whole process trees, labelled by what somebody who knows the machine would say: is it a job that was left running?

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use agent_core::reading::{Reading, Stretch, Value};
use agent_core::stamp::Stamp;

use crate::host::tree::{Process, Tree};
use crate::sources::sessions::Sessions;
use crate::sources::{BusMode, Context, Source as _};

const SESSION: &str = "user.slice/user-1000.slice/session-3.scope";
const MANAGER: &str = "user.slice/user-1000.slice/user@1000.service";
const CRON: &str = "system.slice/cron.service";
const USER_DATA: &str = "system.slice/cloud-final.service";
const SSM: &str = "system.slice/amazon-ssm-agent.service";
/// The device number of `pts/0`.
const PTS: u32 = 34_816;

struct Machine {
    tree: Tree,
    sessions: Sessions,
    now: Stamp,
}

/// What is told of a machine: subject and owner of each job.
type Told = Vec<(String, String)>;

impl Machine {
    fn new() -> Self {
        let tree = Tree::new();
        tree.file("/etc/passwd", "root:x:0:0::/:/bin/sh\nbob:x:1000:1000::/:/bin/sh\ngdm:x:118:118::/:/bin/sh\n");
        tree.folder("/dev/pts");
        let context = Context { host: tree.root(), options: toml::Table::new(), bus: BusMode::None };
        let machine =
            Self { sessions: Sessions::new(&context), tree, now: Stamp::new(10_000_000, 0, 0) };
        machine.run(1, 0, 0, "init.scope", "/usr/lib/systemd/systemd --system");
        machine.run(100, 1, 0, "system.slice/ssh.service", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups");
        machine.run(300, 1, 1000, &format!("{MANAGER}/init.scope"), "/usr/lib/systemd/systemd --user");
        machine.run(301, 300, 1000, &format!("{MANAGER}/init.scope"), "(sd-pam)");
        machine
    }

    /// A process without a terminal; `line` is its command line.
    fn run(&self, pid: u32, parent: u32, uid: u32, group: &str, line: &str) {
        self.run_with(pid, parent, uid, group, line, |_| {});
    }

    fn run_with(
        &self,
        pid: u32,
        parent: u32,
        uid: u32,
        group: &str,
        line: &str,
        change: impl FnOnce(&mut Process),
    ) {
        let program = line.split(' ').next().unwrap().trim_start_matches('-').trim_end_matches(':');
        let comm: String = program.rsplit('/').next().unwrap().chars().take(15).collect();
        let process = Process::new(pid, &comm).called(line);
        self.tree.process(&process.with(|p| (p.ppid, p.uid) = (parent, uid)).with(change));
        self.tree.file(&format!("/proc/{pid}/cgroup"), format!("0::/{group}\n"));
    }

    /// Bob is connected: his shell is 812 on pts/3, in session 3.
    fn bob(&self) {
        self.run(810, 100, 0, SESSION, "sshd: bob [priv]");
        self.run(811, 810, 1000, SESSION, "sshd: bob@pts/3");
        self.tree.file("/dev/pts/3", "");
        self.run_with(812, 811, 1000, SESSION, "-bash", |p| (p.tty, p.foreground) = (PTS + 3, 812));
    }

    /// Writes the groups with their processes, and what listens in one of them.
    fn listen(&self, group: &str, pids: &[u32], sockets: &[&str]) {
        self.tree.cgroup("system.slice", 0, &[]);
        self.tree.cgroup(group, 0, pids);
        let folder = self.tree.path(&format!("/sys/fs/cgroup/{group}"));
        let id = std::fs::metadata(folder).unwrap().ino();
        let lines: Vec<String> = sockets.iter().map(|at| match at.strip_prefix("udp ") {
            Some(at) => format!("1 UDP {at} 0.0.0.0:0 1000 5 {id} 0 0 0\n"),
            None => format!("1 LISTEN {at} - 1000 5 {id} 0 0 0\n"),
        }).collect();
        self.tree.file("/proc/net/sock_diag", lines.concat());
    }

    fn look(&mut self, after: Duration) -> Vec<agent_core::reading::Signal> {
        self.now = self.now.after(after);
        self.sessions.refresh();
        match self.sessions.read(self.now) {
            Reading::Signals(signals) => signals,
            other => panic!("{other:?}"),
        }
    }

    /// The jobs that are told, those on terminals left out.
    fn jobs(&mut self) -> Told {
        let signals = self.look(Duration::from_mins(5)).into_iter();
        let job = |by: &Value| *by == Value::Stretches { by: Stretch::Job };
        let jobs = signals.filter(|signal| job(&signal.value) && signal.subject.contains('['));
        jobs.map(|signal| (signal.subject, signal.owner.unwrap())).collect()
    }
}

/// What is run on a machine, and what is told of it, as `SUBJECT of OWNER`.
type Case = (&'static str, fn(&Machine), &'static [&'static str]);

fn check(cases: &[Case]) {
    for (name, set_up, expected) in cases {
        let mut machine = Machine::new();
        set_up(&machine);
        let told: Vec<_> =
            machine.jobs().into_iter().map(|(subject, owner)| format!("{subject} of {owner}")).collect();
        assert_eq!(told, *expected, "{name}");
    }
}

#[test]
fn what_outlived_its_login_is_a_job() {
    check(&[
        ("nohup, after the logout", |m| {
            m.run_with(900, 1, 1000, SESSION, "python3 crawl.py", |p| (p.session, p.nohup) = (812, true));
        }, &["python3[900] under nohup of bob"]),
        ("nohup sh -c, whose children come and go", |m| {
            m.run_with(900, 1, 1000, SESSION, "sh -c sleep_5400;./run", |p| p.nohup = true);
            m.run_with(901, 900, 1000, SESSION, "sleep 5400", |p| p.nohup = true);
        }, &["sh[900] under nohup of bob"]),
        ("nohup, while bob is still at his prompt", |m| {
            m.bob();
            m.run_with(900, 812, 1000, SESSION, "python3 crawl.py", |p| {
                (p.session, p.tty, p.foreground, p.nohup) = (812, PTS + 3, 812, true);
            });
        }, &["python3[900] under nohup of bob"]),
        ("disowned, after the logout: no terminal any more", |m| {
            m.run_with(900, 1, 1000, SESSION, "./sweep", |p| p.session = 812);
        }, &["sweep[900] left by session 3 of bob"]),
        ("a loop of the login shell itself, after the logout", |m| {
            m.run_with(900, 1, 1000, SESSION, "-bash", |p| p.session = 812);
            m.run(901, 900, 1000, SESSION, "sleep 2100");
        }, &["bash[900] left by session 3 of bob"]),
        ("setsid, while bob is still at his prompt", |m| {
            m.bob();
            m.run(900, 1, 1000, SESSION, "/home/bob/evaluate --all");
        }, &["evaluate[900] left by session 3 of bob"]),
        ("a command of ssh whose connection is gone", |m| {
            m.run(900, 1, 1000, SESSION, "bash -c ./train");
        }, &["bash[900] left by session 3 of bob"]),
        ("setsid of root on a machine with log-ins to desktops", |m| {
            m.run(700, 1, 0, "system.slice/xrdp-sesman.service", "xrdp-sesman");
            m.run(900, 1, 0, "user.slice/user-0.slice/session-9.scope", "./migrate");
        }, &["migrate[900] left by session 9 of root"]),
        ("a pane of tmux ended and left it", |m| {
            m.run(900, 300, 1000, &format!("{MANAGER}/tmux-spawn-0b.scope"), "./wait_for_lock");
        }, &["wait_for_lock[900] left by a terminal of bob"]),
        ("nohup below a shell of an editor", |m| {
            m.run(820, 1, 1000, SESSION, "/home/bob/.vscode-server/bin/1/node /home/bob/.vscode-server/bin/1/out/server-main.js");
            m.run_with(830, 820, 1000, SESSION, "/bin/bash --init-file /x.sh", |p| (p.tty, p.foreground) = (PTS + 4, 830));
            m.run_with(900, 830, 1000, SESSION, "python3 crawl.py", |p| {
                (p.session, p.tty, p.foreground, p.nohup) = (830, PTS + 4, 830, true);
            });
        }, &["python3[900] under nohup of bob"]),
        ("nohup on a machine without groups", |m| {
            m.run_with(900, 1, 1000, "", "python3 crawl.py", |p| p.nohup = true);
        }, &["python3[900] under nohup of bob"]),
        ("two jobs of one login", |m| {
            m.run_with(900, 1, 1000, SESSION, "./a", |p| p.nohup = true);
            m.run_with(910, 1, 1000, SESSION, "./b", |p| p.nohup = true);
        }, &["a[900] under nohup of bob", "b[910] under nohup of bob"]),
    ]);
}

#[test]
fn what_was_started_for_somebody_elsewhere_is_a_job() {
    check(&[
        ("systemd-run --user", |m| {
            m.run(900, 300, 1000, &format!("{MANAGER}/app.slice/run-r5f.service"), "python3 x.py");
        }, &["python3[900] in run-r5f.service of bob"]),
        ("systemd-run --user under a name, or a unit of bob's own", |m| {
            m.run(900, 300, 1000, &format!("{MANAGER}/app.slice/train.service"), "python3 x.py");
        }, &["python3[900] in train.service of bob"]),
        ("systemd-run of root", |m| {
            m.run(900, 1, 0, "system.slice/run-u12.service", "./etl");
        }, &["etl[900] in run-u12.service of root"]),
        ("systemd-run of root under a name", |m| {
            m.tree.file("/run/systemd/transient/etl.service", "");
            m.run(900, 1, 0, "system.slice/etl.service", "./etl");
        }, &["etl[900] in etl.service of root"]),
        ("user-data left it with nohup", |m| {
            m.run_with(900, 1, 0, USER_DATA, "./simulate", |p| p.nohup = true);
        }, &["simulate[900] in cloud-final.service of root"]),
        ("user-data is it", |m| {
            m.run(890, 1, 0, USER_DATA, "cloud-init modules --mode=final");
            m.run(900, 890, 0, USER_DATA, "/bin/sh /var/lib/cloud/instance/scripts/part-001");
            m.run(901, 900, 0, USER_DATA, "./simulate");
        }, &["part-001[900] in cloud-final.service of root"]),
        ("Run Command left it", |m| {
            m.run(120, 1, 0, SSM, "/usr/bin/amazon-ssm-agent");
            m.run(900, 1, 0, SSM, "./simulate");
        }, &["simulate[900] in amazon-ssm-agent.service of root"]),
        ("a job of cron that sleeps", |m| {
            m.run(410, 1, 0, CRON, "/usr/sbin/cron -f");
            m.run(411, 410, 0, CRON, "/usr/sbin/CRON -f");
            m.run(900, 411, 1000, CRON, "/bin/sh -c /home/bob/nightly");
            m.run(901, 900, 1000, CRON, "/home/bob/nightly");
        }, &["sh[900] in cron.service of bob"]),
        ("a job of crond in a session of its own", |m| {
            m.run(410, 1, 0, "system.slice/crond.service", "/usr/sbin/crond -n");
            m.run(411, 410, 0, SESSION, "/usr/sbin/CROND -n");
            m.run(900, 411, 1000, SESSION, "./nightly");
        }, &["nightly[900] left by session 3 of bob"]),
        ("a script of one's own in cron.daily", |m| {
            m.run(410, 1, 0, CRON, "/usr/sbin/cron -f");
            m.run(411, 410, 0, CRON, "/usr/sbin/CRON -f");
            m.run(412, 411, 0, CRON, "run-parts --report /etc/cron.daily");
            m.run(900, 412, 0, CRON, "/bin/sh /etc/cron.daily/backup");
        }, &["backup[900] in cron.service of root"]),
    ]);
}

#[test]
fn what_everybody_has_is_no_job() {
    check(&[
        ("nobody", |_| {}, &[]),
        ("bob at his prompt, with a program in the background", |m| {
            m.bob();
            m.run_with(900, 812, 1000, SESSION, "./train", |p| (p.session, p.tty, p.foreground) = (812, PTS + 3, 812));
        }, &[]),
        ("a command of ssh that is connected", |m| {
            m.run(810, 100, 0, SESSION, "sshd: bob [priv]");
            m.run(811, 810, 1000, SESSION, "sshd: bob@notty");
            m.run(900, 811, 1000, SESSION, "rsync --server -e.LsfxC . /data");
        }, &[]),
        ("agents of a login", |m| {
            m.run(900, 1, 1000, SESSION, "ssh-agent -s");
            m.run(901, 300, 1000, &format!("{MANAGER}/app.slice/gpg-agent.service"), "/usr/bin/gpg-agent --supervised");
            m.run(902, 1, 1000, SESSION, "dbus-daemon --fork --session");
            m.run_with(903, 1, 1000, SESSION, "tmux new -d", |p| p.comm = "tmux: server".to_owned());
            m.run(904, 1, 1000, SESSION, "SCREEN -dmS x");
            m.run(905, 1, 1000, SESSION, "ssh -fN -L 8888:localhost:8888 other");
            m.run(906, 1, 1000, SESSION, "rclone mount s3:data /mnt");
            m.run(907, 1, 1000, SESSION, "mosh-server new -s");
        }, &[]),
    ]);
}

#[test]
fn what_desktops_and_editors_run_is_no_job() {
    check(&[
        ("services of a user that packages brought", |m| {
            m.tree.file("/usr/lib/systemd/user/pipewire.service", "");
            m.run(900, 300, 1000, &format!("{MANAGER}/session.slice/pipewire.service"), "/opt/other-name");
            m.run(901, 300, 1000, &format!("{MANAGER}/app.slice/app-firefox-9.scope"), "firefox");
            m.run(902, 300, 1000, &format!("{MANAGER}/user.slice/libpod-conmon-9.scope"), "conmon -c 9");
        }, &[]),
        ("what was started from a desktop's menu", |m| {
            m.run(880, 1, 1000, SESSION, "xfce4-session");
            m.run(900, 1, 1000, SESSION, "/usr/lib/chromium/chromium --x");
        }, &[]),
        ("what was started from a menu of root's desktop", |m| {
            let group = "user.slice/user-0.slice/session-9.scope";
            m.run(880, 1, 0, group, "Xtigervnc :1");
            m.run(900, 1, 0, group, "/usr/lib/chromium/chromium --x");
        }, &[]),
        ("the log-in screen", |m| {
            let group = "user.slice/user-118.slice/session-c1.scope";
            m.run(900, 1, 118, group, "/usr/libexec/some-greeter");
        }, &[]),
        ("an editor's server that nohup started, and what it runs", |m| {
            m.run_with(900, 1, 1000, SESSION, "sh /home/bob/.vscode-server/bin/1/bin/code-server", |p| p.nohup = true);
            m.run(901, 900, 1000, SESSION, "/home/bob/.vscode-server/bin/1/node /home/bob/.vscode-server/bin/1/out/server-main.js");
            m.run(902, 901, 1000, SESSION, "python3 /home/bob/tool.py");
        }, &[]),
        ("a kernel of a notebook that nohup started", |m| {
            m.run_with(900, 1, 1000, SESSION, "/usr/bin/python3 /usr/local/bin/jupyter-lab", |p| p.nohup = true);
            m.run_with(901, 900, 1000, SESSION, "python3 -m ipykernel_launcher -f /x/kernel-0f.json", |p| p.nohup = true);
        }, &[]),
    ]);
}

#[test]
fn what_the_machine_runs_by_itself_is_no_job() {
    check(&[
        ("daemons and units of the machine", |m| {
            m.run(120, 1, 0, SSM, "/usr/bin/amazon-ssm-agent");
            m.run(121, 120, 0, SSM, "/usr/bin/ssm-agent-worker");
            m.run(122, 1, 0, "system.slice/nginx.service", "nginx: master process");
            m.run(123, 1, 0, "system.slice/train.service", "./train");
            m.run(124, 1, 0, CRON, "/usr/sbin/cron -f");
            m.run(125, 1, 0, "system.slice/system-getty.slice/getty@tty1.service", "/sbin/agetty -o -p");
            m.run(126, 1, 0, "system.slice/docker-0f.scope", "redis-server *:6379");
            m.run(127, 1, 0, "system.slice/agentd.service", "agentd");
        }, &[]),
        ("a packaged job of cron", |m| {
            m.tree.file("/var/lib/dpkg/info/x.list", "/etc/cron.d/certbot\n");
            m.tree.file("/etc/cron.d/certbot", "0 */12 * * * root perl -e sleep && certbot renew\n");
            m.run(410, 1, 0, CRON, "/usr/sbin/cron -f");
            m.run(411, 410, 0, CRON, "/usr/sbin/CRON -f");
            m.run_with(900, 411, 0, CRON, "sh", |p| {
                p.arguments = ["sh", "-c", "perl -e sleep && certbot renew"].map(str::to_owned).to_vec();
            });
            m.run(901, 900, 0, CRON, "perl -e sleep");
        }, &[]),
        ("a process in a container whose group says nothing", |m| {
            m.run_with(900, 1, 1000, SESSION, "./train", |p| p.contained = true);
        }, &[]),
        ("a zombie", |m| {
            m.run_with(900, 1, 1000, SESSION, "./train", |p| p.state = 'Z');
        }, &[]),
        ("a display", |m| {
            m.run_with(900, 1, 1000, SESSION, "watch -n1 nvidia-smi", |p| p.nohup = true);
            m.run_with(901, 1, 1000, SESSION, "tail -f /x.log", |p| p.nohup = true);
        }, &[]),
        ("what has just been started", |m| {
            m.run_with(900, 1, 1000, SESSION, "./train", |p| (p.nohup, p.start) = (true, 1_029_500));
        }, &[]),
        ("a job that nohup started in the foreground of a terminal, which tells of it", |m| {
            m.bob();
            m.run_with(900, 812, 1000, SESSION, "./train", |p| {
                (p.session, p.tty, p.foreground, p.nohup) = (812, PTS + 3, 900, true);
            });
        }, &[]),
    ]);
}

#[test]
fn a_server_is_no_job_whatever_started_it() {
    check(&[
        ("by its name", |m| {
            for (pid, line) in [
                (900, "python3 -m http.server 8000"),
                (901, "/usr/bin/python3 /home/bob/venv/bin/streamlit run app.py"),
                (902, "/usr/bin/python3 /home/bob/venv/bin/mlflow server"),
                (903, "/usr/bin/python3 /home/bob/venv/bin/airflow standalone"),
                (904, "/usr/bin/python3 /home/bob/venv/bin/vllm serve x"),
                (905, "/usr/bin/python3 /home/bob/venv/bin/dask scheduler"),
            ] {
                m.run_with(pid, 1, 1000, SESSION, line, |p| p.nohup = true);
            }
        }, &[]),
        ("a script that only waits for one", |m| {
            m.run_with(900, 1, 1000, SESSION, "bash ./serve.sh", |p| p.nohup = true);
            m.run_with(901, 900, 1000, SESSION, "python3 -m http.server 8000", |p| p.nohup = true);
        }, &[]),
        ("a script that waits for one and for something else", |m| {
            m.run_with(900, 1, 1000, SESSION, "bash ./both.sh", |p| p.nohup = true);
            m.run_with(901, 900, 1000, SESSION, "python3 -m http.server 8000", |p| p.nohup = true);
            m.run_with(902, 900, 1000, SESSION, "./crawl", |p| p.nohup = true);
        }, &["both.sh[900] under nohup of bob"]),
    ]);
}

#[test]
fn a_server_is_told_by_its_port_where_nothing_else_can_have_it() {
    check(&[
        ("by what it listens at, alone in its group but for an agent", |m| {
            m.run_with(900, 1, 1000, SESSION, "python3 app.py", |p| p.nohup = true);
            m.run_with(901, 900, 1000, SESSION, "python3 app.py", |p| p.nohup = true);
            m.run(902, 1, 1000, SESSION, "ssh-agent -s");
            m.listen(SESSION, &[900, 901, 902], &["0.0.0.0:8501"]);
        }, &[]),
        ("a game by its port of UDP", |m| {
            let group = format!("{MANAGER}/app.slice/game.service");
            m.run(900, 300, 1000, &group, "./factorio");
            m.listen(&group, &[900], &["udp 0.0.0.0:34197"]);
        }, &[]),
        ("a game that nohup started, by a port that the kernel does not choose", |m| {
            m.run_with(900, 1, 1000, SESSION, "./valheim", |p| p.nohup = true);
            m.listen(SESSION, &[900], &["udp 0.0.0.0:2456"]);
        }, &[]),
        ("a job that sends its log in datagrams", |m| {
            m.run_with(900, 1, 1000, SESSION, "./crawl", |p| p.nohup = true);
            m.listen(SESSION, &[900], &["udp 0.0.0.0:40100"]);
        }, &["crawl[900] under nohup of bob"]),
        ("a tracker of experiments listens within a job", |m| {
            m.run_with(900, 1, 1000, SESSION, "python3 sweep.py", |p| p.nohup = true);
            m.run_with(901, 900, 1000, SESSION, "wandb-core --port", |p| p.nohup = true);
            m.listen(SESSION, &[900, 901], &["127.0.0.1:41231"]);
        }, &["python3[900] under nohup of bob"]),
        ("one of two listens, and nothing tells which", |m| {
            m.run_with(900, 1, 1000, SESSION, "python3 app.py", |p| p.nohup = true);
            m.run_with(910, 1, 1000, SESSION, "python3 crawl.py", |p| p.nohup = true);
            m.listen(SESSION, &[900, 910], &["0.0.0.0:8501"]);
        }, &["python3[900] under nohup of bob", "python3[910] under nohup of bob"]),
        ("something else in the group listens", |m| {
            m.bob();
            m.run_with(900, 1, 1000, SESSION, "python3 crawl.py", |p| p.nohup = true);
            m.listen(SESSION, &[810, 811, 812, 900], &["127.0.0.1:6010"]);
        }, &["python3[900] under nohup of bob"]),
        ("another group listens", |m| {
            m.run_with(900, 1, 1000, SESSION, "python3 crawl.py", |p| p.nohup = true);
            m.tree.cgroup(SESSION, 0, &[900]);
            m.listen("system.slice/nginx.service", &[122], &["0.0.0.0:80"]);
        }, &["python3[900] under nohup of bob"]),
    ]);
}

/// What is shown only.
fn shown(signals: &[agent_core::reading::Signal]) -> Vec<&str> {
    let shown = signals.iter().filter(|signal| matches!(signal.value, Value::Shown { .. }));
    shown.map(|signal| signal.subject.as_str()).collect()
}

#[test]
fn a_job_keeps_its_name_when_it_becomes_another_program_and_a_new_process_is_another_job() {
    let mut machine = Machine::new();
    let run = |machine: &Machine, line: &str, start| {
        machine.run_with(900, 1, 1000, SESSION, line, |p| (p.nohup, p.start) = (true, start));
    };
    run(&machine, "bash ./run.sh", 900);
    let name = ("run.sh[900] under nohup".to_owned(), "bob".to_owned());
    assert_eq!(machine.jobs(), std::slice::from_ref(&name));
    run(&machine, "./trainer", 900);
    assert_eq!(machine.jobs(), [name]);
    run(&machine, "./other", 5000);
    assert_eq!(machine.jobs(), [("other[900] under nohup".to_owned(), "bob".to_owned())]);
    run(&machine, "python3 -m http.server", 5000);
    assert_eq!(machine.jobs(), [], "it has become a server");
}

#[test]
fn a_job_ends_at_once_and_its_end_counts_the_first_times() {
    let mut machine = Machine::new();
    for (pid, silent) in [(900, false), (901, false), (902, false), (903, true), (904, true)] {
        machine.run_with(pid, 1, 1000, SESSION, "./trial", |p| p.nohup = true);
        assert_eq!(machine.jobs().len(), 1, "{pid}");
        machine.jobs();
        machine.now = machine.now.after(Duration::from_mins(10));
        machine.tree.remove(&format!("/proc/{pid}"));
        // No look at all processes is due: its end is seen by itself.
        machine.now = machine.now.after(Duration::from_secs(1));
        let Reading::Signals(signals) = machine.sessions.read(machine.now) else { panic!() };
        let name = format!("trial[{pid}] under nohup");
        let expected: &[&str] = if silent { &[&name] } else { &[] };
        assert_eq!(shown(&signals), expected, "{pid}");
        assert!(shown(&machine.look(Duration::from_secs(10))).is_empty(), "for a moment only");
    }
}

#[test]
fn files_are_read_once_for_each_process() {
    let mut machine = Machine::new();
    machine.run_with(900, 1, 1000, SESSION, "./trial", |p| p.nohup = true);
    assert_eq!(machine.jobs().len(), 1);
    for file in ["status", "cgroup", "cmdline"] {
        machine.tree.remove(&format!("/proc/900/{file}"));
    }
    assert_eq!(machine.jobs().len(), 1);
}

#[test]
fn a_swarm_is_told_by_its_oldest() {
    let mut machine = Machine::new();
    for pid in 900..1100 {
        machine.run_with(pid, 1, 1000, SESSION, "./trial", |p| p.nohup = true);
    }
    let jobs = machine.jobs();
    assert_eq!(jobs.len(), super::MOST);
    assert!(jobs.iter().any(|(subject, _)| subject.starts_with("trial[900]")));
}

#[test]
fn a_process_that_cannot_be_read_makes_it_blind_rather_than_nobody() {
    let mut machine = Machine::new();
    machine.run_with(900, 1, 1000, SESSION, "./trial", |p| p.nohup = true);
    machine.tree.file("/proc/900/status", "Name:\tx\n");
    machine.sessions.refresh();
    let Reading::Blind { why } = machine.sessions.read(machine.now) else { panic!() };
    assert!(why.contains("/proc/900/status"), "{why}");
}
