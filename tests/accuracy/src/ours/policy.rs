//! The policy that is scored: what an installation decides by that only says `mode = "enforce"`.

use agent_core::policy::Policy;
use agent_core::reading::SourceName;

use crate::scenario::Profile;

/// The default policy as JSON. A test of agentd compares it with the defaults of its configuration.
pub const POLICY: &str = include_str!("../../policy.json");

/// The policy of a profile.
///
/// # Panics
///
/// If the file is no policy.
#[expect(clippy::expect_used, reason = "the file is part of the crate, and tests read it")]
pub fn policy(profile: Profile) -> Policy {
    let mut policy: Policy = serde_json::from_str(POLICY).expect("policy.json is a policy");
    match profile {
        Profile::Research => {}
        Profile::Service => {
            "service".clone_into(&mut policy.profile);
            policy.idle.action = None;
        }
        Profile::Desktop => {
            "desktop".clone_into(&mut policy.profile);
            for (source, limit) in [("cpu", 0.5), ("gpu", 10.0)] {
                if let Some(source) = policy.sources.get_mut(&SourceName::new(source)) {
                    source.busy_above = limit;
                }
            }
        }
    }
    policy
}
