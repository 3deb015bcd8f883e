//! The machine of a case, seen from within: its files, its processes, its agent.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use agent_tests::agent::Agent;
use agent_tests::instance::Instance;

use crate::case::{ACT_AFTER, Case};
use crate::outside;
use crate::process::Process;
use crate::seen::Seen;

/// How often EC2's log is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often new sessions are preferred.
const PREFER: Duration = Duration::from_secs(3);
/// How the paths of complaints of loads begin.
const COMPLAINTS: &str = "/tmp/load-failed-";
/// What `enter.sh` calls the agent's binary.
const START_AGENT: &str = "/opt/cell/start-agentd";
/// Starts the agent as its unit does: in its control group, as root without any capability.
const AGENT: &str = "#!/bin/sh
echo 0 > /sys/fs/cgroup/system.slice/agentd.service/cgroup.procs
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs /opt/cell/agentd \"$@\"
";

/// The machine of a case.
#[derive(Debug)]
pub struct Cell(());

impl Cell {
    /// Writes a file, with its folders.
    pub fn file(&self, path: &str, text: &str) -> io::Result<()> {
        if let Some(folder) = Path::new(path).parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)
    }

    /// A unit that somebody wrote on this machine.
    pub fn local_unit(&self, name: &str, start: &str) -> io::Result<()> {
        self.file(&format!("/etc/systemd/system/{name}"), &unit(start))
    }

    /// A unit of a package, whose list says `/lib` although the file is below `/usr/lib`, as Debian 12 does.
    pub fn packaged_unit(&self, package: &str, name: &str, start: &str) -> io::Result<()> {
        self.file(&format!("/usr/lib/systemd/system/{name}"), &unit(start))?;
        self.owned(package, &format!("/lib/systemd/system/{name}\n{start}\n"))
    }

    /// Adds lines to the list of a package's files.
    pub fn owned(&self, package: &str, lines: &str) -> io::Result<()> {
        let list = format!("/var/lib/dpkg/info/{package}.list");
        let before = fs::read_to_string(&list).unwrap_or_default();
        self.file(&list, &format!("{before}{lines}"))
    }

    /// Runs a line of the shell that belongs to the making of the machine, and waits for it.
    pub fn set_up(&self, line: &str) -> io::Result<()> {
        outside::run("/bin/sh", &["-c", line])
    }

    /// Starts a process of root that has a load.
    pub fn run(&self, group: &str, name: &str, load: &str) -> io::Result<()> {
        Process::new(group, name, load).start()
    }

    /// Starts a process of another user that has a load.
    pub fn run_as(&self, uid: u32, group: &str, name: &str, load: &str) -> io::Result<()> {
        Process::new(group, name, load).uid(uid).start()
    }
}

/// Notes that a load could not do what it should: a case without its load says nothing.
pub(crate) fn complain(why: &str) {
    let _ = fs::write(format!("{COMPLAINTS}{}", std::process::id()), why);
}

fn complaints() -> io::Result<()> {
    for entry in fs::read_dir("/tmp")? {
        let path = entry?.path();
        if path.to_string_lossy().starts_with(COMPLAINTS) {
            return Err(io::Error::other(fs::read_to_string(path)?));
        }
    }
    Ok(())
}

fn unit(start: &str) -> String {
    format!("[Unit]\nDescription=A unit\n\n[Service]\nExecStart={start}\n")
}

/// Runs a case in its cell and writes what was seen as a line of JSON.
pub fn play(case: &Case) -> io::Result<()> {
    outside::plug_in()?;
    (case.begin)(&Cell(()))?;
    let mut agent = prepare(case)?;
    let seen = watch(case, &mut agent)?;
    complaints()?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", seen.to_json())
}

fn prepare(case: &Case) -> io::Result<Agent> {
    fs::write(START_AGENT, AGENT)?;
    fs::set_permissions(START_AGENT, fs::Permissions::from_mode(0o755))?;
    let usual = ACT_AFTER.as_secs();
    let longer = if case.longer {
        String::new()
    } else {
        format!("connected_after = \"{usual}s\"\njob_after = \"{usual}s\"\n")
    };
    // The first lines are keys of [idle]; what a case adds stands in tables of its own.
    let config = format!(
        "mode = \"enforce\"\nprofile = \"research\"\n[idle]\nquiet_after = \"10s\"\n\
         act_after = \"{usual}s\"\nwarn_before = [\"10s\"]\nboot_grace = \"0s\"\n{longer}{}\n",
        case.config
    );
    Agent::on_this_machine(Instance::default(), &config).map_err(io::Error::other)
}

fn watch(case: &Case, agent: &mut Agent) -> io::Result<Seen> {
    agent.start_and_greet().map_err(io::Error::other)?;
    let start = Instant::now();
    let mut seen = Seen::default();
    let mut preferred: Option<Instant> = None;
    while start.elapsed() < case.right.watch() && seen.stopped_at.is_none() {
        thread::sleep(LOOK);
        if preferred.is_none_or(|at| at.elapsed() > PREFER) {
            prefer_sessions();
            preferred = Some(Instant::now());
        }
        if agent.stops() > 0 {
            seen.stopped_at = Some(start.elapsed().as_secs_f64());
        }
    }
    seen.watched = start.elapsed().as_secs_f64();
    seen.status = said(agent, &["status"]);
    seen.why = said(agent, &["why"]);
    seen.log = agent.log();
    Ok(seen)
}

/// Sessions that loads began are scheduled by themselves, and only root may prefer them (sched(7), "The autogroup
/// feature"). A load that does not get its time is no case.
fn prefer_sessions() {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let _gone_or_no_process = fs::write(entry.path().join("autogroup"), "-15");
    }
}

fn said(agent: &Agent, words: &[&str]) -> String {
    match agent.ctl(words) {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            format!("{}{errors}", String::from_utf8_lossy(&output.stdout))
        }
        Err(why) => why.to_string(),
    }
}
