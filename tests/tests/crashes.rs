//! Killed at any moment, with broken state or a full disk: the hook runs at most once, one stop, nothing lost.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use agent_tests::agent::{Agent, QUICK, quick_with};
use agent_tests::ec2::CallFault;
use agent_tests::fault::{Fault, Times};
use agent_tests::hook::{self, Hooks};
use agent_tests::instance::{Instance, State};
use agent_tests::table;
use nix::sys::signal::Signal;

type Done = Result<(), Box<dyn Error>>;

/// The hook `save`, which takes so many seconds, in a folder; its script, and its runs.
fn hook(folder: &Path, seconds: &str) -> Result<(PathBuf, Hooks), Box<dyn Error>> {
    let hooks = Hooks::new(folder);
    Ok((hooks.plant("save", seconds)?, hooks))
}

fn sound_folder() -> Option<PathBuf> {
    hook::sound_folder(env!("CARGO_TARGET_TMPDIR"))
}

#[test]
fn the_hook_runs_before_the_call_and_is_told_what_comes() -> Done {
    let Some(parent) = sound_folder() else {
        eprintln!("SKIPPED: no folder here would be accepted for a hook");
        return Ok(());
    };
    let folder = tempfile::tempdir_in(parent)?;
    let (script, runs) = hook(folder.path(), "0.2")?;
    let config = quick_with(&format!("pre_stop = \"{}\"", script.display()));
    let mut agent = Agent::on_idle_machine(Instance::default(), &config)?;
    agent.start_and_greet()?;
    agent.wait_for_stops(1)?;
    let runs = runs.runs();
    assert!(runs.len() == 1 && runs[0].starts_with("save idle hibernate "), "{runs:?}");
    Ok(())
}

#[test]
fn a_hook_that_fails_or_is_not_trusted_forbids_the_action() -> Done {
    let Some(parent) = sound_folder() else {
        eprintln!("SKIPPED: no folder here would be accepted for a hook");
        return Ok(());
    };
    let folder = tempfile::tempdir_in(parent)?;
    let failing = folder.path().join("failing");
    fs::write(&failing, "#!/bin/sh\necho the checkpoint failed\nexit 3\n")?;
    fs::set_permissions(&failing, fs::Permissions::from_mode(0o755))?;
    let open = folder.path().join("open");
    fs::write(&open, "#!/bin/sh\nexit 0\n")?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777))?;
    let missing = folder.path().join("missing");
    let cases = [(failing, "checkpoint failed"), (open, "open"), (missing, "missing")];
    table::each(
        cases.map(|(script, word)| (word.to_owned(), (script, word))),
        |(script, word)| {
            let config = quick_with(&format!("pre_stop = \"{}\"", script.display()));
            let mut agent = Agent::on_idle_machine(Instance::default(), &config)?;
            agent.start()?;
            agent.wait_until("the hook's failure in the log", || {
                agent.log().contains(word).then_some(())
            })?;
            agent.stays("no stop", Duration::from_secs(8), |agent| agent.stops() == 0)?;
            Ok::<(), Box<dyn Error>>(())
        },
    )?;
    Ok(())
}

/// Moments to be killed at, milliseconds after the start: from the first look over warnings, recheck, hook and call
/// to the verification. The steps are odd, so that they do not fall in with the agent's own rhythm.
fn moments() -> impl Iterator<Item = u64> {
    (0..24).map(|step| 300 + step * 387)
}

