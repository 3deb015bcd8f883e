//! Whatever the metadata service does wrong: no action on a guess, the reason is shown, and it recovers.

use std::error::Error;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use agent_tests::agent::{Agent, QUICK, dead_address};
use agent_tests::fault::{Fault, Times};
use agent_tests::imds::Imds;
use agent_tests::instance::Instance;
use agent_tests::table;

type Done = Result<(), Box<dyn Error>>;

/// An action that were to come would have come after so long.
const WHOLE_WINDOW: Duration = Duration::from_secs(9);
const TOKEN: &str = "/latest/api/token";
const DOCUMENT: &str = "/latest/dynamic/instance-identity/document";

fn agent() -> Result<Agent, Box<dyn Error>> {
    Ok(Agent::on_idle_machine(Instance::default(), QUICK)?)
}

/// One way to be broken from the start.
type Break = Box<dyn Fn(&mut Imds) + Send>;

fn broken(pattern: &'static str, fault: Fault) -> (String, Break) {
    let name = format!("{fault} at {pattern}");
    (name, Box::new(move |imds| imds.fault(pattern, fault.clone(), Times::Always)))
}

fn ways_to_be_broken() -> Vec<(String, Break)> {
    let mut ways: Vec<(String, Break)> = vec![
        ("refused".into(), Box::new(Imds::refuse)),
        ("switched off".into(), Box::new(|imds: &mut Imds| imds.disable())),
    ];
    for status in [400, 401, 403, 404, 429, 500, 503] {
        ways.push(broken(TOKEN, Fault::Status(status)));
    }
    // A missing document is no fault: the items below meta-data tell the same.
    for status in [400, 401, 403, 429, 500, 503] {
        ways.push(broken(DOCUMENT, Fault::Status(status)));
    }
    for pattern in [TOKEN, DOCUMENT] {
        for fault in [
            Fault::Hang,
            Fault::Reset,
            Fault::Close,
            Fault::Garbage,
            Fault::Empty,
            Fault::Html,
            Fault::Truncated,
            Fault::Drip(100),
            Fault::Huge(1 << 30),
            Fault::Redirect("http://127.0.0.1:1/".into()),
        ] {
            ways.push(broken(pattern, fault));
        }
    }
    ways.push(broken(TOKEN, Fault::Without("X-Aws-Ec2-Metadata-Token-Ttl-Seconds".into())));
    ways.push(broken(
        DOCUMENT,
        Fault::Body("{\"instanceId\": \"i-XYZ\", \"region\": \"eu-central-1\"}".into()),
    ));
    ways.push(broken(DOCUMENT, Fault::Body("{\"region\": \"eu-central-1\"}".into())));
    ways
}

