//! The credentials of the EC2 calls: the environment first, else the role of the instance.
//!
//! They are read anew from the metadata service shortly before they expire. No other source is looked at: the agent
//! acts as the machine, not as somebody who has logged in to it. Nothing of them is ever shown.

use core::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result as ProviderResult, future};
use serde::Deserialize;

use super::imds::{Imds, ImdsError};

const ROLE_PATH: &str = "meta-data/iam/security-credentials/";

/// Why there are no credentials. The messages fit after "failed to".
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RoleError {
    /// The metadata service could not be read.
    #[error(transparent)]
    Imds(#[from] ImdsError),
    /// No instance profile is attached.
    #[error(
        "find a role: the instance has no IAM instance profile; attach one with the agent's policy"
    )]
    NoRole,
    /// The service's answer makes no sense.
    #[error("use the credentials of the instance's role: {0}")]
    Invalid(&'static str),
    /// The service says why it has none.
    #[error(
        "use the credentials of the instance's role: IMDS reports {0:?}; check the role's trust policy"
    )]
    Reported(String),
}

/// Where the credentials come from, in this order.
#[derive(Clone)]
pub struct CredentialSource {
    environment: Option<Credentials>,
    imds: Arc<Imds>,
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSource").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl CredentialSource {
    /// Takes `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` when the first two are set, else the
    /// instance's role, which is asked for when the first call needs it.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>, imds: Arc<Imds>) -> Self {
        let set = |name| variable(name).filter(|value| !value.trim().is_empty());
        let keys = set("AWS_ACCESS_KEY_ID").zip(set("AWS_SECRET_ACCESS_KEY"));
        let environment = keys.map(|(id, secret)| {
            Credentials::new(id, secret, set("AWS_SESSION_TOKEN"), None, "environment")
        });
        Self { environment, imds }
    }

    /// Where they come from, for people.
    pub fn name(&self) -> &'static str {
        if self.environment.is_some() { "environment" } else { "instance role" }
    }

    /// The credentials, valid now.
    pub async fn load(&self) -> Result<Credentials, RoleError> {
        match &self.environment {
            Some(credentials) => Ok(credentials.clone()),
            None => from_role(&self.imds).await,
        }
    }
}

impl ProvideCredentials for CredentialSource {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.load().await.map_err(provider_error) as ProviderResult
        })
    }
}

fn provider_error(error: RoleError) -> CredentialsError {
    match error {
        RoleError::NoRole => CredentialsError::not_loaded(error),
        RoleError::Imds(_) => CredentialsError::provider_error(error),
        RoleError::Invalid(_) | RoleError::Reported(_) => CredentialsError::unhandled(error),
    }
}

/// `meta-data/iam/security-credentials/ROLE`. It has no `Debug`: two of its fields are secrets.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleDocument {
    code: String,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
}

async fn from_role(imds: &Imds) -> Result<Credentials, RoleError> {
    let role = imds.get(ROLE_PATH).await?.ok_or(RoleError::NoRole)?;
    let role = role.lines().next().ok_or(RoleError::NoRole)?;
    // IAM: role names have up to 64 letters, digits and `+=,.@_-`.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    if !(1..=64).contains(&role.len()) || !role.bytes().all(plain) || role.starts_with('.') {
        return Err(RoleError::Invalid("the role's name is not one"));
    }
    let text = imds.get(&format!("{ROLE_PATH}{role}")).await?.ok_or(RoleError::NoRole)?;
    read_document(&text)
}

fn read_document(text: &str) -> Result<Credentials, RoleError> {
    let document: RoleDocument = serde_json::from_str(text)
        .map_err(|_| RoleError::Invalid("the document is not what it should be"))?;
    if document.code != "Success" {
        let plain = document.code.chars().filter(char::is_ascii_alphanumeric);
        return Err(RoleError::Reported(plain.take(60).collect()));
    }
    let present = |field: Option<String>, why| {
        field.filter(|text| !text.is_empty()).ok_or(RoleError::Invalid(why))
    };
    let id = present(document.access_key_id, "there is no access key id")?;
    let secret = present(document.secret_access_key, "there is no secret access key")?;
    let token = present(document.token, "there is no session token")?;
    let expiration = present(document.expiration, "there is no expiration")?;
    let expiry = moment(&expiration).ok_or(RoleError::Invalid("the expiration is not a time"))?;
    Ok(Credentials::new(id, secret, Some(token), Some(expiry), "instance role"))
}

