//! The SNS topic of `notify.sns_topic`: the document is published once, with attributes by which subscriptions can filter.

use super::{LIMIT, NotifierSettings, NotifierSpec, Report};
use crate::actuators::warn::Told;
use crate::aws::Cloud;
use crate::aws::sns::{Message, Sns, SnsError};

pub(super) const SPEC: NotifierSpec = NotifierSpec {
    name: "sns",
    about: "publishes the document agentd/notification/v1 to the SNS topic of notify.sns_topic, once",
    iam: &["sns:Publish"],
    deadline: LIMIT,
};

/// Publishes documents.
#[derive(Debug)]
pub(super) struct Notifier {
    topic: Option<Result<Sns, SnsError>>,
}

impl Notifier {
    pub(super) fn new(settings: &NotifierSettings, cloud: &Cloud) -> Self {
        Self { topic: settings.notify.sns_topic.as_deref().map(|topic| cloud.sns(topic)) }
    }

    pub(super) async fn tell(&self, report: Report<'_>) -> Told {
        let topic = match &self.topic {
            None => return Told::default(),
            Some(Err(error)) => return Told::missed(format!("failed to {error}")),
            Some(Ok(topic)) => topic,
        };
        match topic.publish(&message(report)).await {
            Ok(id) => Told::reached(format!("published as {id}")),
            Err(error) => Told::missed(format!("failed to {error}")),
        }
    }
}

fn message(report: Report<'_>) -> Message {
    let told = report.notification;
    let drill = if told.drill { "DRILL: " } else { "" };
    let (moment, instance) = (told.moment.as_str(), report.instance);
    Message {
        subject: format!("{drill}{instance}: {} ({}) {moment}", told.event, told.action),
        text: report.document.to_owned(),
        attributes: vec![
            ("event", told.event.clone()),
            ("action", told.action.clone()),
            ("moment", moment.to_owned()),
            ("drill", told.drill.to_string()),
        ],
        deduplication: format!("{instance} {} {moment} {}", told.alert, report.now.wall_ms),
    }
}
