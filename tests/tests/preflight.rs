//! What must not be stopped is not even tried: the refusal is known before, with a reason for people.

use std::error::Error;
use std::time::Duration;

use agent_tests::agent::{Agent, QUICK};
use agent_tests::instance::Instance;
use agent_tests::table;

type Done = Result<(), Box<dyn Error>>;

fn cases() -> Vec<(String, (Instance, &'static str))> {
    let base = Instance::default;
    let group = Some("workers".to_owned());
    let member = Some("InService".to_owned());
    let cases: [(Instance, &str); 7] = [
        (Instance { auto_scaling_group: group.clone(), ..base() }, "Auto Scaling"),
        (Instance { auto_scaling_group: group, tags_in_metadata: false, ..base() }, "Auto Scaling"),
        (Instance { target_lifecycle_state: member, ..base() }, "Auto Scaling"),
        (
            Instance { fleet: Some("fleet-12345678-1234-1234-1234-123456789012".into()), ..base() },
            "fleet",
        ),
        (Instance::on_spot("one-time"), "one-time"),
        (Instance { stop_protected: true, ..base() }, "protect"),
        (Instance { shutdown_behavior: "terminate".into(), ..base() }, "terminate"),
    ];
    cases
        .into_iter()
        .enumerate()
        .map(|(number, case)| (format!("{number}: {}", case.1), case))
        .collect()
}

#[test]
fn what_cannot_be_stopped_safely_is_refused_with_its_reason_and_never_tried() -> Done {
    table::each(cases(), |(instance, reason)| {
        let mut agent = Agent::on_idle_machine(instance, QUICK)?;
        agent.start_and_greet()?;
        let status = agent.wait_for_stage("refused")?;
        let text = status.to_string().to_lowercase();
        assert!(text.contains(&reason.to_lowercase()), "'{reason}' is not in {status:#}");
        assert_eq!(status["abilities"]["stop"]["can"], "cannot", "{status:#}");
        agent.stays("no call", Duration::from_secs(4), |agent| agent.stops() == 0)?;
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

#[test]
fn a_persistent_spot_instance_may_be_hibernated() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::on_spot("persistent"), QUICK)?;
    agent.start_and_greet()?;
    agent.wait_for_stops(1)?;
    Ok(())
}

#[test]
fn a_missing_permission_is_named_before_anything_is_tried() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    agent.world.ec2.deny("StopInstances");
    agent.start_and_greet()?;
    let status = agent.wait_for_stage("refused")?;
    assert!(status.to_string().contains("ec2:StopInstances"), "{status:#}");
    agent.stays("no call", Duration::from_secs(3), |agent| agent.stops() == 0)?;
    Ok(())
}

#[test]
fn without_a_role_nothing_is_called_and_the_lack_is_told() -> Done {
    let mut agent = Agent::on_idle_machine(Instance { role: None, ..Instance::default() }, QUICK)?;
    agent.start_and_greet()?;
    agent
        .stays("no call", Duration::from_secs(9), |agent| agent.world.ec2.log().calls.is_empty())?;
    let status = agent.status()?;
    assert_eq!(status["outlook"]["prospect"], "waiting", "{status:#}");
    assert_eq!(status["outlook"]["remedy"], "agentctl doctor", "{status:#}");
    let doctor = agent.client().get("/v1/doctor")?.to_string().to_lowercase();
    assert!(doctor.contains("credentials") || doctor.contains("role"), "{doctor}");
    Ok(())
}

#[test]
fn permissions_that_may_only_be_lacking_for_looking_do_not_invent_an_answer() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    agent.world.ec2.deny("DescribeInstances");
    agent.start_and_greet()?;
    agent.stays("no stop", Duration::from_secs(9), |agent| agent.stops() == 0)?;
    let status = agent.status()?;
    assert_ne!(status["abilities"]["stop"]["can"], "can", "{status:#}");
    assert!(status.to_string().contains("DescribeInstances"), "{status:#}");
    Ok(())
}
