//! Everything that knows AWS: the metadata service, credentials, the EC2 calls and what their errors mean.
//!
//! No other module speaks to either service or names the SDK. [`Cloud`] is the one value that the rest of the agent holds.

pub mod autoscaling;
mod budget;
mod client;
pub mod credentials;
pub mod ec2;
pub mod errors;
pub mod http;
pub mod identity;
pub mod imds;
mod lost;
pub mod preflight;
pub mod sns;
#[cfg(test)]
pub(crate) mod testautoscaling;
#[cfg(test)]
pub(crate) mod testec2;
#[cfg(test)]
pub(crate) mod testserver;

use core::time::Duration;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

use autoscaling::AutoScaling;
use credentials::CredentialSource;
use ec2::{Ec2, Ec2Settings};
pub use http::install_crypto;
use http::{Transport, TransportSettings};
use identity::{Identity, IdentityError, InstanceId, Region};
use imds::{BootClock, Endpoint, Imds, ImdsError, Limits};
use sns::{Sns, SnsError};

/// Why the AWS side cannot be set up. The messages fit after "failed to".
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CloudError {
    /// The metadata client.
    #[error(transparent)]
    Imds(#[from] ImdsError),
    /// A variable makes no sense.
    #[error("use {variable}={value:?}: {why}")]
    Variable {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
}

/// How the two services are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudSettings {
    /// The metadata service.
    pub imds: Endpoint,
    /// Its limits.
    pub imds_limits: Limits,
    /// EC2.
    pub ec2: Ec2Settings,
    /// `AWS_ENDPOINT_URL_SNS` or `AWS_ENDPOINT_URL`; none: the Region's own.
    pub sns_endpoint: Option<String>,
    /// Auto Scaling, by `AWS_ENDPOINT_URL_AUTO_SCALING` or `AWS_ENDPOINT_URL`; none: the Region's own. Everything else is as
    /// for EC2.
    pub auto_scaling: Option<String>,
    /// The connections to EC2.
    pub transport: TransportSettings,
}

impl CloudSettings {
    /// Reads the SDK's own variables: `AWS_EC2_METADATA_SERVICE_ENDPOINT`, `AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE`,
    /// `AWS_ENDPOINT_URL_EC2`, `AWS_ENDPOINT_URL_AUTO_SCALING`, `AWS_ENDPOINT_URL_SNS`, `AWS_ENDPOINT_URL`, `AWS_REGION`,
    /// `AWS_DEFAULT_REGION`, `AWS_CA_BUNDLE`,
    /// `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, CloudError> {
        let set = |name: &'static str| {
            let value = variable(name).map(|value| value.trim().to_owned());
            value.filter(|value| !value.is_empty()).map(|value| (name, value))
        };
        let on = |name| set(name).is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"));
        let endpoint =
            |own| set(own).or_else(|| set("AWS_ENDPOINT_URL")).map(web_address).transpose();
        let region = set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION"));
        let region = region.map(|(variable, value)| {
            let refused = |error: IdentityError| CloudError::Variable {
                variable,
                value: value.clone(),
                why: error.to_string(),
            };
            Region::parse(&value).map_err(refused)
        });
        Ok(Self {
            imds: Endpoint::from_env(&variable)?,
            imds_limits: Limits::default(),
            ec2: Ec2Settings {
                endpoint: endpoint("AWS_ENDPOINT_URL_EC2")?,
                region: region.transpose()?,
                fips: on("AWS_USE_FIPS_ENDPOINT"),
                dual_stack: on("AWS_USE_DUALSTACK_ENDPOINT"),
            },
            sns_endpoint: endpoint("AWS_ENDPOINT_URL_SNS")?,
            auto_scaling: endpoint("AWS_ENDPOINT_URL_AUTO_SCALING")?,
            transport: TransportSettings {
                ca_bundle: set("AWS_CA_BUNDLE").map(|(_, path)| PathBuf::from(path)),
                ..TransportSettings::default()
            },
        })
    }
}