#[test]
fn killed_at_any_moment_the_hook_runs_once_and_one_stop_is_asked_for() -> Done {
    let Some(parent) = sound_folder() else {
        eprintln!("SKIPPED: no folder here would be accepted for a hook");
        return Ok(());
    };
    table::each(moments().map(|moment| (format!("killed after {moment} ms"), moment)), |moment| {
        let folder = tempfile::tempdir_in(&parent)?;
        let (script, runs) = hook(folder.path(), "0.5")?;
        let config = quick_with(&format!("pre_stop = \"{}\"", script.display()));
        let mut agent = Agent::on_idle_machine(Instance::default(), &config)?;
        agent.start()?;
        thread::sleep(Duration::from_millis(moment));
        agent.kill();
        agent.start_and_greet()?;
        agent.wait_until("the end", || (agent.instance_state() == State::Stopped).then_some(()))?;
        agent.stays("one stop, one hook", Duration::from_secs(3), |agent| {
            agent.world.ec2.log().carried_out("StopInstances").len() == 1 && runs.runs().len() <= 1
        })?;
        let status = agent.status()?;
        let result = status["last_action"]["result"].as_str().unwrap_or("none");
        assert!(
            status["stage"] == "verifying"
                || ["accepted", "stopped", "hibernated"].contains(&result),
            "the action was forgotten: {status:#}"
        );
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

#[test]
fn killed_while_the_hook_runs_it_is_not_run_again() -> Done {
    let Some(parent) = sound_folder() else {
        eprintln!("SKIPPED: no folder here would be accepted for a hook");
        return Ok(());
    };
    let folder = tempfile::tempdir_in(parent)?;
    let (script, runs) = hook(folder.path(), "2")?;
    let config = quick_with(&format!("pre_stop = \"{}\"", script.display()));
    let mut agent = Agent::on_idle_machine(Instance::default(), &config)?;
    agent.start()?;
    agent.wait_until("the hook", || (runs.runs().len() == 1).then_some(()))?;
    agent.kill();
    agent.start_and_greet()?;
    agent.wait_for_stops(1)?;
    assert_eq!(runs.runs().len(), 1);
    let told = agent.client().ask("GET", "/v1/events", "")?.body_text();
    assert!(told.contains("hook-not-repeated"), "{told}");
    Ok(())
}

#[test]
fn killed_while_ec2_is_asked_it_looks_before_it_asks_again() -> Done {
    // Whether EC2 had carried the call out when the agent was killed, and how many calls that makes in all.
    let cases = [
        ("carried out", CallFault::Applied(Fault::Hang), 1),
        ("not carried out", CallFault::Instead(Fault::Hang), 2),
    ];
    table::each(
        cases.map(|(name, fault, want)| (name.to_owned(), (fault, want))),
        |(fault, want)| {
            let mut agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
            agent.world.ec2.fault("StopInstances", fault, Times::Next(1));
            agent.start()?;
            agent.wait_for_stops(1)?;
            agent.kill();
            let restarted = Instant::now();
            agent.start_and_greet()?;
            agent.wait_until("the end", || {
                (agent.instance_state() == State::Stopped).then_some(())
            })?;
            agent.wait_for_stops(want)?;
            agent
                .stays("no further call", Duration::from_secs(8), |agent| agent.stops() == want)?;
            let log = agent.world.ec2.log();
            let looked = log.of("DescribeInstances").into_iter().find(|look| look.at > restarted);
            let looked = looked
                .ok_or_else(|| agent.late("a look after the restart", restarted.elapsed()))?;
            let repeated = log.stops().get(1).map(|stop| stop.at);
            assert!(repeated.is_none_or(|at| at > looked.at), "{}", log.lines());
            Ok::<(), Box<dyn Error>>(())
        },
    )?;
    Ok(())
}

#[test]
fn killed_again_and_again_it_still_acts_once() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    for _ in 0..6 {
        agent.start_and_greet()?;
        thread::sleep(Duration::from_millis(700));
        agent.kill();
    }
    agent.start_and_greet()?;
    agent.wait_until("the end", || (agent.instance_state() == State::Stopped).then_some(()))?;
    agent.stays("one stop", Duration::from_secs(3), |agent| agent.stops() == 1)?;
    Ok(())
}

#[test]
fn the_idle_clock_survives_a_restart_of_the_agent_but_not_a_boot() -> Done {
    let long = QUICK.replace("\"6s\"", "\"40s\"").replace("\"2s\"\nact", "\"4s\"\nact");
    let mut agent = Agent::on_idle_machine(Instance::default(), &long)?;
    agent.start_and_greet()?;
    let idle = |status: &serde_json::Value| status["idle"]["idle_seconds"].as_f64().unwrap_or(0.0);
    let before = agent.wait_for("eight idle seconds", |status| idle(status) >= 8.0)?;
    agent.kill();
    agent.start_and_greet()?;
    let after = agent.wait_for("the clock after the restart", |status| idle(status) > 0.0)?;
    assert!(
        idle(&after) >= 6.0,
        "{} s before, {} s after the restart",
        idle(&before),
        idle(&after)
    );
    agent.kill();
    agent.machine().new_boot()?;
    agent.start_and_greet()?;
    let fresh = agent.wait_for("the clock after the boot", |status| idle(status) > 0.0)?;
    assert!(idle(&fresh) <= 4.0, "{} s right after a boot", idle(&fresh));
    Ok(())
}

#[test]
fn a_hibernation_that_became_a_cold_boot_is_told() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    agent.start_and_greet()?;
    agent.wait_until("the end", || (agent.instance_state() == State::Stopped).then_some(()))?;
    agent.wait_for("the accepted call", |status| status["last_action"]["result"] == "accepted")?;
    agent.kill();
    agent.machine().new_boot()?;
    agent.world.instance.with(|instance| instance.state = State::Running);
    agent.start_and_greet()?;
    let status = agent
        .wait_for("what became of it", |status| status["last_action"]["result"] == "cold-boot")?;
    assert!(
        status["last_action"]["detail"].as_str().is_some_and(|text| text.contains("memory")),
        "{status:#}"
    );
    assert!(fs::read_dir(agent.state_dir().join("reports"))?.count() >= 1, "a report is kept");
    Ok(())
}

#[test]
fn a_machine_that_never_went_down_is_told_and_not_asked_again_at_once() -> Done {
    let config = QUICK.replace("\"30s\"", "\"4s\"");
    let stuck = Instance { transition: Duration::from_hours(1), ..Instance::default() };
    let mut agent = Agent::on_idle_machine(stuck, &config)?;
    agent.start_and_greet()?;
    agent.wait_for_stops(1)?;
    agent.world.instance.with(|instance| instance.state = State::Running);
    agent.wait_for("the result", |status| status["last_action"]["result"] == "never-stopped")?;
    Ok(())
}

#[test]
fn time_in_which_nobody_looked_does_not_count() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    agent.start_and_greet()?;
    agent.wait_for_stage("warned")?;
    agent.signal(Signal::SIGSTOP)?;
    thread::sleep(Duration::from_secs(8));
    agent.signal(Signal::SIGCONT)?;
    let back = Instant::now();
    agent.wait_for_stops(1)?;
    let waited = back.elapsed();
    assert!(waited >= Duration::from_millis(5_500), "it acted {waited:?} after it came back");
    Ok(())
}

