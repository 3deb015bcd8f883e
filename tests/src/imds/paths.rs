//! What each path of the metadata service tells (EC2 User Guide, "Instance metadata categories").

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::notice::{self, seconds};
use crate::instance::{Instance, State};

/// The access key of the simulated role.
pub(super) const ACCESS_KEY: &str = "ASIASIMULATEDAGENTD0";

/// The text of a path, or none where the service answers 404. `now` is the service's wall clock.
pub fn metadata(instance: &Instance, path: &str, now: Timestamp) -> Option<String> {
    let (version, rest) = path.strip_prefix('/')?.split_once('/').unwrap_or((&path[1..], ""));
    if version.is_empty() {
        return Some("1.0\n2019-10-01\n2020-10-27\n2021-07-15\nlatest".into());
    }
    if !is_version(version) {
        return None;
    }
    if rest.is_empty() {
        return Some("dynamic\nmeta-data".into());
    }
    if let Some(dynamic) = rest.strip_prefix("dynamic/") {
        return (dynamic.trim_end_matches('/') == "instance-identity/document")
            .then(|| identity(instance, now));
    }
    let item = rest.strip_prefix("meta-data/").or((rest == "meta-data").then_some(""))?;
    if since(item).is_some_and(|since| version != "latest" && version < since) {
        return None;
    }
    if let Some(tags) = item.strip_prefix("tags/instance") {
        return tag(instance, tags);
    }
    if let Some(role) = item.strip_prefix("iam/security-credentials") {
        return credentials(instance, role, now);
    }
    if let Some(placement) = item.strip_prefix("placement/") {
        return place(instance, placement);
    }
    notices(instance, item)
        .map(|text| notice::settled(&text, now))
        .or_else(|| plain(instance, item))
}

/// The first dated version that tells an item (EC2 User Guide, "Instance metadata categories").
fn since(item: &str) -> Option<&'static str> {
    match item {
        "instance-life-cycle" => Some("2019-10-01"),
        "events/recommendations/rebalance" => Some("2020-10-27"),
        "autoscaling/target-lifecycle-state" => Some("2021-07-15"),
        _ => None,
    }
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

/// What EC2 and Auto Scaling announce, and the folders that exist only then.
fn notices(instance: &Instance, item: &str) -> Option<String> {
    let Instance { spot_action, rebalance, .. } = instance;
    let termination = || {
        let told = spot_action.as_deref().and_then(notice::termination);
        instance.termination_time.clone().or(told)
    };
    match item {
        "spot" | "spot/" => {
            let action = spot_action.as_ref().map(|_| "instance-action");
            let items: Vec<_> =
                action.into_iter().chain(termination().map(|_| "termination-time")).collect();
            (!items.is_empty()).then(|| items.join("\n"))
        }
        "spot/instance-action" => spot_action.clone(),
        "spot/termination-time" => termination(),
        "events" | "events/" => {
            let recommendations = rebalance.as_ref().map(|_| "recommendations/");
            Some(["maintenance/"].into_iter().chain(recommendations).collect::<Vec<_>>().join("\n"))
        }
        "events/recommendations" | "events/recommendations/" => {
            rebalance.as_ref().map(|_| "rebalance".into())
        }
        "events/recommendations/rebalance" => rebalance.clone(),
        "events/maintenance" | "events/maintenance/" => Some("history\nscheduled".into()),
        "events/maintenance/scheduled" => instance.maintenance.clone(),
        "events/maintenance/history" => instance.maintenance_history.clone(),
        "autoscaling" | "autoscaling/" => {
            instance.target_lifecycle_state.as_ref().map(|_| "target-lifecycle-state".into())
        }
        "autoscaling/target-lifecycle-state" => instance.target_lifecycle_state.clone(),
        _ => None,
    }
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
        "hibernation" | "hibernation/" => "configured".into(),
        "hibernation/configured" => instance.hibernation_configured.to_string(),
        "services" | "services/" => "domain\npartition".into(),
        "services/domain" => "amazonaws.com".into(),
        "services/partition" => "aws".into(),
        _ => return None,
    })
}

fn listing(instance: &Instance) -> String {
    let mut items = vec!["ami-id"];
    if instance.target_lifecycle_state.is_some() {
        items.push("autoscaling/");
    }
    items.extend(["events/", "hibernation/"]);
    if instance.role.is_some() {
        items.push("iam/");
    }
    items.extend(["instance-action", "instance-id", "instance-life-cycle", "instance-type"]);
    items.extend(["local-ipv4", "placement/", "services/"]);
    if notices(instance, "spot").is_some() {
        items.push("spot/");
    }
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
            "/latest/meta-data/spot",
            "/latest/meta-data/spot/termination-time",
            "/latest/meta-data/events/recommendations/rebalance",
            "/latest/meta-data/autoscaling/target-lifecycle-state",
        ];
        for path in paths {
            assert_eq!(ask(&instance, path), None, "{path}");
        }
        instance.spot_action = Some("{}".into());
        assert_eq!(ask(&instance, paths[0]).as_deref(), Some("{}"));
        assert_eq!(ask(&instance, "/latest/meta-data/spot/").as_deref(), Some("instance-action"));
        let scheduled = "/latest/meta-data/events/maintenance/scheduled";
        assert_eq!(ask(&instance, scheduled).as_deref(), Some("[]"));
        instance.maintenance = None;
        assert_eq!(ask(&instance, scheduled), None);
    }

    #[test]
    fn the_termination_time_is_told_for_terminations_and_may_be_anything() {
        let mut instance = Instance::default();
        let path = "/latest/meta-data/spot/termination-time";
        instance.spot_action = Some(notice::spot("stop", Timestamp::UNIX_EPOCH));
        assert_eq!(ask(&instance, path), None);
        instance.spot_action = Some(notice::moving_spot("terminate", 120));
        assert_eq!(ask(&instance, path).as_deref(), Some("1970-01-01T00:02:00Z"));
        instance.termination_time = Some("no time".into());
        assert_eq!(ask(&instance, path).as_deref(), Some("no time"));
    }

    #[test]
    fn items_are_told_by_the_versions_that_have_them() {
        let instance = Instance::in_group("workers", None);
        let target = |version| {
            ask(&instance, &format!("/{version}/meta-data/autoscaling/target-lifecycle-state"))
        };
        assert_eq!(target("latest").as_deref(), Some("InService"));
        assert_eq!(target("2021-07-15").as_deref(), Some("InService"));
        assert_eq!(target("2020-10-27"), None);
        assert_eq!(target("1.0"), None);
        assert!(ask(&instance, "/").unwrap().ends_with("latest"));
        assert!(ask(&instance, "/latest/meta-data/").unwrap().contains("autoscaling/"));
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