#[test]
fn an_unknown_identity_means_no_action_a_shown_reason_and_recovery() -> Done {
    table::each(ways_to_be_broken(), |break_it| {
        let mut agent = agent()?;
        break_it(&mut agent.world.imds);
        agent.start_and_greet()?;
        let status = agent.wait_for("the failure in the status", |status| {
            status["imds"]["ok"] == false
                && status["imds"]["detail"].as_str().is_some_and(|why| why.len() > 5)
        })?;
        assert!(status["instance"].is_null(), "an identity was invented: {status:#}");
        agent.stays("no call to EC2", WHOLE_WINDOW, |agent| {
            agent.world.ec2.log().calls.is_empty()
        })?;
        let memory = agent.resident_kib().unwrap_or(0);
        assert!(memory < 200 * 1024, "{memory} KiB are resident");
        agent.world.imds.heal()?;
        agent.wait_for_stops(1)?;
        assert_eq!(agent.world.imds.seen().tokenless, 0, "version 1 was used");
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

#[test]
fn what_is_no_fault_does_not_disturb() -> Done {
    let ways = [
        broken("*", Fault::ContentType("image/png".into())),
        broken("*", Fault::Without("Date".into())),
        broken("*", Fault::Late(100)),
        broken(DOCUMENT, Fault::Status(404)),
        ("a kept connection".into(), Box::new(|imds: &mut Imds| imds.keep_alive()) as Break),
        (
            "tokens that live for three seconds".into(),
            Box::new(|imds: &mut Imds| imds.cap_token_life(Duration::from_secs(3))),
        ),
        (
            "a clock that is a day ahead".into(),
            Box::new(|imds: &mut Imds| imds.shift_clock(jiff::SignedDuration::from_hours(24))),
        ),
        (
            "two resets at the start".into(),
            Box::new(|imds: &mut Imds| imds.fault("*", Fault::Reset, Times::Next(2))),
        ),
    ];
    table::each(ways, |way| {
        let mut agent = agent()?;
        way(&mut agent.world.imds);
        agent.start_and_greet()?;
        agent.wait_for_stops(1)?;
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

#[test]
fn a_service_that_fails_in_the_middle_postpones_the_action() -> Done {
    let mut agent = agent()?;
    agent.start_and_greet()?;
    agent.wait_for_stage("warned")?;
    agent.world.imds.refuse();
    agent.stays("no stop", WHOLE_WINDOW, |agent| agent.stops() == 0)?;
    agent.world.imds.heal()?;
    agent.wait_for_stops(1)?;
    Ok(())
}

#[test]
fn another_identity_in_the_middle_stops_nobody() -> Done {
    let mut agent = agent()?;
    agent.start_and_greet()?;
    agent.wait_for_stage("warned")?;
    let other = "{\"instanceId\": \"i-00000000000000000\", \"region\": \"eu-central-1\", \
                 \"availabilityZone\": \"eu-central-1a\", \"instanceType\": \"r6i.large\", \"accountId\": \"123456789012\"}";
    agent.world.imds.fault(DOCUMENT, Fault::Body(other.into()), Times::Always);
    agent.stays("no stop", WHOLE_WINDOW, |agent| agent.stops() == 0)?;
    Ok(())
}

#[test]
fn revoked_tokens_are_renewed_without_a_gap() -> Done {
    let mut agent = agent()?;
    agent.start_and_greet()?;
    agent.wait_for("the identity", |status| status["instance"]["instance_id"].is_string())?;
    agent.world.imds.revoke_tokens();
    agent.wait_for_stops(1)?;
    let seen = agent.world.imds.seen();
    assert!(
        seen.tokens >= 2 && seen.rejected >= 1,
        "{} tokens, {} rejected",
        seen.tokens,
        seen.rejected
    );
    assert_eq!((seen.tokenless, seen.doubled), (0, 0));
    Ok(())
}

#[test]
fn a_proxy_in_the_environment_is_not_for_the_metadata_service() -> Done {
    let mut agent = agent()?;
    let proxy = format!("http://{}", dead_address()?);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        agent.set_variable(name, &proxy);
    }
    agent.start_and_greet()?;
    agent.wait_for("the identity", |status| status["instance"]["instance_id"].is_string())?;
    Ok(())
}

#[test]
fn the_ipv6_endpoint_serves_as_well() -> Done {
    let mut agent = agent()?;
    let instance = agent.world.instance.clone();
    let Ok(imds) = Imds::of_shared(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)), instance) else {
        eprintln!("SKIPPED: there is no IPv6 loopback");
        return Ok(());
    };
    agent.set_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", &imds.endpoint());
    agent.start_and_greet()?;
    agent.wait_for("the identity", |status| status["instance"]["instance_id"].is_string())?;
    assert!(imds.seen().tokens >= 1 && agent.world.imds.seen().tokens == 0);
    Ok(())
}

#[test]
fn ready_does_not_wait_for_a_service_that_hangs() -> Done {
    let mut agent = agent()?;
    agent.world.imds.fault("*", Fault::Hang, Times::Always);
    let start = std::time::Instant::now();
    agent.start_and_greet()?;
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
    Ok(())
}