/// Runs an agent for a while, breaks its state while it is down, and returns it, down.
fn with_broken_state(
    break_it: impl Fn(&Path) -> std::io::Result<()>,
) -> Result<Agent, Box<dyn Error>> {
    let mut agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    agent.start_and_greet()?;
    agent.wait_for_stage("quiet")?;
    agent.kill();
    break_it(&agent.state_dir().join("state.json"))?;
    Ok(agent)
}

#[test]
fn broken_state_costs_a_whole_window_and_is_told() -> Done {
    type Break = fn(&Path) -> std::io::Result<()>;
    let cases: [(&str, Break); 5] = [
        ("truncated", |path| {
            let text = fs::read(path)?;
            fs::write(path, &text[..text.len() / 2])
        }),
        ("one bit flipped", |path| {
            let mut text = fs::read(path)?;
            let middle = text.len() / 2;
            text[middle] ^= 0x04;
            fs::write(path, text)
        }),
        ("empty", |path| fs::write(path, "")),
        ("not its own", |path| fs::write(path, "{\"version\": 999}")),
        ("a folder", |path| {
            fs::remove_file(path)?;
            fs::create_dir(path)
        }),
    ];
    table::each(cases.map(|(name, case)| (name.to_owned(), case)), |break_it| {
        let mut agent = with_broken_state(break_it)?;
        let start = Instant::now();
        agent.start_and_greet()?;
        agent.wait_until("a word about it", || {
            let log = agent.log().to_lowercase();
            (log.contains("state.json") || log.contains("state file")).then_some(())
        })?;
        agent.stays("no stop within the window", Duration::from_millis(5_500), |agent| {
            agent.stops() == 0 || start.elapsed() > Duration::from_secs(6)
        })?;
        assert!(agent.is_running());
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

/// A small file system of its own for the state, mounted while this value lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        let options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(at).output();
        mounted.is_ok_and(|done| done.status.success()).then(|| Self(at.to_owned()))
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let _full = fs::write(self.0.join("ballast"), vec![0_u8; 1024 * 1024]);
    }

    fn free(&self) -> std::io::Result<()> {
        fs::remove_file(self.0.join("ballast"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_means_no_action_until_there_is_room() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    let Some(disk) = SmallDisk::mount(&agent.state_dir()) else {
        eprintln!("SKIPPED: a small file system cannot be mounted here (it needs root)");
        return Ok(());
    };
    agent.start_and_greet()?;
    disk.fill();
    agent.stays("no stop", Duration::from_secs(11), |agent| agent.stops() == 0)?;
    let status = agent.status()?.to_string().to_lowercase();
    let told = status.contains("state") && (status.contains("space") || status.contains("written"));
    assert!(told, "the full disk is not told: {status}");
    disk.free()?;
    agent.wait_for_stops(1)?;
    agent.kill();
    Ok(())
}

#[test]
fn ended_in_order_it_leaves_no_socket_behind_and_comes_back() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    agent.start_and_greet()?;
    let ended = agent.terminate()?;
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}\n{}", agent.log());
    assert!(agent.status().is_err());
    agent.start_and_greet()?;
    agent.wait_for_stops(1)?;
    Ok(())
}
