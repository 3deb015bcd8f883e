//! The webhook of `notify.webhook`: the document is posted once.
//!
//! The address may hold secrets, and so may what answers (many servers repeat the path in an error), so nothing of either
//! is shown but scheme, host and status.

use super::{LIMIT, NotifierSettings, NotifierSpec, Report};
use crate::actuators::warn::Told;
use crate::aws::Cloud;
use crate::aws::http::Transport;

pub(super) const SPEC: NotifierSpec = NotifierSpec {
    name: "webhook",
    about: "posts the document agentd/notification/v1 to the address of notify.webhook, once",
    iam: &[],
    deadline: LIMIT,
};

/// Posts documents.
pub(super) struct Notifier {
    url: Option<String>,
    transport: Transport,
}

impl core::fmt::Debug for Notifier {
    /// Without the address.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Notifier")
            .field("url", &self.url.as_deref().map(shown))
            .finish_non_exhaustive()
    }
}

impl Notifier {
    pub(super) fn new(settings: &NotifierSettings, cloud: &Cloud) -> Self {
        Self { url: settings.notify.webhook.clone(), transport: cloud.transport_for(LIMIT) }
    }

    pub(super) async fn tell(&self, report: Report<'_>) -> Told {
        let Some(url) = &self.url else { return Told::default() };
        let to = shown(url);
        match self.transport.post_json(url, report.document.to_owned()).await {
            Ok(status) if (200..300).contains(&status) => {
                Told::reached(format!("{to} answered {status}"))
            }
            Ok(status) => Told::missed(format!("{to} answered {status}")),
            Err(error) => Told::missed(format!("{to}, failed to {error}")),
        }
    }
}

/// What may be shown of the address.
fn shown(url: &str) -> String {
    let parsed = reqwest::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(|url| Some((url.scheme(), url.host_str()?, url.port())));
    match host {
        Some((scheme, host, Some(port))) => format!("{scheme}://{host}:{port}"),
        Some((scheme, host, None)) => format!("{scheme}://{host}"),
        None => "an address that is none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_address_only_scheme_and_host_are_shown() {
        let secret = "https://user:s3cret@hooks.example.com/services/s3cret?key=s3cret#s3cret";
        assert_eq!(shown(secret), "https://hooks.example.com");
        assert_eq!(shown("http://[::1]:9/s3cret"), "http://[::1]:9");
        assert_eq!(shown("s3cret"), "an address that is none");
    }
}
