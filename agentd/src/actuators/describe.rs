//! Asks EC2 what it thinks of this instance: its state, and in preflight what it can do.

use core::time::Duration;

use agent_core::action::{InstanceState, Outcome, Retry};

use super::{ActuatorSpec, again};
use crate::aws::Cloud;

pub(super) const SPEC: ActuatorSpec = ActuatorSpec {
    name: "describe",
    about: "asks EC2 for the state of its own instance and for what it can do",
    iam: &[
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceAttribute",
        "ec2:DescribeSpotInstanceRequests",
    ],
    deadline: Duration::from_mins(1),
};

/// The state of this instance.
pub(super) async fn state(cloud: &Cloud) -> Result<InstanceState, Outcome> {
    let identity = cloud.identify().await.map_err(|error| again(error.to_string()))?;
    let described = cloud.ec2(&identity).describe().await;
    described.map(|description| description.state).map_err(|error| match error.outcome() {
        // Looking changes nothing, so a lost answer is not in doubt.
        Outcome::Failed { error, retry: Retry::InDoubt } => again(error),
        outcome => outcome,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::testec2::{Fake, World, error};
    use crate::aws::testserver::Reply;

    #[tokio::test]
    async fn tells_the_state() {
        let expected = [
            ("pending", InstanceState::Pending),
            ("running", InstanceState::Running),
            ("stopping", InstanceState::Stopping),
            ("stopped", InstanceState::Stopped),
            ("shutting-down", InstanceState::ShuttingDown),
            ("terminated", InstanceState::Terminated),
        ];
        let fake = Fake::start(World::default()).await;
        for (name, expected) in expected {
            fake.set(|world| world.state = name);
            assert_eq!(state(&fake.cloud).await, Ok(expected));
        }
        fake.set(|world| world.state = "daydreaming");
        assert!(state(&fake.cloud).await.is_err(), "an unknown state is no state");
    }

    #[tokio::test]
    async fn failures_are_told_with_their_retry() {
        let fake = Fake::start(World::default().fault("DescribeInstances", Reply::Drop)).await;
        let lost = state(&fake.cloud).await.unwrap_err();
        assert!(matches!(lost, Outcome::Failed { retry: Retry::After { .. }, .. }), "{lost:?}");
        fake.set(|world| {
            world.faults = vec![("DescribeInstances", error(403, "UnauthorizedOperation", "no"))];
        });
        assert!(matches!(state(&fake.cloud).await.unwrap_err(), Outcome::Refused(_)));
    }
}
