use super::*;
use crate::instance::State;

const ID: &str = "i-0a1b2c3d4e5f60718";
const LIMIT: Duration = Duration::from_secs(5);

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn ec2(instance: Instance) -> Ec2 {
    Ec2::start(loopback(), instance).unwrap()
}

fn signed(form: &str) -> Request {
    Request::new("POST", "/")
        .with_header(
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=A/x, SignedHeaders=host, Signature=0",
        )
        .with_header("X-Amz-Date", "20260101T000000Z")
        .with_header("Content-Type", "application/x-www-form-urlencoded")
        .with_body(form)
}

fn ask(ec2: &Ec2, form: &str) -> Reply {
    wire::call(ec2.addr(), &signed(form), LIMIT).unwrap()
}

/// The status and the code of a reply's refusal.
fn refusal(reply: &Reply) -> (u16, String) {
    let body = reply.body_text();
    let code = body.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next());
    (reply.status, code.unwrap_or_default().to_owned())
}

#[track_caller]
fn check_stop(instance: Instance, form: &str, want: (u16, &str)) {
    let ec2 = ec2(instance);
    let reply = ask(&ec2, form);
    assert_eq!(refusal(&reply), (want.0, want.1.to_owned()), "{}", reply.body_text());
    assert_eq!(ec2.instance().snapshot().state == State::Running, want.0 != 200);
}

fn stop() -> String {
    format!("Action=StopInstances&InstanceId.1={ID}")
}

fn hibernate() -> String {
    format!("{}&Hibernate=true", stop())
}

#[test]
fn a_running_instance_stops_and_hibernates() {
    check_stop(Instance::default(), &stop(), (200, ""));
    check_stop(Instance::default(), &hibernate(), (200, ""));
    check_stop(Instance::on_spot("persistent"), &hibernate(), (200, ""));
}

#[test]
fn the_rules_of_stopping_are_those_of_ec2() {
    let base = Instance::default;
    check_stop(
        Instance { hibernation_configured: false, ..base() },
        &hibernate(),
        (400, "UnsupportedHibernationConfiguration"),
    );
    let ready = Some(Instant::now() + Duration::from_mins(2));
    check_stop(
        Instance { hibernation_ready_at: ready, ..base() },
        &hibernate(),
        (400, "UnsupportedOperation"),
    );
    check_stop(Instance { hibernation_ready_at: ready, ..base() }, &stop(), (200, ""));
    check_stop(Instance::on_spot("one-time"), &stop(), (400, "UnsupportedOperation"));
    check_stop(
        Instance { fleet: Some("fleet-1".into()), ..base() },
        &stop(),
        (400, "UnsupportedOperation"),
    );
    check_stop(
        Instance { stop_protected: true, ..base() },
        &stop(),
        (400, "OperationNotPermitted"),
    );
    check_stop(
        base(),
        "Action=StopInstances&InstanceId.1=i-00000000",
        (400, "InvalidInstanceID.NotFound"),
    );
    check_stop(
        base(),
        "Action=StopInstances&InstanceId.1=bad",
        (400, "InvalidInstanceID.Malformed"),
    );
    check_stop(base(), "Action=StopInstances", (400, "MissingParameter"));
    check_stop(base(), &format!("{}&DryRun=true", stop()), (412, "DryRunOperation"));
}

#[test]
fn states_decide_what_is_possible() {
    for (state, want) in [
        (State::Pending, (400, "IncorrectInstanceState")),
        (State::Terminated, (400, "IncorrectInstanceState")),
        (State::Stopping, (200, "")),
        (State::Stopped, (200, "")),
    ] {
        let ec2 = ec2(Instance { state, ..Instance::default() });
        assert_eq!(refusal(&ask(&ec2, &stop())), (want.0, want.1.to_owned()), "{state:?}");
    }
    let ec2 = ec2(Instance { state: State::Stopped, ..Instance::default() });
    assert_eq!(ask(&ec2, &format!("Action=StartInstances&InstanceId.1={ID}")).status, 200);
    assert_eq!(ec2.instance().snapshot().state, State::Pending);
}

#[test]
fn the_reason_of_a_stop_is_described() {
    let ec2 = ec2(Instance { transition: Duration::ZERO, ..Instance::default() });
    ask(&ec2, &hibernate());
    let body = ask(&ec2, &format!("Action=DescribeInstances&InstanceId.1={ID}")).body_text();
    assert!(body.contains("<name>stopped</name>"), "{body}");
    assert!(body.contains("<code>Client.UserInitiatedHibernate</code>"), "{body}");
    assert!(body.contains("<hibernationOptions><configured>true</configured>"), "{body}");
    let other = "Action=DescribeInstances&Filter.1.Name=instance-id&Filter.1.Value.1=i-00000000";
    assert!(ask(&ec2, other).body_text().contains("<reservationSet></reservationSet>"));
}

