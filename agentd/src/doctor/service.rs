//! The checks of what AWS provides: metadata service, clock, identity, credentials, permissions, abilities.

use core::time::Duration;
use std::time::SystemTime;

use agent_core::input::Ability;

use super::{Check, Examination};
use crate::aws::credentials::RoleError;
use crate::aws::ec2::{Description, Ec2, Permission};
use crate::aws::errors::CallError;
use crate::aws::identity::Identity;
use crate::aws::preflight::{Findings, Preflight, group, judge, look};

/// A clock that is wrong by more is told; the metadata service's `Date` has whole seconds.
const SKEW_SEEN: Duration = Duration::from_secs(5);
/// EC2 refuses requests that are signed with a time more than five minutes off. (AWS Signature Version 4.)
const SKEW_REFUSED: Duration = Duration::from_mins(4);

/// Every check of the AWS side, in the order in which they depend on each other.
pub(super) async fn checks(examination: &Examination) -> Vec<Check> {
    let cloud = &examination.cloud;
    let mut checks = metadata(examination).await;
    let identity = cloud.identify().await;
    checks.push(match &identity {
        Ok(identity) => Check::pass("identity", describe(identity)),
        Err(error) => Check::fail(
            "identity",
            format!("failed to {error}"),
            "without its identity the agent never acts; see the check of imds",
        ),
    });
    checks.push(credentials(examination).await);
    match identity {
        Ok(identity) => {
            checks.push(region(examination, &identity));
            checks.extend(ec2(examination, identity).await);
        }
        Err(_) => checks.push(Check::skipped("ec2", "the identity is unknown")),
    }
    checks
}

/// The metadata service and, by its `Date` header, the clock.
async fn metadata(examination: &Examination) -> Vec<Check> {
    let imds = examination.cloud.imds();
    let asked = imds.ask("dynamic/instance-identity/document").await;
    let now_ms = (examination.clock)().wall_ms;
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => {
            let remedy =
                "enable the instance's metadata endpoint (IMDSv2) and let nothing stand between";
            return vec![
                Check::fail("imds", format!("failed to {error}"), remedy),
                Check::skipped("clock", "the metadata service tells no time"),
            ];
        }
    };
    let date_ms = answer.and_then(|answer| answer.date_ms);
    vec![
        Check::pass("imds", format!("{} answers with session tokens (IMDSv2)", imds.endpoint())),
        date_ms.map_or_else(
            || Check::skipped("clock", "the metadata service tells no time"),
            |date_ms| clock(now_ms, date_ms),
        ),
    ]
}

fn clock(now_ms: i64, date_ms: i64) -> Check {
    let skew = Duration::from_millis(now_ms.abs_diff(date_ms));
    let direction = if now_ms > date_ms { "ahead of" } else { "behind" };
    let detail = format!("{} s {direction} the metadata service", skew.as_secs());
    let remedy = "set the clock: run chrony or systemd-timesyncd with the server 169.254.169.123";
    if skew > SKEW_REFUSED {
        Check::fail("clock", format!("{detail}; EC2 refuses requests with such a time"), remedy)
    } else if skew > SKEW_SEEN {
        Check::warn("clock", detail, remedy)
    } else {
        Check::pass("clock", "agrees with the metadata service")
    }
}

fn describe(identity: &Identity) -> String {
    let kind = identity.instance_type.as_deref().unwrap_or("unknown type");
    let zone = identity.availability_zone.as_deref().unwrap_or(identity.region.as_str());
    format!("{} ({kind}) in {zone}", identity.instance_id)
}

fn region(examination: &Examination, identity: &Identity) -> Check {
    match &examination.cloud.settings().ec2.region {
        Some(set) if *set != identity.region => Check::warn(
            "region",
            format!("AWS_REGION is {set}, and the instance runs in {}", identity.region),
            "remove AWS_REGION from the agent's environment",
        ),
        _ => Check::pass("region", identity.region.to_string()),
    }
}

