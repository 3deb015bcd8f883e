//! Which of the services a call is for. All of them speak the query protocol at one port; the version tells them apart
//! (`AWS_ENDPOINT_URL` leads every client of the SDK here).

use super::query::Query;
use super::refusal::Refusal;
use super::xml::{self, Node};
use crate::wire::Reply;

/// One service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// EC2, 2016-11-15; also what names no version.
    Ec2,
    /// Auto Scaling, 2011-01-01.
    AutoScaling,
    /// SNS, 2010-03-31.
    Sns,
}

impl Kind {
    /// The service of a call.
    pub(super) fn of(query: &Query) -> Self {
        match query.get("Version") {
            Some("2011-01-01") => Self::AutoScaling,
            Some("2010-03-31") => Self::Sns,
            _ => Self::Ec2,
        }
    }

    /// The prefix of its permissions.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::AutoScaling => "autoscaling",
            Self::Sns => "SNS",
        }
    }

    const fn namespace(self) -> &'static str {
        match self {
            Self::Ec2 => "http://ec2.amazonaws.com/doc/2016-11-15/",
            Self::AutoScaling => "http://autoscaling.amazonaws.com/doc/2011-01-01/",
            Self::Sns => "http://sns.amazonaws.com/doc/2010-03-31/",
        }
    }

    /// A refusal as this service says it: the general ones have other codes in each.
    pub(super) fn own(self, mut refusal: Refusal) -> Refusal {
        let (code, status) = match (self, refusal.code.as_str()) {
            (Self::Ec2, _) => return refusal,
            (Self::AutoScaling, "UnauthorizedOperation") => ("AccessDenied", 403),
            (Self::Sns, "UnauthorizedOperation") => ("AuthorizationError", 403),
            (_, "RequestLimitExceeded") => ("Throttling", 400),
            (_, "InternalError") => ("InternalFailure", 500),
            _ => return refusal,
        };
        if code == "Throttling" {
            refusal.message = "Rate exceeded".into();
        }
        refusal.code = code.into();
        refusal.status = status;
        refusal
    }

    /// The reply that says no.
    pub(super) fn refusal(self, refusal: &Refusal, id: &str) -> Reply {
        if self == Self::Ec2 {
            return refusal.reply(id);
        }
        let side = if refusal.status < 500 { "Sender" } else { "Receiver" };
        let error = xml::tree(
            "Error",
            vec![
                xml::text("Type", side),
                xml::text("Code", &*refusal.code),
                xml::text("Message", &*refusal.message),
            ],
        );
        let body =
            xml::root("ErrorResponse", self.namespace(), &[error, xml::text("RequestId", id)]);
        Reply::new(refusal.status, "text/xml", body)
    }

    /// The reply of an action that was carried out, for the services whose results have a name.
    pub(super) fn result(self, action: &str, children: &[Node], id: &str) -> Reply {
        let body = xml::result(action, self.namespace(), children, id);
        Reply::new(200, "text/xml", body)
    }
}