#[test]
fn attributes_and_spot_requests_are_described() {
    let ec2 = ec2(Instance { stop_protected: true, ..Instance::on_spot("persistent") });
    let ask_attribute = |name| {
        let form = format!("Action=DescribeInstanceAttribute&InstanceId={ID}&Attribute={name}");
        ask(&ec2, &form).body_text()
    };
    assert!(ask_attribute("disableApiStop").contains("<disableApiStop><value>true</value>"));
    let behavior = ask_attribute("instanceInitiatedShutdownBehavior");
    assert!(behavior.contains("<value>stop</value>"), "{behavior}");
    let spot =
        ask(&ec2, "Action=DescribeSpotInstanceRequests&SpotInstanceRequestId.1=sir-abcd1234");
    assert!(spot.body_text().contains("<type>persistent</type>"));
    let unknown = ask(&ec2, "Action=DescribeSpotInstanceRequests&SpotInstanceRequestId.1=sir-x");
    assert_eq!(refusal(&unknown).1, "InvalidSpotInstanceRequestID.NotFound");
}

#[test]
fn tags_are_stored_within_ec2s_limits() {
    let ec2 = ec2(Instance::default());
    let tag = |key: &str, value: &str| {
        refusal(&ask(
            &ec2,
            &format!("Action=CreateTags&ResourceId.1={ID}&Tag.1.Key={key}&Tag.1.Value={value}"),
        ))
        .1
    };
    assert_eq!(tag("agentd%3Astate", "quiet+now"), "");
    assert_eq!(ec2.instance().snapshot().tags["agentd:state"], "quiet now");
    assert_eq!(tag("aws:x", "1"), "InvalidParameterValue");
    assert_eq!(tag("k", &"v".repeat(257)), "InvalidParameterValue");
    for index in 0..48 {
        assert_eq!(tag(&format!("k{index}"), "v"), "");
    }
    assert_eq!(tag("one-more", "v"), "TagLimitExceeded");
}

#[test]
fn unsigned_calls_and_missing_permissions_are_refused_before_the_dry_run() {
    let ec2 = ec2(Instance::default());
    let unsigned = Request::new("POST", "/").with_body(stop());
    let reply = wire::call(ec2.addr(), &unsigned, LIMIT).unwrap();
    assert_eq!(refusal(&reply).1, "MissingAuthenticationToken");
    ec2.deny("StopInstances");
    assert_eq!(
        refusal(&ask(&ec2, &format!("{}&DryRun=true", stop()))),
        (403, "UnauthorizedOperation".into())
    );
    ec2.allow("StopInstances");
    assert_eq!(ask(&ec2, &stop()).status, 200);
    assert_eq!(ec2.log().stops().len(), 3 - 1);
    assert_eq!(ec2.log().carried_out("StopInstances").len(), 1);
}

#[test]
fn a_bucket_throttles_and_a_fault_strikes_so_often() {
    let ec2 = ec2(Instance::default());
    ec2.limit("DescribeInstances", 1.0, 0.0);
    assert_eq!(ask(&ec2, "Action=DescribeInstances").status, 200);
    assert_eq!(
        refusal(&ask(&ec2, "Action=DescribeInstances")),
        (503, "RequestLimitExceeded".into())
    );
    ec2.refuse_with("StopInstances", "InternalError", Times::Next(1));
    let dry_run = ask(&ec2, &format!("{}&DryRun=true", stop()));
    assert_eq!(dry_run.status, 412, "a dry run is not struck by the fault of the call");
    assert_eq!(ask(&ec2, &stop()).status, 500);
    assert_eq!(ask(&ec2, &stop()).status, 200);
}

#[test]
fn a_lost_reply_was_applied_and_a_broken_call_was_not() {
    let ec2 = ec2(Instance::default());
    ec2.fault("StopInstances", CallFault::Instead(Fault::Reset), Times::Next(1));
    assert!(wire::call(ec2.addr(), &signed(&stop()), LIMIT).is_err());
    assert_eq!(ec2.instance().snapshot().state, State::Running);
    ec2.fault("StopInstances", CallFault::Applied(Fault::Reset), Times::Next(1));
    assert!(wire::call(ec2.addr(), &signed(&stop()), LIMIT).is_err());
    assert_ne!(ec2.instance().snapshot().state, State::Running);
}

#[test]
fn rules_stand_in_front_of_another_server() {
    let behind = ec2(Instance { hibernation_configured: false, ..Instance::default() });
    let shared = SharedInstance::new(Instance { stop_protected: true, ..Instance::default() });
    let front = Ec2::in_front_of(behind.addr(), loopback(), shared.clone()).unwrap();
    assert_eq!(refusal(&ask(&front, &stop())).1, "OperationNotPermitted");
    assert!(behind.log().calls.is_empty());
    shared.with(|instance| instance.stop_protected = false);
    assert_eq!(refusal(&ask(&front, &hibernate())).1, "UnsupportedHibernationConfiguration");
    assert_eq!(behind.log().stops().len(), 1);
}

