//! Who this instance is, and in what circumstances it runs, as the metadata service tells it.
//!
//! Every value is validated before it is used in a request or shown. What cannot be read stays unknown: there is no
//! default identity, and an instance whose life cycle is unknown is treated as a spot instance.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::imds::{Imds, ImdsError};

const DOCUMENT: &str = "dynamic/instance-identity/document";
const LIFE_CYCLE: &str = "meta-data/instance-life-cycle";

/// Why the identity is unknown. The messages fit after "failed to".
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum IdentityError {
    /// The metadata service could not be read.
    #[error(transparent)]
    Imds(#[from] ImdsError),
    /// It has no such thing.
    #[error("find {0} in IMDS: there is none, so this is not an EC2 instance")]
    Missing(&'static str),
    /// It says something that cannot be.
    #[error("accept {what} from IMDS: {value:?} is not one")]
    Invalid {
        /// What it was to be.
        what: &'static str,
        /// The start of what it was.
        value: String,
    },
}

impl IdentityError {
    fn invalid(what: &'static str, value: &str) -> Self {
        Self::Invalid { what, value: value.chars().take(60).collect() }
    }
}

/// An instance id: `i-` and 8 to 17 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct InstanceId(String);

impl InstanceId {
    /// Validates an instance id.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let digits = text.strip_prefix("i-").unwrap_or_default();
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if (8..=17).contains(&digits.len()) && digits.bytes().all(lower_hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdentityError::invalid("an instance id", text))
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A Region's code: `eu-central-1`, `us-gov-west-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Region(String);

impl Region {
    /// Validates a Region code. It becomes part of a host name, so its syntax is checked strictly.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let parts: Vec<&str> = text.split('-').collect();
        let word =
            |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
        let number =
            |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        match parts.split_last() {
            Some((last, words))
                if number(last)
                    && words.len() >= 2
                    && words.iter().all(word)
                    && text.len() <= 32 =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(IdentityError::invalid("a Region", text)),
        }
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who this instance is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Its id.
    pub instance_id: InstanceId,
    /// Where it runs.
    pub region: Region,
    /// Where in the Region.
    pub availability_zone: Option<String>,
    /// Its type, `m7i.large`.
    pub instance_type: Option<String>,
    /// The account, twelve digits.
    pub account_id: Option<String>,
    /// When it was launched or last started, milliseconds since 1970.
    pub pending_ms: Option<i64>,
}

/// How the instance is paid for. (`meta-data/instance-life-cycle`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LifeCycle {
    /// `on-demand`.
    OnDemand,
    /// `spot`.
    Spot,
    /// `scheduled`, `capacity-block`: neither spot nor ordinary.
    Other,
    /// Could not be read.
    Unknown,
}

impl LifeCycle {
    /// The word for people and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::Spot => "spot",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }

    /// Reads what IMDS says; anything that is not documented is unknown.
    fn read(text: &str) -> Self {
        match text {
            "on-demand" => Self::OnDemand,
            "spot" => Self::Spot,
            "scheduled" | "capacity-block" => Self::Other,
            _ => Self::Unknown,
        }
    }

    /// Whether EC2 may interrupt it. Unknown counts as yes.
    pub const fn may_be_spot(self) -> bool {
        matches!(self, Self::Spot | Self::Unknown)
    }
}

/// Whether an Auto Scaling group owns the instance.
/// (`meta-data/autoscaling/target-lifecycle-state`.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutoScaling {
    /// It never was a member, or was detached.
    NotMember,
    /// It is, with this target state.
    Member(String),
    /// Could not be read.
    Unknown,
}

/// In what circumstances the instance runs. What could not be read is unknown and named in `unread`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Circumstances {
    /// How it is paid for.
    pub life_cycle: LifeCycle,
    /// Whether it was launched with hibernation configured; none when unknown.
    pub hibernation_configured: Option<bool>,
    /// Auto Scaling.
    pub auto_scaling: AutoScaling,
    /// The keys of its tags, when the metadata service may show them (`InstanceMetadataTags`).
    pub tag_keys: Option<Vec<String>>,
    /// What could not be read and why, one line each.
    pub unread: Vec<String>,
}

/// Reads who this instance is: from the identity document, or from the two paths that carry the same where there is
/// no document.
pub async fn identify(imds: &Imds) -> Result<Identity, IdentityError> {
    if let Some(text) = imds.get(DOCUMENT).await? {
        return read_document(&text);
    }
    let id = imds.get("meta-data/instance-id").await?;
    let region = imds.get("meta-data/placement/region").await?;
    let document = Document {
        instance_id: id.ok_or(IdentityError::Missing("the instance id"))?,
        region: region.ok_or(IdentityError::Missing("the Region"))?,
        availability_zone: imds.get("meta-data/placement/availability-zone").await?,
        instance_type: imds.get("meta-data/instance-type").await?,
        account_id: None,
        pending_time: None,
    };
    document.validate()
}

/// The fields of the instance identity document that are used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    instance_id: String,
    region: String,
    availability_zone: Option<String>,
    instance_type: Option<String>,
    account_id: Option<String>,
    pending_time: Option<String>,
}

