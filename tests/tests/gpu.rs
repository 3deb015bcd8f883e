//! GPUs through the real NVML wrapper and a library that a test drives.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use agent_tests::agent::{Agent, beside_agent, quick_with};
use agent_tests::instance::Instance;
use serde_json::Value;

type Done = Result<(), Box<dyn Error>>;

/// An action that were to come would have come after so long.
const WHOLE_WINDOW: Duration = Duration::from_secs(9);

/// The file that says what the GPUs do.
struct Gpus(PathBuf);

impl Gpus {
    fn set(&self, state: &str) -> std::io::Result<()> {
        let fresh = self.0.with_extension("new");
        fs::write(&fresh, state)?;
        fs::rename(&fresh, &self.0)
    }
}

/// An agent on a machine with GPUs in this state.
fn with_gpus(state: &str) -> Result<(Agent, Gpus), Box<dyn Error>> {
    let library = beside_agent("libnvidia_ml.so")?;
    let config = quick_with(&format!("[source.gpu]\nlibrary = \"{}\"", library.display()));
    let mut agent = Agent::on_idle_machine(Instance::default(), &config)?;
    agent.machine().write("dev/nvidia0", "")?;
    agent.machine().write("dev/nvidiactl", "")?;
    let gpus = Gpus(agent.folder().join("gpus"));
    gpus.set(state)?;
    agent.set_variable("FAKE_NVML_STATE", &gpus.0.to_string_lossy());
    Ok((agent, gpus))
}

fn gpu(status: &Value) -> &Value {
    let all = status["sources"].as_array().into_iter().flatten();
    all.into_iter().find(|source| source["source"] == "gpu").unwrap_or(&Value::Null)
}

#[test]
fn a_computing_gpu_keeps_the_machine_up_and_an_idle_one_does_not() -> Done {
    let (mut agent, gpus) =
        with_gpus("device util=0 memory=0/1000\ndevice util=93 compute=77:500 memory=500/1000\n")?;
    agent.start_and_greet()?;
    agent.wait_for("the busy GPU", |status| gpu(status)["verdict"] == "busy")?;
    agent.stays("no stop", WHOLE_WINDOW, |agent| agent.stops() == 0)?;
    gpus.set("device util=0 memory=0/1000\ndevice util=0 memory=0/1000\n")?;
    agent.wait_for_stops(1)?;
    Ok(())
}

#[test]
fn a_gpu_that_cannot_be_read_while_somebody_computes_is_never_idle() -> Done {
    let (mut agent, gpus) =
        with_gpus("device util=!999 samples=!999 compute=77:500 memory=500/1000\n")?;
    agent.start_and_greet()?;
    let status = agent.wait_for("blindness", |status| gpu(status)["verdict"] == "blind")?;
    assert!(gpu(&status)["detail"].is_string(), "{status:#}");
    agent.stays("no stop", WHOLE_WINDOW, |agent| agent.stops() == 0)?;
    gpus.set("device util=0 memory=0/1000\n")?;
    agent.wait_for_stops(1)?;
    Ok(())
}

#[test]
fn a_driver_that_hangs_blinds_its_own_source_alone() -> Done {
    let (mut agent, _gpus) = with_gpus("hang 20000\ndevice util=0 memory=0/1000\n")?;
    agent.start_and_greet()?;
    let is_blind = |status: &Value| {
        gpu(status)["verdict"] == "blind" && status["blind"] == serde_json::json!(["gpu"])
    };
    let status = agent.wait_for("that the GPU alone is blind", is_blind)?;
    assert!(gpu(&status)["detail"].is_string(), "{status:#}");
    let decides = |agent: &Agent| {
        agent.stops() == 0
            && agent.status().is_ok_and(|status| {
                let cpu = status["sources"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .find(|s| s["source"] == "cpu");
                cpu.is_some_and(|cpu| cpu["read_seconds"].as_f64().is_some_and(|ago| ago < 4.0))
            })
    };
    agent.stays("the others are read and nothing is stopped", WHOLE_WINDOW, decides)?;
    Ok(())
}

#[test]
fn a_job_on_a_partition_keeps_the_machine_up_until_it_ends() -> Done {
    let (mut agent, gpus) = with_gpus("device util=!3 samples=!3 mig=2 instance=77:500\n")?;
    agent.start_and_greet()?;
    let status = agent.wait_for("the job", |status| gpu(status)["verdict"] == "busy")?;
    assert_eq!(gpu(&status)["value"], 100.0, "{status:#}");
    agent.stays("no stop", WHOLE_WINDOW, |agent| agent.stops() == 0)?;
    gpus.set("device util=!3 samples=!3 mig=2\n")?;
    agent.wait_for_stops(1)?;
    Ok(())
}

#[test]
fn every_way_in_which_a_driver_fails_is_blind_and_passes() -> Done {
    let idle = "device util=0 memory=0/1000\n";
    let (mut agent, gpus) = with_gpus(idle)?;
    agent.start_and_greet()?;
    for (what, state) in [
        ("the GPU fell off the bus (NVML_ERROR_GPU_IS_LOST)", "device util=!15 samples=!15\n"),
        ("it cannot be opened any more", "device error=15\n"),
        ("the driver was unloaded (NVML_ERROR_DRIVER_NOT_LOADED)", "init 9\n"),
        ("the library does not fit the driver (NVML_ERROR_LIB_RM_VERSION_MISMATCH)", "init 18\n"),
        ("its GPUs cannot be counted", "count 999\n"),
        ("the driver has forgotten its GPUs", ""),
        ("starting hangs", "slow 60000\ninit 999\n"),
    ] {
        gpus.set(state)?;
        agent.wait_for(what, |status| gpu(status)["verdict"] == "blind")?;
        assert_eq!(agent.stops(), 0, "{what}");
        if what == "starting hangs" {
            break;
        }
        gpus.set(idle)?;
        agent.wait_for("its return", |status| gpu(status)["verdict"] == "idle")?;
    }
    agent.stays("no stop while it hangs", WHOLE_WINDOW, |agent| agent.stops() == 0)?;
    Ok(())
}