#[test]
fn an_instance_can_be_unknown_for_a_while() {
    let mut ec2 = ec2(Instance::default());
    ec2.hide_instance(true);
    assert_eq!(refusal(&ask(&ec2, &stop())).1, "InvalidInstanceID.NotFound");
    ec2.heal().unwrap();
    assert_eq!(ask(&ec2, &stop()).status, 200);
}

fn scaling(ec2: &Ec2, form: &str) -> Reply {
    let group = "Version=2011-01-01&AutoScalingGroupName=workers";
    ask(ec2, &format!("Action={form}&{group}"))
}

#[test]
fn a_group_is_described_and_its_lifecycle_action_is_kept_and_completed() {
    let ec2 = ec2(Instance::in_group("workers", Some(Duration::from_mins(1))));
    let member = scaling(&ec2, &format!("DescribeAutoScalingInstances&InstanceIds.member.1={ID}"));
    assert!(member.body_text().contains("<LifecycleState>InService</LifecycleState>"));
    let hooks = scaling(&ec2, "DescribeLifecycleHooks").body_text();
    assert!(hooks.contains("<HeartbeatTimeout>60</HeartbeatTimeout>"), "{hooks}");
    let action = format!("&LifecycleHookName=drain&InstanceId={ID}");
    let beat = format!("RecordLifecycleActionHeartbeat{action}");
    let complete = format!("CompleteLifecycleAction{action}&LifecycleActionResult=CONTINUE");
    let early = scaling(&ec2, &beat);
    assert_eq!(refusal(&early), (400, "ValidationError".into()));
    assert!(early.body_text().contains("No active Lifecycle Action found with instance ID i-"));
    ec2.instance().with(|instance| instance.scale_in(Instant::now()));
    assert_eq!(scaling(&ec2, &beat).status, 200);
    assert_eq!(ec2.instance().snapshot().group.waiting[0].heartbeats, 1);
    assert_eq!(scaling(&ec2, &complete).status, 200);
    assert_eq!(refusal(&scaling(&ec2, &complete)).0, 400);
    assert_eq!(ec2.instance().snapshot().state, State::ShuttingDown);
}

#[test]
fn standby_keeps_the_rules_of_the_group() {
    let ec2 = ec2(Instance::in_group("workers", None));
    let member = format!("&InstanceIds.member.1={ID}");
    let enter = format!("EnterStandby{member}&ShouldDecrementDesiredCapacity=true");
    let exit = format!("ExitStandby{member}");
    assert!(scaling(&ec2, &exit).body_text().contains("is not in Standby."));
    ec2.instance().with(|instance| instance.group.min_size = 1);
    let below = scaling(&ec2, &enter).body_text();
    assert!(below.contains("has min-size=1, max-size=2, and desired-size=1."), "{below}");
    ec2.instance().with(|instance| instance.group.min_size = 0);
    assert_eq!(scaling(&ec2, &enter).status, 200);
    let group = ec2.instance().snapshot().group;
    assert_eq!((group.desired_capacity, group.lifecycle_state.as_str()), (0, "Standby"));
    assert!(scaling(&ec2, &enter).body_text().contains("is not in InService."));
    assert_eq!(scaling(&ec2, &exit).status, 200);
    assert_eq!(ec2.instance().snapshot().group.desired_capacity, 1);
    let other = scaling(&ec2, "EnterStandby&InstanceIds.member.1=i-00000000");
    assert!(other.body_text().contains("is not part of Auto Scaling group workers."));
}

#[test]
fn topics_take_messages_within_their_limits() {
    let ec2 = ec2(Instance::default());
    let publish = |topic: &str, message: &str| {
        let arn = format!("arn:aws:sns:eu-central-1:123456789012:{topic}");
        let form = format!("Action=Publish&Version=2010-03-31&TopicArn={arn}&Message={message}");
        ask(&ec2, &form)
    };
    assert!(publish("ops", "hello").body_text().contains("<PublishResult><MessageId>"));
    assert_eq!(refusal(&publish("missing", "x")), (404, "NotFound".into()));
    assert_eq!(refusal(&publish("ops", "")).1, "InvalidParameter");
    assert_eq!(ec2.log().carried_out("Publish")[0].parameter("Message"), Some("hello"));
}

#[test]
fn faults_permissions_and_buckets_hold_for_every_service_in_its_own_words() {
    let mut ec2 = ec2(Instance::in_group("workers", None));
    let form = "DescribeLifecycleHooks";
    ec2.deny(form);
    assert_eq!(refusal(&scaling(&ec2, form)), (403, "AccessDenied".into()));
    ec2.heal().unwrap();
    ec2.limit(form, 0.0, 0.0);
    assert_eq!(refusal(&scaling(&ec2, form)), (400, "Throttling".into()));
    ec2.limit(form, 9.0, 9.0);
    ec2.fault(form, CallFault::Instead(Fault::Reset), Times::Next(1));
    let group = format!("Action={form}&Version=2011-01-01&AutoScalingGroupName=workers");
    assert!(wire::call(ec2.addr(), &signed(&group), LIMIT).is_err());
    assert_eq!(scaling(&ec2, form).status, 200);
}