fn read_document(text: &str) -> Result<Identity, IdentityError> {
    let document: Document = serde_json::from_str(text)
        .map_err(|_| IdentityError::invalid("an instance identity document", text))?;
    document.validate()
}

impl Document {
    fn validate(self) -> Result<Identity, IdentityError> {
        let is_account =
            |text: &String| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        let pending = self.pending_time.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        Ok(Identity {
            instance_id: InstanceId::parse(&self.instance_id)?,
            region: Region::parse(&self.region)?,
            availability_zone: self.availability_zone.filter(is_plain_name),
            instance_type: self.instance_type.filter(is_plain_name),
            account_id: self.account_id.filter(is_account),
            pending_ms: pending.map(jiff::Timestamp::as_millisecond),
        })
    }
}

#[expect(clippy::ptr_arg, reason = "it filters Option<String>")]
fn is_plain_name(text: &String) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
    };
    (1..=40).contains(&text.len()) && text.bytes().all(plain)
}

/// Reads how the instance is paid for, once and within this limit. What cannot be read is unknown.
pub async fn life_cycle(imds: &Imds, limit: Duration) -> LifeCycle {
    let answer = imds.try_within(LIFE_CYCLE, limit).await.ok().flatten();
    answer.map_or(LifeCycle::Unknown, |answer| LifeCycle::read(&answer.text))
}

/// Reads the circumstances. It never fails: what cannot be read is unknown.
pub async fn circumstances(imds: &Imds) -> Circumstances {
    let mut unread = Vec::new();
    let life_cycle = look(imds, LIFE_CYCLE, &mut unread).await.flatten();
    let life_cycle = life_cycle.map_or(LifeCycle::Unknown, |text| LifeCycle::read(&text));
    let hibernation_configured =
        match look(imds, "meta-data/hibernation/configured", &mut unread).await {
            Some(Some(text)) => text.parse().ok(),
            // The path exists only where hibernation was asked for; EC2 itself is asked before anything depends on it.
            Some(None) | None => None,
        };
    let auto_scaling =
        match look(imds, "meta-data/autoscaling/target-lifecycle-state", &mut unread).await {
            Some(None) => AutoScaling::NotMember,
            Some(Some(state)) if state == "Detached" => AutoScaling::NotMember,
            Some(Some(state)) => {
                AutoScaling::Member(state.chars().filter(|c| !c.is_control()).take(40).collect())
            }
            None => AutoScaling::Unknown,
        };
    let tags = look(imds, "meta-data/tags/instance/", &mut unread).await.flatten();
    let tag_keys = tags.map(|text| text.lines().map(str::to_owned).collect());
    Circumstances { life_cycle, hibernation_configured, auto_scaling, tag_keys, unread }
}

