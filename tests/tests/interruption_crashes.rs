//! Killed at any moment of an interruption: each hook runs at most once, the others run, and the report is told.
//!
//! `AGENTD_KILL_RUNS` says how often each moment is tried; 2 unless it is set.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use agent_tests::agent::{Agent, AgentError};
use agent_tests::hook::{self, Hooks};
use agent_tests::instance::Instance;
use agent_tests::table;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

type Done = Result<(), Box<dyn Error>>;

/// The hooks of the plan, in order.
const PLAN: [&str; 3] = ["first", "second", "third"];

/// An interrupted spot instance: its agent, not started yet, its hooks, and when EC2 takes it.
struct Interrupted {
    agent: Agent,
    hooks: Hooks,
    deadline: Timestamp,
    _folder: tempfile::TempDir,
}

impl Interrupted {
    /// With hooks that take so long each.
    fn with_hooks(parent: &Path, seconds: [&str; 3]) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir_in(parent)?;
        let hooks = Hooks::new(folder.path());
        let mut plan = Vec::new();
        for (name, seconds) in PLAN.into_iter().zip(seconds) {
            plan.push(format!("\"{}\"", hooks.plant(name, seconds)?.display()));
        }
        let config = format!(
            "mode = \"enforce\"\n[idle]\nenabled = false\n[interruption]\nhooks = [{}]\n",
            plan.join(", ")
        );
        let agent = Agent::on_idle_machine(Instance::on_spot("persistent"), &config)?;
        let now = Timestamp::from_second(Timestamp::now().as_second())?;
        let deadline = now + SignedDuration::from_mins(2);
        let notice = format!("{{\"action\":\"stop\",\"time\":\"{deadline}\"}}");
        agent.world.instance.with(|instance| instance.spot_action = Some(notice));
        Ok(Self { agent, hooks, deadline, _folder: folder })
    }

    fn spot(&self) -> Option<Value> {
        self.agent.client().get("/v1/spot").ok()
    }

    /// Waits until the last hook has ended, and gives the notice.
    fn wait_for_drain(&self) -> Result<Value, AgentError> {
        self.agent.wait_until("the end of the drain", || {
            let notice = self.spot()?["notices"][0].clone();
            (notice["state"] == "drained").then_some(notice)
        })
    }

    /// Each hook ran at most once, in order, and none was forgotten.
    fn check(&self, notice: &Value) {
        let runs = self.hooks.runs();
        for (index, name) in PLAN.into_iter().enumerate() {
            let count = self.hooks.runs_of(name);
            let state = &notice["hooks"][index]["state"];
            let least = usize::from(state == "done");
            let ended = state == "done" || state == "lost";
            assert!(ended, "{name} is {state}: {notice:#}\n{}", self.agent.log());
            assert!((least..=1).contains(&count), "{name} is {state}, and it ran: {runs:?}");
        }
        let order: Vec<_> =
            runs.iter().map(|run| PLAN.iter().position(|name| run.starts_with(name))).collect();
        assert!(order.is_sorted(), "{runs:?}");
        let deadline = notice["deadline"].as_str().and_then(|text| text.parse().ok());
        assert_eq!(deadline, Some(self.deadline), "the deadline moved: {notice:#}");
        let told = format!("spot-interruption stop {}", self.deadline);
        assert!(runs.iter().all(|run| run.contains(&told)), "{runs:?} instead of {told}");
    }

    /// EC2 stops the instance and somebody starts it: the agent is not running, and the notice is gone.
    fn stop_and_start(&mut self) -> Done {
        self.agent.kill();
        self.agent.machine().new_boot()?;
        self.agent.world.instance.with(|instance| instance.spot_action = None);
        Ok(())
    }

    /// Waits for the report of what happened, in the status and as a file.
    fn check_report(&self) -> Done {
        let past = self.agent.wait_until("the report of the interruption", || {
            let past = self.spot()?["last"][0].clone();
            past.is_object().then_some(past)
        })?;
        assert_eq!(past["end"], "started-again", "{past:#}");
        let file = self.agent.wait_until("the file of the report", || self.report())?;
        for name in PLAN {
            assert!(file.contains(name), "{name} is missing in the report: {file}");
        }
        self.check(&past["notice"]);
        Ok(())
    }

    /// The file in `reports/` that tells of the hooks.
    fn report(&self) -> Option<String> {
        let files = fs::read_dir(self.agent.state_dir().join("reports")).ok()?;
        let mut texts = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
        texts.find(|text| text.contains(PLAN[0]))
    }
}

