//! Machines that lack what most have, and a `/proc` that changes while it is read.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use agent_tests::agent::{Agent, QUICK, quick_with};
use agent_tests::instance::Instance;
use agent_tests::procfs::{Machine, Process};
use agent_tests::table;

type Done = Result<(), Box<dyn Error>>;

/// An action that were to come would have come after so long.
const WHOLE_WINDOW: Duration = Duration::from_secs(9);

/// The daemon of ssh, which every simulated machine has: what is below it was not left by anybody.
const SSHD: u32 = 420;

fn agent() -> Result<Agent, Box<dyn Error>> {
    Ok(Agent::on_idle_machine(Instance::default(), QUICK)?)
}

#[test]
fn what_a_machine_does_not_have_does_not_keep_it_up() -> Done {
    type Lack = fn(&Machine) -> std::io::Result<()>;
    let lacks: [(&str, Lack); 5] = [
        ("no dpkg", |machine| {
            machine.remove("var/lib/dpkg")?;
            machine.remove("var/lib/apt")
        }),
        ("no cloud-init", |machine| machine.remove("run/cloud-init")),
        ("no control groups", Machine::lose_cgroups),
        ("no user names", |machine| machine.remove("etc/passwd")),
        ("no open terminal", |machine| machine.remove("dev/pts/ptmx")),
    ];
    table::each(lacks.map(|(name, lack)| (name.to_owned(), lack)), |lack| {
        let mut agent = agent()?;
        lack(agent.machine())?;
        agent.start_and_greet()?;
        agent.wait_for_stops(1)?;
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

#[test]
fn without_control_groups_a_busy_process_keeps_the_machine_up() -> Done {
    let mut agent = agent()?;
    agent.machine().lose_cgroups()?;
    let mut job = Process::new(0, "train.py", "/").of_user(1000);
    let pid = agent.machine().spawn(&job)?;
    let (machine, ended) = (agent.machine().clone(), AtomicBool::new(false));
    thread::scope(|scope| -> Done {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(100));
                job.ticks += 10;
                if machine.update(pid, &job).is_err() {
                    return;
                }
            }
        });
        let seen = agent.start_and_greet().and_then(|_| {
            agent.wait_for_stage("active")?;
            agent.stays("no stop", WHOLE_WINDOW, |agent| agent.stops() == 0)
        });
        ended.store(true, Ordering::Relaxed);
        Ok(seen?)
    })?;
    agent.wait_for_stops(1)?;
    Ok(())
}

#[test]
fn processes_that_come_and_go_while_they_are_read_do_no_harm() -> Done {
    let mut agent = agent()?;
    let (machine, ended) = (agent.machine().clone(), AtomicBool::new(false));
    thread::scope(|scope| -> Done {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let short = Process::new(0, "short-lived", "/system.slice/cron.service");
                let short = short.just_started();
                let Ok(pid) = machine.spawn(&short) else { return };
                thread::sleep(Duration::from_millis(3));
                if machine.end(pid).is_err() {
                    return;
                }
            }
        });
        let seen = agent.start_and_greet().and_then(|_| agent.wait_for_stops(1));
        ended.store(true, Ordering::Relaxed);
        Ok(seen?)
    })?;
    assert!(agent.is_running());
    Ok(())
}

#[test]
fn odd_names_are_shown_and_do_no_harm() -> Done {
    // Nobody started them but the first process: they are jobs that were left running.
    let at_once = quick_with("connected_after = \"6s\"\njob_after = \"6s\"");
    let mut agent = Agent::on_idle_machine(Instance::default(), &at_once)?;
    let cgroup = "user.slice/user-1000.slice/session-77.scope";
    agent.machine().cgroup("user.slice/user-1000.slice")?;
    agent.machine().cgroup(cgroup)?;
    for name in [") R 1 (", "a b\\n", "\x1b[2J", "été", "((((", ""] {
        let odd = Process::new(0, name, &format!("/{cgroup}")).of_user(1000);
        agent.machine().spawn(&odd)?;
    }
    agent.start_and_greet()?;
    agent.wait_for_stops(1)?;
    assert!(!agent.log().contains('\x1b'), "a control character reached the log");
    Ok(())
}

#[test]
fn a_thousand_sleeping_processes_are_no_work_and_cost_little() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), &quick_with(""))?;
    let cgroup = "user.slice/user-1001.slice/session-8.scope";
    agent.machine().cgroup("user.slice/user-1001.slice")?;
    agent.machine().cgroup(cgroup)?;
    for _ in 0..1_000 {
        let sleep = Process::new(0, "sleep", &format!("/{cgroup}")).of_user(1001);
        agent.machine().spawn(&sleep.below(SSHD))?;
    }
    agent.start_and_greet()?;
    agent.wait_for_stops(1)?;
    let memory = agent.resident_kib().unwrap_or(u64::MAX);
    assert!(memory < 128 * 1024, "{memory} KiB are resident");
    Ok(())
}

#[test]
fn a_long_story_of_logins_leaves_nothing_behind() -> Done {
    let mut agent = agent()?;
    agent.start_and_greet()?;
    for _ in 0..40 {
        let session = agent.machine().log_in(1000)?;
        agent.machine().burn(&session.cgroup, Duration::from_millis(30))?;
        thread::sleep(Duration::from_millis(50));
        agent.machine().log_out(&session)?;
    }
    assert_eq!(agent.stops(), 0, "it was stopped while people came and went");
    agent.wait_for_stops(1)?;
    Ok(())
}