/// An RFC 3339 time after 1970.
fn moment(text: &str) -> Option<SystemTime> {
    let stamp: jiff::Timestamp = text.parse().ok()?;
    let seconds = u64::try_from(stamp.as_second()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::imds::{Endpoint, Limits, boot_clock};
    use crate::aws::testserver::{Server, imds_script};

    const GOOD: &str = r#"{"Code":"Success","LastUpdated":"2026-11-21T10:00:00Z","Type":"AWS-HMAC",
        "AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"hush","Token":"long","Expiration":"2026-11-21T16:00:00Z"}"#;
    const PATH: &str = "meta-data/iam/security-credentials/agent-role";

    async fn load(
        documents: &[(&str, &str)],
        variables: &[(&str, &str)],
    ) -> Result<Credentials, RoleError> {
        let server = Server::start(imds_script(documents)).await;
        source(&server, variables).load().await
    }

    fn source(server: &Server, variables: &[(&str, &str)]) -> CredentialSource {
        let endpoint = Endpoint::parse(&server.url()).unwrap();
        let imds = Arc::new(Imds::new(endpoint, Limits::default(), boot_clock()).unwrap());
        let get = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        CredentialSource::from_env(get, imds)
    }

    #[tokio::test]
    async fn the_role_gives_credentials_that_expire() {
        let credentials = load(&[(ROLE_PATH, "agent-role\n"), (PATH, GOOD)], &[]).await.unwrap();
        assert_eq!(credentials.access_key_id(), "ASIAEXAMPLE");
        assert_eq!(credentials.session_token(), Some("long"));
        let expiry = credentials.expiry().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(expiry.as_secs(), 1_795_276_800);
    }

    #[tokio::test]
    async fn the_environment_comes_first_and_needs_both_keys() {
        let both = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "s")];
        let documents = [(ROLE_PATH, "agent-role"), (PATH, GOOD)];
        assert_eq!(load(&documents, &both).await.unwrap().access_key_id(), "AKIA");
        assert_eq!(load(&documents, &both[..1]).await.unwrap().access_key_id(), "ASIAEXAMPLE");
        let empty = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", " ")];
        assert_eq!(load(&documents, &empty).await.unwrap().access_key_id(), "ASIAEXAMPLE");
    }

    #[tokio::test]
    async fn no_profile_is_told_with_its_remedy() {
        let error = load(&[], &[]).await.unwrap_err();
        assert_eq!(error, RoleError::NoRole);
        assert!(error.to_string().contains("attach"));
    }

    #[tokio::test]
    async fn broken_documents_are_errors_and_show_no_secret() {
        let no_expiry = GOOD.replace("Expiration", "Expires");
        let bad_expiry = GOOD.replace("2026-11-21T16:00:00Z", "soon");
        let no_secret = GOOD.replace("hush", "");
        let failed = GOOD.replace("Success", "AssumeRoleUnauthorizedAccess");
        for text in [
            "<html>hush</html>",
            "",
            "{}",
            &GOOD[..GOOD.len() - 2],
            &no_expiry,
            &bad_expiry,
            &no_secret,
            &failed,
        ] {
            let error = load(&[(ROLE_PATH, "agent-role"), (PATH, text)], &[]).await.unwrap_err();
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_role_name_cannot_lead_elsewhere() {
        for name in ["../../user-data", "a/b", "a b", "", "<html>"] {
            assert!(load(&[(ROLE_PATH, name), ("user-data", GOOD)], &[]).await.is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn the_source_shows_nothing_secret() {
        let server = Server::start(imds_script(&[])).await;
        let source =
            source(&server, &[("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "hush")]);
        assert_eq!(format!("{source:?}"), r#"CredentialSource { name: "environment", .. }"#);
        assert!(!format!("{:?}", source.load().await.unwrap()).contains("hush"));
    }
}
