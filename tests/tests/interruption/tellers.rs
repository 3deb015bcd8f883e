//! Everybody who is to be told is told: a webhook, a topic, a program.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_tests::instance::Instance;
use agent_tests::server::{Answer, Server, Service};
use agent_tests::wire::{Reply, Request};
use serde_json::{Value, json};

use crate::rig::{Done, Scene, script};

/// A webhook that keeps what it is sent.
#[derive(Default)]
struct Inbox(Mutex<Vec<Request>>);

impl Inbox {
    fn all(&self) -> Vec<Request> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Service for Inbox {
    fn answer(&self, request: &Request) -> Answer {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        Reply::text(200, "thanks").into()
    }
}

#[test]
fn a_webhook_a_topic_and_a_program_are_sent_the_same_document_once_a_moment() -> Done {
    let instance = Instance::on_spot("persistent");
    let (id, region, account) =
        (instance.id.clone(), instance.region.clone(), instance.account.clone());
    let mut scene = Scene::new(instance, &["save"], "")?;
    let inbox = Arc::new(Inbox::default());
    let service: Arc<dyn Service> = Arc::<Inbox>::clone(&inbox);
    let server = Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), service)?;
    let notes = scene.folder().join("told");
    let program =
        script(scene.folder(), "tell", &format!("cat >> '{0}'\necho >> '{0}'", notes.display()))?;
    let hook = scene.folder().join("save");
    scene.agent.configure(&format!(
        "mode = \"enforce\"\n[idle]\nenabled = false\n[interruption]\nhooks = [{hook:?}]\n[notify]\nwebhook = \
         \"http://{}/hook\"\nsns_topic = \"arn:aws:sns:{region}:{account}:ops\"\ncommand = {program:?}\n",
        server.addr()
    ))?;
    scene.settle()?;
    scene.step("spot stop in 120s")?;
    scene.wait_for_runs(1)?;
    scene.agent.wait_until("two documents everywhere", || {
        let told = std::fs::read_to_string(&notes).unwrap_or_default();
        let told = told.lines().filter(|line| !line.is_empty()).count();
        let published = scene.agent.world.ec2.log().carried_out("Publish").len();
        (inbox.all().len() >= 2 && published >= 2 && told >= 2).then_some(())
    })?;
    scene.agent.stays("two documents", Duration::from_secs(4), |_| inbox.all().len() == 2)?;
    let mut moments = Vec::new();
    for request in inbox.all() {
        assert_eq!(request.method, "POST");
        let document: Value = serde_json::from_slice(&request.body)?;
        assert_eq!(document["schema"], "agentd/notification/v1", "{document:#}");
        assert_eq!(document["instance_id"], id.as_str(), "{document:#}");
        assert_eq!(document["event"], "spot-interruption", "{document:#}");
        assert_eq!((&document["action"], &document["drill"]), (&json!("stop"), &json!(false)));
        moments.extend(document["moment"].as_str().map(str::to_owned));
    }
    moments.sort();
    assert_eq!(moments, ["drained", "noticed"]);
    let log = scene.agent.world.ec2.log();
    for call in log.carried_out("Publish") {
        let message = call.parameter("Message").unwrap_or_default();
        assert!(message.contains("spot-interruption"), "{message}");
    }
    scene.assert_tokens();
    Ok(())
}
