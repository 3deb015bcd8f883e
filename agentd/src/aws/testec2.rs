//! Answers of the EC2 API, for tests: XML as the service writes it.

use std::sync::{Arc, Mutex};

use super::testserver::{Reply, Seen, Server, imds_script};
use super::{Cloud, CloudSettings};
use crate::aws::imds::boot_clock;

pub(crate) const ID: &str = "i-0123456789abcdef0";
pub(crate) const DOCUMENT: &str =
    r#"{"instanceId":"i-0123456789abcdef0","region":"eu-central-1","accountId":"123456789012"}"#;

/// An error answer.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::status(
        status,
        format!(
            "<?xml version=\"1.0\"?><Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>\
             </Errors><RequestID>00000000-0000-0000-0000-000000000000</RequestID></Response>"
        ),
    )
}

/// One instance, as the fake EC2 knows it.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) state: &'static str,
    pub(crate) hibernation: bool,
    pub(crate) spot: Option<(&'static str, &'static str)>,
    pub(crate) tags: Vec<(&'static str, &'static str)>,
    pub(crate) stop_protection: bool,
    pub(crate) shutdown: &'static str,
    /// Answers that take the place of the decent one, by action.
    pub(crate) faults: Vec<(&'static str, Reply)>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            state: "running",
            hibernation: true,
            spot: None,
            tags: vec![("Name", "research &amp; more")],
            stop_protection: false,
            shutdown: "stop",
            faults: Vec::new(),
        }
    }
}

fn answer(action: &str, inner: &str) -> Reply {
    Reply::ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>00000000-0000-0000-0000-000000000000</requestId>{inner}</{action}Response>"
    ))
    .with("Content-Type", "text/xml;charset=UTF-8")
}

impl World {
    pub(crate) fn fault(mut self, action: &'static str, reply: Reply) -> Self {
        self.faults.push((action, reply));
        self
    }

    fn answer(&self, seen: &Seen) -> Reply {
        let action = seen.parameter("Action").unwrap_or_default();
        if let Some((_, reply)) = self.faults.iter().find(|(faulty, _)| *faulty == action) {
            return reply.clone();
        }
        if seen.parameter("DryRun").as_deref() == Some("true") {
            return error(
                412,
                "DryRunOperation",
                "Request would have succeeded, but DryRun flag is set.",
            );
        }
        match action.as_str() {
            "StopInstances" => answer(&action, &self.stopping()),
            "CreateTags" => answer(&action, "<return>true</return>"),
            "DescribeInstances" => answer(&action, &self.instance()),
            "DescribeInstanceAttribute" => answer(&action, &self.attribute(seen)),
            "DescribeSpotInstanceRequests" => answer(&action, &self.spot_request()),
            _ => error(400, "InvalidAction", "no such action"),
        }
    }

    fn stopping(&self) -> String {
        format!(
            "<instancesSet><item><instanceId>{ID}</instanceId><currentState><code>64</code><name>stopping</name>\
             </currentState><previousState><code>16</code><name>{}</name></previousState></item></instancesSet>",
            self.state
        )
    }

    fn instance(&self) -> String {
        let item = |(key, value): &(&str, &str)| {
            format!("<item><key>{key}</key><value>{value}</value></item>")
        };
        let tags: String = self.tags.iter().map(item).collect();
        let spot = self.spot.map_or("", |_| {
            "<instanceLifecycle>spot</instanceLifecycle><spotInstanceRequestId>sir-1</spotInstanceRequestId>"
        });
        format!(
            "<reservationSet><item><reservationId>r-1</reservationId><instancesSet><item><instanceId>{ID}</instanceId>\
             <instanceState><code>16</code><name>{}</name></instanceState><rootDeviceType>ebs</rootDeviceType>{spot}\
             <hibernationOptions><configured>{}</configured></hibernationOptions><tagSet>{tags}</tagSet>\
             <metadataOptions><state>applied</state><httpTokens>required</httpTokens>\
             <httpPutResponseHopLimit>1</httpPutResponseHopLimit></metadataOptions>\
             </item></instancesSet></item></reservationSet>",
            self.state, self.hibernation
        )
    }

    fn attribute(&self, seen: &Seen) -> String {
        match seen.parameter("Attribute").as_deref() {
            Some("disableApiStop") => {
                format!("<disableApiStop><value>{}</value></disableApiStop>", self.stop_protection)
            }
            _ => format!(
                "<instanceInitiatedShutdownBehavior><value>{}</value></instanceInitiatedShutdownBehavior>",
                self.shutdown
            ),
        }
    }

    fn spot_request(&self) -> String {
        let (kind, state) = self.spot.unwrap_or(("one-time", "active"));
        format!(
            "<spotInstanceRequestSet><item><spotInstanceRequestId>sir-1</spotInstanceRequestId><type>{kind}</type>\
             <state>{state}</state><instanceId>{ID}</instanceId></item></spotInstanceRequestSet>"
        )
    }
}

/// IMDS and EC2 for one instance, and the agent's side of them.
pub(crate) struct Fake {
    pub(crate) imds: Server,
    pub(crate) ec2: Server,
    pub(crate) cloud: Arc<Cloud>,
    world: Arc<Mutex<World>>,
}

impl Fake {
    pub(crate) async fn start(world: World) -> Self {
        Self::start_with(world, &[]).await
    }

    /// With further metadata documents; one with the path of the identity document replaces it.
    pub(crate) async fn start_with(world: World, documents: &[(&str, &str)]) -> Self {
        let mut all = vec![
            ("dynamic/instance-identity/document", DOCUMENT),
            ("meta-data/instance-life-cycle", "on-demand"),
        ];
        all.extend_from_slice(documents);
        let imds = Server::start(imds_script(&all)).await;
        let world = Arc::new(Mutex::new(world));
        let shared = world.clone();
        let ec2 = Server::start(move |seen| shared.lock().unwrap().answer(seen)).await;
        let cloud = Arc::new(cloud(&imds.url(), &ec2.url()));
        Self { imds, ec2, cloud, world }
    }

    /// Changes the world.
    pub(crate) fn set(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world.lock().unwrap());
    }
}

/// The agent's side of two addresses, with static credentials and short deadlines.
pub(crate) fn cloud(imds: &str, ec2: &str) -> Cloud {
    cloud_of(imds, ec2, None)
}

/// The same without EC2 and with SNS.
pub(crate) fn cloud_with_sns(imds: &str, sns: &str) -> Cloud {
    cloud_of(imds, imds, Some(sns))
}

fn cloud_of(imds: &str, ec2: &str, sns: Option<&str>) -> Cloud {
    let variable = |name: &str| {
        let value = match name {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT" => imds,
            "AWS_ENDPOINT_URL_EC2" | "AWS_ENDPOINT_URL_AUTO_SCALING" => ec2,
            "AWS_ENDPOINT_URL_SNS" => sns?,
            "AWS_ACCESS_KEY_ID" => "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY" => "hush",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let mut settings = CloudSettings::from_env(variable).unwrap();
    settings.imds_limits.pauses = [core::time::Duration::from_millis(1); 2];
    settings.imds_limits.request = core::time::Duration::from_millis(400);
    settings.transport.request = core::time::Duration::from_millis(400);
    Cloud::new(settings, variable, boot_clock()).unwrap()
}
