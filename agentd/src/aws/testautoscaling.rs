//! Answers of the Auto Scaling API, for tests: XML as the service writes it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::Cloud;
use super::testec2::{DOCUMENT, ID, cloud};
use super::testserver::{Reply, Seen, Server, imds_script};

/// The hooks of the usual group: two hold a termination back, one a launch.
pub(crate) const HOOKS: [(&str, &str); 3] = [
    ("drain", "autoscaling:EC2_INSTANCE_TERMINATING"),
    ("warm-up", "autoscaling:EC2_INSTANCE_LAUNCHING"),
    ("backup", "autoscaling:EC2_INSTANCE_TERMINATING"),
];

/// An error answer.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::status(
        status,
        format!(
            "<ErrorResponse xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
        ),
    )
}

/// One instance and its group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// None: the instance is in no group.
    pub(crate) name: Option<&'static str>,
    /// The states that it shows, one a look; the last one stays.
    pub(crate) states: VecDeque<&'static str>,
    pub(crate) hooks: Vec<(&'static str, &'static str)>,
    /// Answers that take the place of the decent one, by action.
    pub(crate) faults: Vec<(&'static str, Reply)>,
}

impl Group {
    pub(crate) fn of(states: &[&'static str]) -> Self {
        let states = states.iter().copied().collect();
        Self { name: Some("web"), states, hooks: HOOKS.to_vec(), faults: Vec::new() }
    }

    pub(crate) fn fault(mut self, action: &'static str, reply: Reply) -> Self {
        self.faults.push((action, reply));
        self
    }

    fn answer(&mut self, seen: &Seen) -> Reply {
        let action = seen.parameter("Action").unwrap_or_default();
        if let Some((_, reply)) = self.faults.iter().find(|(faulty, _)| *faulty == action) {
            return reply.clone();
        }
        let result = match action.as_str() {
            "DescribeAutoScalingInstances" => self.instance(),
            "DescribeLifecycleHooks" => self.hooks(),
            "EnterStandby" | "ExitStandby" => "<Activities/>".to_owned(),
            "CompleteLifecycleAction" | "RecordLifecycleActionHeartbeat" => String::new(),
            _ => return error(400, "InvalidAction", "no such action"),
        };
        Reply::ok(format!(
            "<{action}Response xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\"><{action}Result>{result}\
             </{action}Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
        ))
        .with("Content-Type", "text/xml")
    }

    fn instance(&mut self) -> String {
        let state = if self.states.len() > 1 {
            self.states.pop_front()
        } else {
            self.states.front().copied()
        };
        let (Some(name), Some(state)) = (self.name, state) else {
            return "<AutoScalingInstances/>".to_owned();
        };
        format!(
            "<AutoScalingInstances><member><InstanceId>{ID}</InstanceId><AutoScalingGroupName>{name}\
             </AutoScalingGroupName><AvailabilityZone>eu-central-1a</AvailabilityZone><LifecycleState>{state}\
             </LifecycleState><HealthStatus>HEALTHY</HealthStatus><ProtectedFromScaleIn>false</ProtectedFromScaleIn>\
             </member></AutoScalingInstances>"
        )
    }

    fn hooks(&self) -> String {
        let member = |(name, transition): &(&str, &str)| {
            format!(
                "<member><AutoScalingGroupName>web</AutoScalingGroupName><LifecycleHookName>{name}</LifecycleHookName>\
                 <LifecycleTransition>{transition}</LifecycleTransition><HeartbeatTimeout>300</HeartbeatTimeout>\
                 <GlobalTimeout>30000</GlobalTimeout><DefaultResult>CONTINUE</DefaultResult></member>"
            )
        };
        let members: String = self.hooks.iter().map(member).collect();
        format!("<LifecycleHooks>{members}</LifecycleHooks>")
    }
}

/// IMDS and Auto Scaling for one instance, and the agent's side of them.
pub(crate) struct FakeGroup {
    pub(crate) api: Server,
    pub(crate) cloud: Arc<Cloud>,
    _imds: Server,
}

impl FakeGroup {
    pub(crate) async fn start(group: Group) -> Self {
        let imds =
            Server::start(imds_script(&[("dynamic/instance-identity/document", DOCUMENT)])).await;
        let group = Mutex::new(group);
        let api = Server::start(move |seen| group.lock().unwrap().answer(seen)).await;
        let cloud = Arc::new(cloud(&imds.url(), &api.url()));
        Self { api, cloud, _imds: imds }
    }
}