fn web_address((variable, value): (&'static str, String)) -> Result<String, CloudError> {
    let why = match reqwest::Url::parse(&value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => return Ok(value),
        Ok(_) => "it must begin with https:// or http://".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(CloudError::Variable { variable, value, why })
}

/// The AWS side of the agent. Making it sends nothing.
pub struct Cloud {
    settings: CloudSettings,
    imds: Arc<Imds>,
    credentials: CredentialSource,
    transport: Transport,
    clock: BootClock,
    ec2: Mutex<Option<Kept>>,
    known: Mutex<Option<Identity>>,
}

impl core::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Cloud").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Cloud {
    /// Sets up both clients. `variable` gives the environment, for the credentials.
    pub fn new(
        settings: CloudSettings,
        variable: impl Fn(&str) -> Option<String>,
        clock: BootClock,
    ) -> Result<Self, CloudError> {
        let imds = Arc::new(Imds::new(settings.imds.clone(), settings.imds_limits, clock.clone())?);
        let credentials = CredentialSource::from_env(variable, imds.clone());
        let transport = Transport::new(settings.transport.clone());
        Ok(Self {
            settings,
            imds,
            credentials,
            transport,
            clock,
            ec2: Mutex::new(None),
            known: Mutex::new(None),
        })
    }

    /// The settings.
    pub fn settings(&self) -> &CloudSettings {
        &self.settings
    }

    /// The metadata service.
    pub fn imds(&self) -> &Imds {
        &self.imds
    }

    /// The credentials' source.
    pub fn credentials(&self) -> &CredentialSource {
        &self.credentials
    }

    /// Who this instance is, read anew.
    pub async fn identify(&self) -> Result<Identity, IdentityError> {
        let identity = identity::identify(&self.imds).await?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity.clone());
        Ok(identity)
    }

    /// Who this instance is, as it was read last. Nothing is asked.
    pub fn known(&self) -> Option<Identity> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A client for this SNS topic. Nothing is sent or loaded yet.
    pub fn sns(&self, topic: &str) -> Result<Sns, SnsError> {
        Sns::new(topic, &self.settings, self.credentials.clone(), self.transport.clone())
    }

    /// A transport of the same kind that gives up after `limit`, for what is sent elsewhere than to AWS.
    pub fn transport_for(&self, limit: Duration) -> Transport {
        let ours = self.settings.transport.clone();
        Transport::new(TransportSettings { connect: limit, request: limit, ..ours })
    }

    /// The EC2 client of the instance with this identity. It is kept as long as the identity stays the same, with its
    /// credentials and its limit of calls.
    pub fn ec2(&self, identity: &Identity) -> Arc<Ec2> {
        self.kept(identity).acting
    }

    /// The same for looking at things on somebody's request. It has a limit of its own: whoever asks, however often,
    /// cannot keep the agent from making its own calls.
    pub fn ec2_on_request(&self, identity: &Identity) -> Arc<Ec2> {
        self.kept(identity).on_request
    }

    /// The Auto Scaling client of the instance with this identity, kept in the same way.
    pub fn auto_scaling(&self, identity: &Identity) -> Arc<AutoScaling> {
        self.kept(identity).auto_scaling
    }

    /// The same for looking at things on somebody's request, with a limit of its own.
    pub fn auto_scaling_on_request(&self, identity: &Identity) -> Arc<AutoScaling> {
        self.kept(identity).auto_scaling_on_request
    }

    fn kept(&self, identity: &Identity) -> Kept {
        let mut kept = self.ec2.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clients) = kept.as_ref().filter(|clients| clients.is_of(identity)) {
            return clients.clone();
        }
        let (credentials, transport) = (self.credentials.clone(), self.transport.clone());
        let auto_scaling = AutoScaling::new(
            identity,
            self.settings.auto_scaling.as_deref(),
            &self.settings.ec2,
            credentials.clone(),
            transport.clone(),
            self.clock.clone(),
        );
        let acting =
            Ec2::new(identity, &self.settings.ec2, credentials, transport, self.clock.clone());
        let on_request = Arc::new(acting.with_own_limit());
        let of = (identity.instance_id.clone(), identity.region.clone());
        let clients = Kept {
            of,
            acting: Arc::new(acting),
            on_request,
            auto_scaling_on_request: Arc::new(auto_scaling.with_own_limit()),
            auto_scaling: Arc::new(auto_scaling),
        };
        kept.insert(clients).clone()
    }
}

/// The clients of one identity.
#[derive(Clone)]
struct Kept {
    of: (InstanceId, Region),
    acting: Arc<Ec2>,
    on_request: Arc<Ec2>,
    auto_scaling: Arc<AutoScaling>,
    auto_scaling_on_request: Arc<AutoScaling>,
}

impl Kept {
    fn is_of(&self, identity: &Identity) -> bool {
        self.of.0 == identity.instance_id && self.of.1 == identity.region
    }
}

#[cfg(test)]
mod tests;
