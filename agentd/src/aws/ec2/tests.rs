//! The real SDK against a local EC2 that answers as the service does, or not at all.

use agent_core::action::{Outcome, Refusal, Retry};

use super::*;
use crate::aws::testec2::{Fake, ID, World, cloud, error};
use crate::aws::testserver::{Reply, refusing_url};

async fn client(fake: &Fake) -> std::sync::Arc<Ec2> {
    fake.cloud.ec2(&fake.cloud.identify().await.unwrap())
}

/// The outcome of a stop that is answered like this.
async fn stop_answered(reply: Reply) -> (Outcome, Fake) {
    let fake = Fake::start(World::default().fault("StopInstances", reply)).await;
    let error = client(&fake).await.stop(Power::Hibernate).await.unwrap_err();
    (error.outcome(), fake)
}

fn retry(outcome: &Outcome) -> Retry {
    let Outcome::Failed { retry, .. } = outcome else { panic!("not failed: {outcome:?}") };
    *retry
}

#[tokio::test]
async fn stops_itself_and_nobody_else() {
    let fake = Fake::start(World::default()).await;
    assert_eq!(client(&fake).await.stop(Power::Hibernate).await, Ok(InstanceState::Stopping));
    let seen = fake.ec2.seen().remove(0);
    assert_eq!(seen.parameter("InstanceId.1").as_deref(), Some(ID));
    assert_eq!(seen.parameter("InstanceId.2"), None);
    assert_eq!(seen.parameter("Hibernate").as_deref(), Some("true"));
    assert_eq!(seen.parameter("Force"), None);
    assert!(seen.header("authorization")[0].contains("/eu-central-1/ec2/aws4_request"));
}

#[tokio::test]
async fn a_plain_stop_does_not_hibernate() {
    let fake = Fake::start(World::default()).await;
    client(&fake).await.stop(Power::Stop).await.unwrap();
    assert_eq!(fake.ec2.seen()[0].parameter("Hibernate").as_deref(), Some("false"));
}

