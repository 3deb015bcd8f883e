//! What each path of the metadata service tells (EC2 User Guide, "Instance metadata categories").

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::instance::{Instance, State};

/// The access key of the simulated role.
pub(super) const ACCESS_KEY: &str = "ASIASIMULATEDAGENTD0";

/// The text of a path, or none where the service answers 404. `now` is the service's wall clock.
pub fn metadata(instance: &Instance, path: &str, now: Timestamp) -> Option<String> {
    let (version, rest) = path.strip_prefix('/')?.split_once('/')?;
    if !is_version(version) {
        return None;
    }
    if let Some(dynamic) = rest.strip_prefix("dynamic/") {
        return (dynamic.trim_end_matches('/') == "instance-identity/document")
            .then(|| identity(instance, now));
    }
    let item = rest.strip_prefix("meta-data/").or((rest == "meta-data").then_some(""))?;
    if let Some(tags) = item.strip_prefix("tags/instance") {
        return tag(instance, tags);
    }
    if let Some(role) = item.strip_prefix("iam/security-credentials") {
        return credentials(instance, role, now);
    }
    if let Some(placement) = item.strip_prefix("placement/") {
        return place(instance, placement);
    }
    plain(instance, item)
}

/// `latest`, or a date as in `2021-07-15`.
fn is_version(word: &str) -> bool {
    let dated = |word: &str| {
        let digits =
            |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<_> = word.split('-').collect();
        matches!(parts.as_slice(), [y, m, d] if digits(y, 4) && digits(m, 2) && digits(d, 2))
    };
    word == "latest" || word == "1.0" || dated(word)
}

fn plain(instance: &Instance, item: &str) -> Option<String> {
    Some(match item {
        "" => listing(instance),
        "ami-id" => instance.image.clone(),
        "instance-id" => instance.id.clone(),
        "instance-type" => instance.instance_type.clone(),
        "instance-life-cycle" => instance.life_cycle.clone(),
        "instance-action" => match instance.state {
            State::Stopping | State::ShuttingDown => "shutdown".into(),
            _ => "none".into(),
        },
        "local-ipv4" => instance.private_ip.clone(),
        "hibernation/configured" => instance.hibernation_configured.to_string(),
        "services/domain" => "amazonaws.com".into(),
        "services/partition" => "aws".into(),
        "autoscaling/target-lifecycle-state" => instance.target_lifecycle_state.clone()?,
        "spot/instance-action" => instance.spot_action.clone()?,
        "events/recommendations/rebalance" => instance.rebalance.clone()?,
        "events/maintenance/scheduled" => instance.maintenance.clone()?,
        _ => return None,
    })
}

fn listing(instance: &Instance) -> String {
    let mut items = vec!["ami-id", "hibernation/"];
    if instance.role.is_some() {
        items.push("iam/");
    }
    items.extend(["instance-action", "instance-id", "instance-life-cycle", "instance-type"]);
    items.extend(["local-ipv4", "placement/", "services/"]);
    if instance.tags_in_metadata {
        items.push("tags/");
    }
    items.join("\n")
}

fn place(instance: &Instance, item: &str) -> Option<String> {
    match item {
        "" => Some("availability-zone\nregion".into()),
        "availability-zone" => Some(instance.availability_zone()),
        "region" => Some(instance.region.clone()),
        _ => None,
    }
}

/// The signed document without its signature. `pendingTime` is an hour ago, like that of a machine in use.
fn identity(instance: &Instance, now: Timestamp) -> String {
    let launched = now.saturating_sub(SignedDuration::from_hours(1)).unwrap_or(now);
    let document = json!({
        "accountId": instance.account,
        "architecture": "x86_64",
        "availabilityZone": instance.availability_zone(),
        "billingProducts": null,
        "devpayProductCodes": null,
        "imageId": instance.image,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": null,
        "marketplaceProductCodes": null,
        "pendingTime": seconds(launched),
        "privateIp": instance.private_ip,
        "ramdiskId": null,
        "region": instance.region,
        "version": "2017-09-30",
    });
    format!("{document:#}")
}

fn tag(instance: &Instance, rest: &str) -> Option<String> {
    if !instance.tags_in_metadata {
        return None;
    }
    let tags = instance.all_tags();
    match rest.strip_prefix('/').unwrap_or_default() {
        "" => Some(tags.into_keys().collect::<Vec<_>>().join("\n")),
        key => tags.get(key).cloned(),
    }
}

