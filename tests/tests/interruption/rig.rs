//! The agent, its hooks and the words that the tests share.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agent_tests::agent::{Agent, AgentError};
use agent_tests::hook;
use agent_tests::instance::Instance;
use agent_tests::step::Step;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) type Done = Result<(), Box<dyn Error>>;

/// The item that tells of a spot interruption, as the agent asks for it.
pub(crate) const SPOT: &str = "/latest/meta-data/spot/instance-action";

/// A configuration that leaves idleness alone: what happens then is because of an interruption.
const NO_IDLE: &str = "mode = \"enforce\"\n[idle]\nenabled = false\n";

/// An agent with hooks, not started yet.
pub(crate) struct Scene {
    pub(crate) agent: Agent,
    folder: TempDir,
}

/// One run of a hook, as it told itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) name: String,
    /// After 1970.
    pub(crate) at: Duration,
    pub(crate) event: String,
    pub(crate) action: String,
    pub(crate) deadline: String,
    pub(crate) seconds_left: i64,
}

impl Scene {
    /// Hooks of these names that take no time, and more keys of `[interruption]` and further tables.
    pub(crate) fn new(
        instance: Instance,
        hooks: &[&str],
        more: &str,
    ) -> Result<Self, Box<dyn Error>> {
        Self::with(instance, NO_IDLE, hooks, "true", more)
    }

    /// The same with another beginning of the configuration, and with what each hook does.
    pub(crate) fn with(
        instance: Instance,
        beginning: &str,
        hooks: &[&str],
        body: &str,
        more: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let parent = hook::sound_folder(env!("CARGO_TARGET_TMPDIR"))
            .ok_or("find a folder in which a hook is accepted")?;
        let folder = tempfile::tempdir_in(parent)?;
        let mut plan = Vec::new();
        for name in hooks {
            let told = "$AGENTD_EVENT $AGENTD_ACTION $AGENTD_DEADLINE $AGENTD_SECONDS_LEFT";
            let runs = folder.path().join("runs");
            let noted = format!("echo \"{name} $(date +%s%N) {told}\" >> '{}'", runs.display());
            let script = script(folder.path(), name, &format!("{noted}\n{body}"))?;
            plan.push(format!("\"{}\"", script.display()));
        }
        let config =
            format!("{beginning}\n[interruption]\nhooks = [{}]\n{more}\n", plan.join(", "));
        Ok(Self { agent: Agent::on_idle_machine(instance, &config)?, folder })
    }

    /// A folder in which a program is accepted as a hook.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Does a step to the world.
    pub(crate) fn step(&mut self, step: &str) -> Done {
        Ok(step.parse::<Step>()?.apply(&mut self.agent.world)?)
    }

    /// Every run of a hook so far.
    pub(crate) fn runs(&self) -> Vec<Run> {
        let text = fs::read_to_string(self.folder.path().join("runs")).unwrap_or_default();
        text.lines().filter_map(run).collect()
    }

    /// Waits for so many runs.
    pub(crate) fn wait_for_runs(&self, count: usize) -> Result<Vec<Run>, AgentError> {
        self.agent.wait_until(&format!("{count} runs of hooks"), || {
            let runs = self.runs();
            (runs.len() >= count).then_some(runs)
        })
    }

    /// The document of interruptions.
    pub(crate) fn spot(&self) -> Value {
        self.agent.client().get("/v1/spot").unwrap_or_default()
    }

    /// Waits until a monitor is in this state.
    pub(crate) fn wait_for_monitor(&self, name: &str, state: &str) -> Result<Value, AgentError> {
        self.agent.wait_until(&format!("the monitor {name} in state {state}"), || {
            let spot = self.spot();
            let monitor =
                spot["monitors"].as_array()?.iter().find(|known| known["name"] == name)?;
            (monitor["state"] == state).then(|| monitor.clone())
        })
    }

    /// Waits until the agent knows its instance and that there is no notice: from then on it polls at its pace.
    pub(crate) fn settle(&mut self) -> Done {
        self.agent.start_and_greet()?;
        self.agent.wait_for("the metadata service", |status| {
            status["imds"]["state"] == "ok" && status["instance"]["instance_id"].is_string()
        })?;
        self.agent.wait_for("no notice", |status| status["interruption"]["state"] == "none")?;
        Ok(())
    }

    /// Version 1 was never used, and no request had two tokens.
    #[track_caller]
    pub(crate) fn assert_tokens(&self) {
        let seen = self.agent.world.imds.seen();
        assert_eq!((seen.tokenless, seen.doubled), (0, 0), "requests without or with two tokens");
    }

    /// No hook ran and nothing was changed at EC2, Auto Scaling or SNS.
    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        let writes = self.agent.world.ec2.log();
        let changes: Vec<_> = writes
            .writes()
            .into_iter()
            .filter(|call| call.action != "CreateTags")
            .cloned()
            .collect();
        assert!(changes.is_empty(), "{changes:#?}");
        assert_eq!(self.runs(), [], "a hook ran:\n{}", self.agent.log());
        self.assert_tokens();
    }
}

fn run(line: &str) -> Option<Run> {
    let words: Vec<_> = line.split(' ').collect();
    let [name, at, event, action, deadline, seconds_left] = words.as_slice() else { return None };
    Some(Run {
        name: (*name).to_owned(),
        at: Duration::from_nanos(at.parse().ok()?),
        event: (*event).to_owned(),
        action: (*action).to_owned(),
        deadline: (*deadline).to_owned(),
        seconds_left: seconds_left.parse().ok()?,
    })
}

/// A program that only its owner may change.
pub(crate) fn script(folder: &Path, name: &str, body: &str) -> Result<PathBuf, Box<dyn Error>> {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// The time after 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// When the simulator first answered with this item, after 1970.
pub(crate) fn first_told(agent: &Agent, path: &str) -> Option<Duration> {
    let seen = agent.world.imds.seen();
    let told = seen.requests.iter().find(|request| request.path == path && request.status == 200);
    told.map(|request| now().saturating_sub(request.at.elapsed()))
}

/// The time is that of a machine with nothing else to do: the best of three tries must be within the limit.
pub(crate) fn best_of_three(
    limit: Duration,
    attempt: impl Fn() -> Result<Duration, Box<dyn Error>>,
) -> Done {
    let mut tries = Vec::new();
    for _ in 0..3 {
        let took = attempt()?;
        if took <= limit {
            return Ok(());
        }
        tries.push(took);
    }
    Err(format!("it took {tries:?} instead of {limit:?}").into())
}