#[tokio::test]
async fn every_row_of_the_error_table_over_the_wire() {
    let refusals = [
        (
            400,
            "UnsupportedHibernationConfiguration",
            "not enabled for hibernation",
            "hibernation-not-configured",
        ),
        (
            400,
            "UnsupportedOperation",
            "associated with a one-time Spot Instance request",
            "spot-one-time",
        ),
        (400, "UnsupportedOperation", "in a fleet, which does not support stop", "fleet-member"),
        (400, "IncorrectSpotRequestState", "cancelled", "spot-request-state"),
        (400, "OperationNotPermitted", "may not be stopped", "stop-protection"),
        (403, "UnauthorizedOperation", "You are not authorized", "unauthorized"),
    ];
    for (status, code, message, expected) in refusals {
        let (outcome, fake) = stop_answered(error(status, code, message)).await;
        let Outcome::Refused(Refusal { code, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(code, expected);
        assert_eq!(fake.ec2.calls("StopInstances"), 1, "{code}");
    }
    let retries = [
        (
            400,
            "UnsupportedOperation",
            "is not ready to hibernate yet, retry in a few minutes",
            Retry::NotReady { ms: 15_000 },
        ),
        (
            400,
            "IncorrectInstanceState",
            "not in a state from which it can be stopped",
            Retry::InDoubt,
        ),
        (503, "RequestLimitExceeded", "Request limit exceeded.", Retry::After { ms: 5_000 }),
        (500, "InternalError", "An internal error has occurred", Retry::After { ms: 5_000 }),
        (503, "Unavailable", "The server is overloaded", Retry::After { ms: 5_000 }),
        (400, "InvalidInstanceID.NotFound", "does not exist", Retry::After { ms: 60_000 }),
        (400, "InvalidParameterValue", "no", Retry::Never),
    ];
    for (status, code, message, expected) in retries {
        let (outcome, fake) = stop_answered(error(status, code, message)).await;
        assert_eq!(retry(&outcome), expected, "{code}");
        assert_eq!(fake.ec2.calls("StopInstances"), 1, "the engine retries {code}, not the SDK");
    }
}

#[tokio::test]
async fn a_lost_answer_is_in_doubt_and_asked_once() {
    for reply in [
        Reply::Hang,
        Reply::Drop,
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n<Stop".to_vec()),
    ] {
        let (outcome, fake) = stop_answered(reply.clone()).await;
        assert_eq!(retry(&outcome), Retry::InDoubt, "{reply:?}");
        assert_eq!(fake.ec2.calls("StopInstances"), 1);
    }
}

#[tokio::test]
async fn an_answer_without_this_instance_is_in_doubt() {
    for body in [
        "",
        "<html>hello</html>",
        "<StopInstancesResponse><instancesSet/></StopInstancesResponse>",
        "\u{1}\u{2}",
    ] {
        let (outcome, _fake) = stop_answered(Reply::ok(body)).await;
        assert_eq!(retry(&outcome), Retry::InDoubt, "{body:?}");
    }
}

#[tokio::test]
async fn errors_that_are_not_ec2s_go_by_their_status() {
    let (outcome, _fake) = stop_answered(Reply::status(502, "<html>Bad Gateway</html>")).await;
    assert_eq!(retry(&outcome), Retry::InDoubt);
    let (outcome, _fake) = stop_answered(Reply::status(503, "")).await;
    assert_eq!(retry(&outcome), Retry::After { ms: 5_000 });
}

#[tokio::test]
async fn a_request_that_never_left_may_be_tried_again() {
    let fake = Fake::start(World::default()).await;
    let identity = fake.cloud.identify().await.unwrap();
    let cloud = cloud(&fake.imds.url(), &refusing_url().await);
    let error = cloud.ec2(&identity).stop(Power::Stop).await.unwrap_err();
    assert!(matches!(error, CallError::NotSent { .. }), "{error}");
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    let fake = Fake::start(World::default()).await;
    let identity = fake.cloud.identify().await.unwrap();
    let settings = fake.cloud.settings().clone();
    let cloud = crate::aws::Cloud::new(settings, |_| None, crate::aws::imds::boot_clock()).unwrap();
    let error = cloud.ec2(&identity).stop(Power::Stop).await.unwrap_err();
    assert!(matches!(error, CallError::NotSent { .. }), "{error}");
    assert!(error.to_string().contains("instance profile"), "{error}");
    assert_eq!(fake.ec2.seen().len(), 0);
}

#[tokio::test]
async fn all_tags_go_in_one_call() {
    let fake = Fake::start(World::default()).await;
    let tags = [
        ("agentd:state".to_owned(), "quiet".to_owned()),
        ("agentd:because".to_owned(), "5 % & more".to_owned()),
    ];
    client(&fake).await.create_tags(&tags).await.unwrap();
    let seen = fake.ec2.seen().remove(0);
    assert_eq!(fake.ec2.calls("CreateTags"), 1);
    assert_eq!(seen.parameter("ResourceId.1").as_deref(), Some(ID));
    assert_eq!(seen.parameter("Tag.2.Key").as_deref(), Some("agentd:because"));
    assert_eq!(seen.parameter("Tag.2.Value").as_deref(), Some("5 % & more"));
}

#[tokio::test]
async fn describes_itself() {
    let fake =
        Fake::start(World { spot: Some(("persistent", "active")), ..World::default() }).await;
    let description = client(&fake).await.describe().await.unwrap();
    assert_eq!(description.state, InstanceState::Running);
    assert!(
        description.hibernation_configured
            && description.is_spot
            && !description.instance_store_root
    );
    assert_eq!(description.spot_request.as_deref(), Some("sir-1"));
    assert_eq!(description.tags["Name"], "research & more");
    assert_eq!(description.hop_limit, Some(1));
}

#[tokio::test]
async fn a_description_without_this_instance_is_an_error() {
    let other = "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-99999999</instanceId>\
                 <instanceState><code>80</code><name>stopped</name></instanceState></item></instancesSet></item>\
                 </reservationSet></DescribeInstancesResponse>";
    for body in [other, "<DescribeInstancesResponse/>", "<html/>", ""] {
        let fake = Fake::start(World::default().fault("DescribeInstances", Reply::ok(body))).await;
        assert!(client(&fake).await.describe().await.is_err(), "{body}");
    }
}

#[tokio::test]
async fn attributes_and_spot_requests_are_read() {
    let world = World { stop_protection: true, shutdown: "terminate", ..World::default() };
    let fake = Fake::start(World { spot: Some(("one-time", "cancelled")), ..world }).await;
    let ec2 = client(&fake).await;
    assert_eq!(
        ec2.attributes().await,
        Ok(Attributes { stop_protection: true, shutdown_terminates: true })
    );
    let expected = SpotRequest { persistent: false, state: "cancelled".to_owned() };
    assert_eq!(ec2.spot_request("sir-1").await, Ok(expected));
    assert!(ec2.spot_request("sir-2").await.is_err(), "another request is not ours");
}

#[tokio::test]
async fn a_dry_run_does_nothing_and_tells_each_permission() {
    let fake = Fake::start(World::default()).await;
    let ec2 = client(&fake).await;
    for permission in Permission::ALL {
        assert_eq!(
            ec2.dry_run(permission, &["agentd:state".to_owned()]).await,
            Ok(()),
            "{permission:?}"
        );
    }
    let seen = fake.ec2.seen();
    assert!(seen.iter().all(|seen| seen.parameter("DryRun").as_deref() == Some("true")));
    assert_eq!(seen[1].parameter("Tag.1.Key").as_deref(), Some("agentd:state"));
    fake.set(|world| world.faults.push(("CreateTags", error(403, "UnauthorizedOperation", "no"))));
    assert!(ec2.dry_run(Permission::CreateTags, &[]).await.unwrap_err().is_unauthorized());
}

#[tokio::test]
async fn an_endpoint_that_ignores_dry_run_is_not_trusted() {
    let stopped = "<StopInstancesResponse><instancesSet/></StopInstancesResponse>";
    let fake = Fake::start(World::default().fault("StopInstances", Reply::ok(stopped))).await;
    let error = client(&fake).await.dry_run(Permission::StopInstances, &[]).await.unwrap_err();
    assert!(error.to_string().contains("DryRun"), "{error}");
}

#[tokio::test]
async fn the_own_limit_holds_back_everything_but_the_stop() {
    let fake = Fake::start(World::default()).await;
    let ec2 = client(&fake).await;
    for _ in 0..BURST {
        ec2.create_tags(&[]).await.unwrap();
    }
    assert!(matches!(ec2.create_tags(&[]).await, Err(CallError::Budget { .. })));
    assert_eq!(fake.ec2.calls("CreateTags"), BURST as usize);
    assert_eq!(ec2.stop(Power::Stop).await, Ok(InstanceState::Stopping));
}

#[tokio::test]
async fn a_limit_of_its_own_takes_nothing_from_the_other() {
    let fake = Fake::start(World::default()).await;
    let ec2 = client(&fake).await;
    let doctor = ec2.with_own_limit();
    for _ in 0..BURST {
        doctor.create_tags(&[]).await.unwrap();
    }
    assert!(doctor.create_tags(&[]).await.is_err());
    assert_eq!(ec2.create_tags(&[]).await, Ok(()));
}