/// One path: outer none when it could not be read, inner none when there is no such thing.
async fn look(imds: &Imds, path: &str, unread: &mut Vec<String>) -> Option<Option<String>> {
    match imds.get(path).await {
        Ok(found) => Some(found),
        Err(error) => {
            unread.push(format!("failed to {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::imds::{Endpoint, Limits, boot_clock};
    use crate::aws::testserver::{Reply, Server, imds_script};

    const DOCUMENT_TEXT: &str = r#"{"accountId":"123456789012","architecture":"x86_64","availabilityZone":"eu-central-1b",
        "instanceId":"i-0123456789abcdef0","instanceType":"m7i.large","pendingTime":"2026-11-21T10:00:00Z",
        "privateIp":"10.0.0.7","region":"eu-central-1","version":"2017-09-30","billingProducts":null}"#;

    fn client(server: &Server) -> Imds {
        let limits = Limits { pauses: [Duration::from_millis(1); 2], ..Limits::default() };
        Imds::new(Endpoint::parse(&server.url()).unwrap(), limits, boot_clock()).unwrap()
    }

    async fn imds(documents: &[(&str, &str)]) -> (Imds, Server) {
        let server = Server::start(imds_script(documents)).await;
        (client(&server), server)
    }

    #[test]
    fn instance_ids_have_one_syntax() {
        for good in ["i-01234567", "i-0123456789abcdef0"] {
            assert_eq!(InstanceId::parse(good).unwrap().as_str(), good);
        }
        let bad = [
            "",
            "i-",
            "i-0123456",
            "i-0123456789abcdef01",
            "i-0123456G",
            "i-ABCDEF01",
            "mi-01234567",
            " i-01234567",
        ];
        for bad in bad.into_iter().chain(["i-01234567\n", "i-01234567/../x", "i-012345é7"]) {
            assert!(InstanceId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn regions_have_one_syntax() {
        for good in ["eu-central-1", "us-gov-west-1", "ap-southeast-12", "eusc-de-east-1"] {
            assert_eq!(Region::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "eu",
            "eu-central",
            "eu--1",
            "eu-central-1b",
            "evil.example/x-a-1",
            "EU-central-1",
            "-a-b-1",
        ] {
            assert!(Region::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn the_document_tells_who_we_are() {
        let (imds, _server) = imds(&[(DOCUMENT, DOCUMENT_TEXT)]).await;
        let identity = identify(&imds).await.unwrap();
        assert_eq!(identity.instance_id.as_str(), "i-0123456789abcdef0");
        assert_eq!(identity.region.as_str(), "eu-central-1");
        assert_eq!(identity.availability_zone.as_deref(), Some("eu-central-1b"));
        assert_eq!(identity.account_id.as_deref(), Some("123456789012"));
        assert_eq!(identity.pending_ms, Some(1_795_255_200_000));
    }

    #[tokio::test]
    async fn without_a_document_the_single_paths_tell_it() {
        let paths =
            [("meta-data/instance-id", "i-01234567"), ("meta-data/placement/region", "us-east-1")];
        let (imds, _server) = imds(&paths).await;
        let identity = identify(&imds).await.unwrap();
        assert_eq!(
            (identity.instance_id.as_str(), identity.region.as_str()),
            ("i-01234567", "us-east-1")
        );
        assert_eq!(identity.instance_type, None);
    }

    #[tokio::test]
    async fn an_identity_is_never_made_up() {
        let nothing: &[(&str, &str)] = &[];
        let half = &[("meta-data/instance-id", "i-01234567")];
        let html = &[(DOCUMENT, "<html>Sign in to the hotel network</html>")];
        let cut = &[(DOCUMENT, r#"{"instanceId":"i-0123456789abcdef0","region":"eu-ce"#)];
        let empty = &[(DOCUMENT, "")];
        let foreign =
            &[(DOCUMENT, r#"{"instanceId":"mi-0123456789abcdef0","region":"eu-central-1"}"#)];
        let nowhere =
            &[(DOCUMENT, r#"{"instanceId":"i-0123456789abcdef0","region":"x.example.org/"}"#)];
        for documents in [nothing, half, html, cut, empty, foreign, nowhere] {
            let (imds, _server) = imds(documents).await;
            assert!(identify(&imds).await.is_err(), "{documents:?}");
        }
    }

    #[tokio::test]
    async fn doubtful_details_are_dropped() {
        let text = r#"{"instanceId":"i-0123456789abcdef0","region":"eu-central-1","availabilityZone":"a\nb",
            "instanceType":"","accountId":"12","pendingTime":"yesterday"}"#;
        let (imds, _server) = imds(&[(DOCUMENT, text)]).await;
        let identity = identify(&imds).await.unwrap();
        assert_eq!((identity.availability_zone, identity.instance_type), (None, None));
        assert_eq!((identity.account_id, identity.pending_ms), (None, None));
    }

    #[tokio::test]
    async fn the_circumstances_are_read() {
        let (imds, _server) = imds(&[
            ("meta-data/instance-life-cycle", "on-demand"),
            ("meta-data/hibernation/configured", "true"),
            ("meta-data/autoscaling/target-lifecycle-state", "InService"),
            ("meta-data/tags/instance/", "Name\naws:autoscaling:groupName"),
        ])
        .await;
        let seen = circumstances(&imds).await;
        assert!(!seen.life_cycle.may_be_spot());
        assert_eq!(seen.hibernation_configured, Some(true));
        assert_eq!(seen.auto_scaling, AutoScaling::Member("InService".to_owned()));
        assert_eq!(seen.tag_keys.unwrap(), ["Name", "aws:autoscaling:groupName"]);
        assert_eq!(seen.unread, Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_unknown_and_named() {
        let server = Server::start(|_| Reply::status(403, "")).await;
        let seen = circumstances(&client(&server)).await;
        assert!(seen.life_cycle.may_be_spot());
        assert_eq!(seen.hibernation_configured, None);
        assert_eq!(seen.auto_scaling, AutoScaling::Unknown);
        assert_eq!(seen.unread.len(), 4);
    }

    #[tokio::test]
    async fn strange_values_are_unknown_too() {
        let (imds, _server) = imds(&[
            ("meta-data/instance-life-cycle", "<html>"),
            ("meta-data/hibernation/configured", "perhaps"),
        ])
        .await;
        let seen = circumstances(&imds).await;
        assert_eq!((seen.life_cycle, seen.hibernation_configured), (LifeCycle::Unknown, None));
        assert_eq!(seen.auto_scaling, AutoScaling::NotMember);
    }

    #[tokio::test]
    async fn the_life_cycle_alone_is_one_request() {
        let limit = Duration::from_secs(1);
        let (spot, server) = imds(&[(LIFE_CYCLE, "spot")]).await;
        assert_eq!(life_cycle(&spot, limit).await, LifeCycle::Spot);
        assert_eq!(server.count("GET", ""), 1);
        for documents in [&[][..], &[(LIFE_CYCLE, "<html>")]] {
            let (odd, _server) = imds(documents).await;
            assert_eq!(life_cycle(&odd, limit).await, LifeCycle::Unknown);
        }
    }

    #[tokio::test]
    async fn a_detached_instance_is_no_member() {
        let (imds, _server) =
            imds(&[("meta-data/autoscaling/target-lifecycle-state", "Detached")]).await;
        assert_eq!(circumstances(&imds).await.auto_scaling, AutoScaling::NotMember);
    }
}