fn parent() -> Option<PathBuf> {
    hook::sound_folder(env!("CARGO_TARGET_TMPDIR"))
}

/// `count` moments `step` milliseconds apart, each so often as it is asked for, by name.
fn moments(count: u64, step: u64) -> Vec<(String, Duration)> {
    let runs = std::env::var("AGENTD_KILL_RUNS").ok().and_then(|runs| runs.parse().ok());
    let runs: u64 = runs.unwrap_or(2);
    let one = |moment: u64, run: u64| {
        // Another run of the same moment is a little later, so that each tries something new.
        let at = Duration::from_micros(moment * step * 1_000 + run * step * 1_000 / runs);
        (format!("killed after {at:?}, run {run}"), at)
    };
    (0..count).flat_map(|moment| (0..runs).map(move |run| one(moment, run))).collect()
}

#[test]
fn killed_at_any_moment_each_hook_runs_at_most_once_and_the_report_is_told() -> Done {
    let Some(parent) = parent() else {
        eprintln!("SKIPPED: no folder here would be accepted for a hook");
        return Ok(());
    };
    table::each(moments(24, 47), |moment| {
        let mut it = Interrupted::with_hooks(&parent, ["0.2", "0.2", "0.2"])?;
        it.agent.start()?;
        thread::sleep(moment);
        it.agent.kill();
        it.agent.start_and_greet()?;
        let notice = it.wait_for_drain()?;
        it.check(&notice);
        it.stop_and_start()?;
        it.agent.start_and_greet()?;
        it.check_report()
    })?;
    Ok(())
}

#[test]
fn killed_while_a_hook_runs_that_one_is_lost_and_the_next_runs_at_once() -> Done {
    let Some(parent) = parent() else {
        eprintln!("SKIPPED: no folder here would be accepted for a hook");
        return Ok(());
    };
    let mut it = Interrupted::with_hooks(&parent, ["0", "4", "0"])?;
    it.agent.start()?;
    it.agent.wait_until("the second hook", || (it.hooks.runs_of("second") == 1).then_some(()))?;
    it.agent.kill();
    let restarted = Instant::now();
    it.agent.start_and_greet()?;
    let notice = it.wait_for_drain()?;
    let waited = restarted.elapsed();
    it.check(&notice);
    let states = [0, 1, 2].map(|index| notice["hooks"][index]["state"].clone());
    assert_eq!(states, ["done", "lost", "done"], "{notice:#}");
    assert!(waited < Duration::from_secs(3), "the rest of the plan took {waited:?}");
    Ok(())
}

#[test]
fn killed_again_and_again_the_plan_is_carried_out_once() -> Done {
    let Some(parent) = parent() else {
        eprintln!("SKIPPED: no folder here would be accepted for a hook");
        return Ok(());
    };
    table::each(moments(6, 40), |pause| {
        let mut it = Interrupted::with_hooks(&parent, ["0.1", "0.1", "0.1"])?;
        for _ in 0..12 {
            it.agent.start()?;
            thread::sleep(Duration::from_millis(60) + pause);
            it.agent.kill();
        }
        it.agent.start_and_greet()?;
        let notice = it.wait_for_drain()?;
        it.check(&notice);
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

#[test]
fn killed_right_after_the_boot_it_still_reports_what_happened() -> Done {
    let Some(parent) = parent() else {
        eprintln!("SKIPPED: no folder here would be accepted for a hook");
        return Ok(());
    };
    table::each(moments(20, 31), |moment| {
        let mut it = Interrupted::with_hooks(&parent, ["0", "0", "0"])?;
        it.agent.start()?;
        let notice = it.wait_for_drain()?;
        it.check(&notice);
        it.stop_and_start()?;
        it.agent.start()?;
        thread::sleep(moment);
        it.agent.kill();
        it.agent.start_and_greet()?;
        it.check_report()
    })?;
    Ok(())
}