fn credentials(instance: &Instance, rest: &str, now: Timestamp) -> Option<String> {
    let role = instance.role.as_deref()?;
    match rest.strip_prefix('/').unwrap_or_default() {
        "" => Some(role.to_owned()),
        asked if asked == role => {
            let ends = now.saturating_add(SignedDuration::from_hours(6)).unwrap_or(now);
            let keys = json!({
                "Code": "Success",
                "LastUpdated": seconds(now),
                "Type": "AWS-HMAC",
                "AccessKeyId": ACCESS_KEY,
                "SecretAccessKey": "simulated/secret/key/of/the/test/world",
                "Token": "c2ltdWxhdGVkIHNlc3Npb24gdG9rZW4=",
                "Expiration": seconds(ends),
            });
            Some(format!("{keys:#}"))
        }
        _ => None,
    }
}

/// RFC 3339 in whole seconds.
fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn ask(instance: &Instance, path: &str) -> Option<String> {
        metadata(instance, path, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn plain_items_are_told_under_latest_and_under_dates_only() {
        let instance = Instance::default();
        for version in ["latest", "2021-07-15", "1.0"] {
            let path = format!("/{version}/meta-data/instance-id");
            assert_eq!(ask(&instance, &path).as_deref(), Some("i-0a1b2c3d4e5f60718"));
        }
        assert_eq!(ask(&instance, "/newest/meta-data/instance-id"), None);
        assert_eq!(ask(&instance, "/2021-7-15/meta-data/instance-id"), None);
        assert_eq!(ask(&instance, "/latest/meta-data/placement/region").unwrap(), "eu-central-1");
        assert_eq!(ask(&instance, "/latest/meta-data/hibernation/configured").unwrap(), "true");
    }

    #[test]
    fn notices_are_absent_until_they_are_given() {
        let mut instance = Instance::default();
        let paths = [
            "/latest/meta-data/spot/instance-action",
            "/latest/meta-data/events/recommendations/rebalance",
            "/latest/meta-data/events/maintenance/scheduled",
            "/latest/meta-data/autoscaling/target-lifecycle-state",
        ];
        for path in paths {
            assert_eq!(ask(&instance, path), None, "{path}");
        }
        instance.spot_action = Some("{}".into());
        assert_eq!(ask(&instance, paths[0]).as_deref(), Some("{}"));
    }

    #[test]
    fn the_identity_document_is_json_with_the_instances_names() {
        let text = ask(&Instance::default(), "/latest/dynamic/instance-identity/document").unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["instanceId"], "i-0a1b2c3d4e5f60718");
        assert_eq!(document["availabilityZone"], "eu-central-1a");
    }

    #[test]
    fn tags_are_told_only_where_enabled() {
        let mut instance = Instance { auto_scaling_group: Some("g".into()), ..Instance::default() };
        let list = ask(&instance, "/latest/meta-data/tags/instance").unwrap();
        assert_eq!(list, "Name\naws:autoscaling:groupName");
        assert_eq!(ask(&instance, "/latest/meta-data/tags/instance/Name").unwrap(), "research-01");
        assert_eq!(ask(&instance, "/latest/meta-data/tags/instance/other"), None);
        instance.tags_in_metadata = false;
        assert_eq!(ask(&instance, "/latest/meta-data/tags/instance"), None);
    }

    #[test]
    fn credentials_are_told_for_the_role_alone() {
        let instance = Instance::default();
        assert_eq!(
            ask(&instance, "/latest/meta-data/iam/security-credentials/").unwrap(),
            "agentd"
        );
        let keys = ask(&instance, "/latest/meta-data/iam/security-credentials/agentd").unwrap();
        let keys: Value = serde_json::from_str(&keys).unwrap();
        assert_eq!(keys["AccessKeyId"], ACCESS_KEY);
        assert_eq!(keys["Expiration"], "1970-01-01T06:00:00Z");
        assert_eq!(ask(&instance, "/latest/meta-data/iam/security-credentials/root"), None);
        let bare = Instance { role: None, ..instance };
        assert_eq!(ask(&bare, "/latest/meta-data/iam/security-credentials/"), None);
    }
}
