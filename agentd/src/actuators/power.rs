//! Asks EC2 to hibernate or stop this instance.

use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use agent_core::action::{InstanceState, Outcome, Power, Refusal};

use super::{ActuatorSpec, again};
use crate::aws::Cloud;
use crate::aws::http::Gate;

pub(super) const SPEC: ActuatorSpec = ActuatorSpec {
    name: "power",
    about: "hibernates or stops its own instance",
    iam: &["ec2:StopInstances"],
    deadline: Duration::from_secs(45),
};

/// The switch. It knows for which instance preflight was made, and acts for no other.
#[derive(Debug, Default)]
pub(super) struct PowerSwitch {
    checked: Mutex<Option<String>>,
}

impl PowerSwitch {
    /// Preflight was made for this instance.
    pub(super) fn remember(&self, instance_id: Option<&str>) {
        if let Some(id) = instance_id {
            *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
        }
    }

    /// Reads the identity anew and calls `StopInstances` for it, once, if `gate` still lets it through when the request is
    /// about to leave the machine.
    pub(super) async fn throw(&self, cloud: &Cloud, power: Power, gate: Gate) -> Outcome {
        let identity = match cloud.identify().await {
            Ok(identity) => identity,
            Err(error) => return again(error.to_string()),
        };
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(checked) = checked.filter(|id| id != identity.instance_id.as_str()) {
            return Outcome::Refused(Refusal {
                code: "identity-changed".to_owned(),
                detail: format!(
                    "the checks were made for {checked}, and IMDS now says that this is {}",
                    identity.instance_id
                ),
                hibernation_only: false,
            });
        }
        let verb = power.verb();
        match cloud.ec2(&identity).stop_through(power, gate).await {
            Ok(InstanceState::Stopping | InstanceState::Stopped) => {
                Outcome::Done { detail: format!("EC2 accepted to {verb} {}", identity.instance_id) }
            }
            Ok(state) => super::in_doubt(format!(
                "{verb} {}: EC2 answered that it is {state:?}",
                identity.instance_id
            )),
            Err(error) => error.outcome(),
        }
    }
}

#[cfg(test)]
mod tests {
    use agent_core::action::Retry;

    use std::sync::Arc;

    use super::*;
    use crate::aws::testec2::{Fake, ID, World, error};
    use crate::aws::testserver::Reply;

    fn open() -> Gate {
        Arc::new(|| Ok(()))
    }

    async fn throw(fake: &Fake, power: Power) -> Outcome {
        PowerSwitch::default().throw(&fake.cloud, power, open()).await
    }

    #[tokio::test]
    async fn hibernates_itself() {
        let fake = Fake::start(World::default()).await;
        let outcome = throw(&fake, Power::Hibernate).await;
        assert!(matches!(&outcome, Outcome::Done { detail } if detail.contains(ID)), "{outcome:?}");
        let seen = fake.ec2.seen().remove(0);
        assert_eq!(seen.parameter("InstanceId.1").as_deref(), Some(ID));
        assert_eq!(seen.parameter("Hibernate").as_deref(), Some("true"));
    }

    #[tokio::test]
    async fn reads_the_identity_anew_each_time() {
        let fake = Fake::start(World::default()).await;
        let switch = PowerSwitch::default();
        switch.throw(&fake.cloud, Power::Stop, open()).await;
        switch.throw(&fake.cloud, Power::Stop, open()).await;
        assert_eq!(fake.imds.count("GET", "instance-identity/document"), 2);
    }

    #[tokio::test]
    async fn without_an_identity_nothing_is_called() {
        let documents = [("dynamic/instance-identity/document", "<html>")];
        let fake = Fake::start_with(World::default(), &documents).await;
        assert!(matches!(
            throw(&fake, Power::Stop).await,
            Outcome::Failed { retry: Retry::After { .. }, .. }
        ));
        assert_eq!(fake.ec2.seen().len(), 0);
    }

    #[tokio::test]
    async fn another_identity_than_the_checked_one_is_refused() {
        let fake = Fake::start(World::default()).await;
        let switch = PowerSwitch::default();
        switch.remember(Some("i-99999999"));
        switch.remember(None);
        let outcome = switch.throw(&fake.cloud, Power::Stop, open()).await;
        assert!(
            matches!(&outcome, Outcome::Refused(refusal) if refusal.code == "identity-changed"),
            "{outcome:?}"
        );
        assert_eq!(fake.ec2.seen().len(), 0);
    }

    #[tokio::test]
    async fn the_errors_of_ec2_come_through() {
        let fake = Fake::start(World::default().fault("StopInstances", Reply::Drop)).await;
        assert!(matches!(
            throw(&fake, Power::Stop).await,
            Outcome::Failed { retry: Retry::InDoubt, .. }
        ));
        let refusal = error(400, "UnsupportedHibernationConfiguration", "no");
        let fake = Fake::start(World::default().fault("StopInstances", refusal)).await;
        assert!(
            matches!(throw(&fake, Power::Hibernate).await, Outcome::Refused(refusal) if refusal.hibernation_only)
        );
    }

    #[tokio::test]
    async fn an_instance_that_keeps_running_was_not_stopped() {
        let running = format!(
            "<StopInstancesResponse><instancesSet><item><instanceId>{ID}</instanceId><currentState><code>16</code>\
             <name>running</name></currentState></item></instancesSet></StopInstancesResponse>"
        );
        let fake = Fake::start(World::default().fault("StopInstances", Reply::ok(running))).await;
        assert!(matches!(
            throw(&fake, Power::Stop).await,
            Outcome::Failed { retry: Retry::InDoubt, .. }
        ));
    }

    #[tokio::test]
    async fn a_gate_that_is_shut_holds_the_request_back_whatever_was_prepared() {
        let fake = Fake::start(World::default()).await;
        let shut: Gate = Arc::new(|| Err("pts/3 was used".to_owned()));
        let outcome = PowerSwitch::default().throw(&fake.cloud, Power::Stop, shut).await;
        assert_eq!(outcome, Outcome::Withheld { because: "pts/3 was used".to_owned() });
        assert_eq!(fake.ec2.calls("StopInstances"), 0);
        // The next one goes.
        let outcome = throw(&fake, Power::Stop).await;
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
        assert_eq!(fake.ec2.calls("StopInstances"), 1);
    }

    #[tokio::test]
    async fn the_gate_is_asked_once_and_after_everything_that_takes_time() {
        let fake = Fake::start(World::default()).await;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        let gate: Gate = Arc::new(move || {
            noted.lock().unwrap().push(std::time::Instant::now());
            Ok(())
        });
        let begun = std::time::Instant::now();
        PowerSwitch::default().throw(&fake.cloud, Power::Stop, gate).await;
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 1);
        // Identity, credentials, signature and connection come before it, the answer after it.
        println!("{:?} of preparation before the last look", asked[0].duration_since(begun));
        assert!(asked[0] > begun && fake.ec2.calls("StopInstances") == 1);
    }
}