/// Whether there are credentials. Nothing of them is shown.
async fn credentials(examination: &Examination) -> Check {
    let source = examination.cloud.credentials();
    match source.load().await {
        Ok(credentials) => {
            let left = credentials
                .expiry()
                .map(|at| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
            let until = left.and_then(|at| i64::try_from(at.as_millis()).ok());
            let until =
                until.map(|ms| format!(", valid until {}", crate::actuators::text::rfc3339(ms)));
            Check::pass(
                "credentials",
                format!("from the {}{}", source.name(), until.unwrap_or_default()),
            )
        }
        Err(RoleError::NoRole) => Check::fail(
            "credentials",
            "the instance has no IAM role",
            "attach an instance profile whose role has the agent's policy",
        ),
        Err(error) => Check::fail(
            "credentials",
            format!("failed to {error}"),
            "check the instance profile and the trust policy of its role",
        ),
    }
}

async fn ec2(examination: &Examination, identity: Identity) -> Vec<Check> {
    let client = examination.cloud.ec2_on_request(&identity);
    let findings = look(examination.cloud.imds(), &client, identity).await;
    let unreachable =
        findings.description.as_ref().err().filter(|error| !matches!(error, CallError::Api { .. }));
    if let Some(error) = unreachable {
        let remedy = "the instance needs a way to the EC2 API: an internet or NAT gateway, or a VPC endpoint for ec2";
        let failed = match error {
            CallError::Budget { room_in, .. } => {
                let why = format!("asked too often; again in {} s", room_in.as_secs());
                Check::skipped("ec2", why)
            }
            _ => Check::fail("ec2", format!("failed to {error}"), remedy),
        };
        return vec![failed];
    }
    let mut checks = vec![Check::pass("ec2", "answers")];
    checks.extend(permissions(&findings, &client, &examination.needs.tag_keys).await);
    checks.extend(findings.description.as_ref().ok().and_then(hop_limit));
    checks.extend(abilities(
        &judge(&findings, examination.needs.standby),
        examination.needs.hibernation,
    ));
    if group(&findings).is_some() {
        checks.push(auto_scaling(examination, &findings.identity).await);
    }
    checks
}

/// Whether the drain of a member can tell its group that it is over. Auto Scaling has no dry runs, so the permission to
/// look is all that can be tried.
pub(super) async fn auto_scaling(examination: &Examination, identity: &Identity) -> Check {
    let client = examination.cloud.auto_scaling_on_request(identity);
    let found = match client.group().await {
        Ok(Some(name)) => client.terminating_hooks(&name).await.map(|hooks| Some((name, hooks))),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    match found {
        Ok(Some((name, hooks))) if hooks.is_empty() => Check::pass(
            "autoscaling",
            format!("{name} has no terminating lifecycle hook: there is nothing to complete"),
        ),
        Ok(Some((name, hooks))) => {
            let names: Vec<&str> = hooks.iter().map(|hook| hook.name.as_str()).collect();
            let hooks = names.join(", ");
            Check::pass(
                "autoscaling",
                format!(
                    "{name} waits at its termination for: {hooks}; the permission to complete them cannot be tried"
                ),
            )
        }
        Ok(None) => Check::skipped("autoscaling", "the instance has left its group"),
        Err(error) if error.is_unauthorized() => Check::warn(
            "autoscaling",
            format!("the instance's role lacks a permission: {error}"),
            "if drains are to complete lifecycle actions, add the policy \
             /usr/share/doc/agentd/examples/iam/autoscaling.json to the role, and its tag to the group",
        ),
        Err(CallError::Budget { room_in, .. }) => Check::skipped(
            "autoscaling",
            format!("asked too often; again in {} s", room_in.as_secs()),
        ),
        Err(error) => Check::warn("autoscaling", format!("failed to {error}"), "ask again later"),
    }
}

/// One check a permission. The one to stop was probed by preflight.
async fn permissions(findings: &Findings, client: &Ec2, tag_keys: &[String]) -> Vec<Check> {
    let mut checks = Vec::new();
    for permission in Permission::ALL {
        let probed = match permission {
            Permission::StopInstances => findings.permission.clone(),
            Permission::CreateTags if tag_keys.is_empty() => {
                checks.push(Check::skipped("ec2:CreateTags", "tags are switched off"));
                continue;
            }
            other => client.dry_run(other, tag_keys).await,
        };
        checks.push(permission_check(permission, probed));
    }
    checks
}

fn permission_check(permission: Permission, probed: Result<(), CallError>) -> Check {
    let name = format!("ec2:{}", permission.action());
    match probed {
        Ok(()) => Check::pass(name, "permitted"),
        Err(error) if error.is_unauthorized() => {
            let remedy = format!(
                "add {name} to the policy of the instance's role; the policy that the agent needs is \
                 /usr/share/doc/agentd/examples/iam/idle.json"
            );
            Check::fail(name, "the instance's role lacks this permission", remedy)
        }
        Err(CallError::Budget { room_in, .. }) => {
            Check::skipped(name, format!("asked too often; again in {} s", room_in.as_secs()))
        }
        Err(error) => Check::warn(name, format!("failed to {error}"), "ask again later"),
    }
}

/// With a hop limit above one, containers can reach the metadata service and with it the credentials of the role.
fn hop_limit(description: &Description) -> Option<Check> {
    let limit = description.hop_limit?;
    Some(if limit > 1 {
        Check::warn(
            "imds-hop-limit",
            format!("{limit}: containers on this machine can use the instance's role"),
            "set HttpPutResponseHopLimit to 1, unless containers need the metadata service",
        )
    } else {
        Check::pass("imds-hop-limit", limit.to_string())
    })
}

fn abilities(preflight: &Preflight, wants_hibernation: bool) -> Vec<Check> {
    let unknown = || preflight.unknown.join("; ");
    let check = |name: &str, ability: &Ability, wanted: bool| match ability {
        Ability::Can => Check::pass(name, "possible"),
        Ability::Cannot(refusal) if wanted => Check::fail(
            name,
            refusal.detail.clone(),
            format!("while this is so ({}) the agent does not {name}", refusal.code),
        ),
        Ability::Cannot(refusal) => Check::skipped(name, refusal.detail.clone()),
        Ability::Unknown => Check::warn(name, unknown(), "the agent asks again by itself"),
    };
    vec![
        check("hibernate", &preflight.abilities.hibernate, wants_hibernation),
        check("stop", &preflight.abilities.stop, true),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn a_wrong_clock_is_told_and_a_very_wrong_one_fails() {
        assert_eq!(clock(1_000_000, 1_004_000).status, Status::Pass);
        let behind = clock(1_000_000, 1_060_000);
        assert_eq!(
            (behind.status, behind.detail.as_str()),
            (Status::Warn, "60 s behind the metadata service")
        );
        let ahead = clock(2_000_000, 1_000_000);
        assert_eq!(ahead.status, Status::Fail);
        assert!(ahead.detail.contains("1000 s ahead of") && ahead.remedy.is_some());
        assert_eq!(clock(i64::MIN, i64::MAX).status, Status::Fail);
    }
}
