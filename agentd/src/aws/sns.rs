//! The one call to Amazon SNS: a message for the topic of `notify.sns_topic`.
//!
//! It is sent once and with the credentials of the EC2 calls. The Region is that of the topic, which may be another one
//! than the instance's. (Amazon SNS API Reference, `Publish`.)

use core::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use thiserror::Error;

use super::CloudSettings;
use super::client::client_config;
use super::credentials::CredentialSource;
use super::errors::CallError;
use super::http::Transport;
use super::identity::Region;
use super::lost::call_error;

/// The API action, which is also the IAM action after `sns:`.
const ACTION: &str = "Publish";
/// How long a message may take with its credentials and all.
const LIMIT: Duration = Duration::from_secs(2);
/// The longest subject, ASCII characters ("up to 100 characters").
const LONGEST_SUBJECT: usize = 100;
/// The longest deduplication id of a FIFO topic ("up to 128 alphanumeric characters and punctuation").
const LONGEST_DEDUPLICATION: usize = 128;

/// Why a message was not published. The messages fit after "failed to".
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SnsError {
    /// The topic's ARN makes no sense.
    #[error("use the topic {topic}: {why}")]
    Topic {
        /// The ARN.
        topic: String,
        /// What is wrong with it.
        why: String,
    },
    /// The role lacks the permission.
    #[error(
        "publish: the instance's role may not call sns:Publish on {topic}; add it to the role's policy. {message}"
    )]
    Unauthorized {
        /// The ARN of the topic.
        topic: String,
        /// What SNS said.
        message: String,
    },
    /// There is no such topic.
    #[error("publish: there is no topic {topic}. {message}")]
    NoTopic {
        /// The ARN of the topic.
        topic: String,
        /// What SNS said.
        message: String,
    },
    /// SNS answered with another error.
    #[error("publish: {code} ({status}): {message}")]
    Api {
        /// The error code; empty when the answer had none.
        code: String,
        /// What SNS said.
        message: String,
        /// The HTTP status.
        status: u16,
    },
    /// The request never left: no credentials, no connection.
    #[error("publish: nothing was sent: {0}")]
    NotSent(String),
    /// The answer was lost; the message may have been published.
    #[error("publish: the answer was lost: {0}")]
    Lost(String),
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The subject of mails. What SNS does not take is left out.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The message attributes, by which subscriptions can filter.
    pub attributes: Vec<(&'static str, String)>,
    /// What makes it another message than the one before, for FIFO topics.
    pub deduplication: String,
}

/// The client of one topic.
#[derive(Debug)]
pub struct Sns {
    client: Client,
    topic: String,
    transport: Transport,
}

impl Sns {
    /// A client for this topic. Nothing is sent or loaded yet.
    pub(super) fn new(
        topic: &str,
        settings: &CloudSettings,
        credentials: CredentialSource,
        transport: Transport,
    ) -> Result<Self, SnsError> {
        let wrong = |why: String| SnsError::Topic { topic: topic.to_owned(), why };
        // arn:PARTITION:sns:REGION:ACCOUNT:TOPIC
        let region = topic.split(':').nth(3).unwrap_or_default();
        let region = Region::parse(region).map_err(|error| wrong(error.to_string()))?;
        let config = client_config!(
            aws_sdk_sns,
            region,
            settings.sns_endpoint.clone(),
            settings.ec2,
            credentials,
            transport.clone(),
            LIMIT
        );
        Ok(Self { client: Client::from_conf(config), topic: topic.to_owned(), transport })
    }

    /// `Publish`, once. The answer is the id that SNS gave the message.
    pub async fn publish(&self, message: &Message) -> Result<String, SnsError> {
        self.transport.prepare().await.map_err(|error| SnsError::NotSent(error.to_string()))?;
        let mut request = self
            .client
            .publish()
            .topic_arn(&self.topic)
            .subject(subject(&message.subject))
            .message(&message.text);
        for (name, value) in &message.attributes {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(if value.is_empty() { "none" } else { value })
                .build()
                .map_err(|error| SnsError::NotSent(error.to_string()))?;
            request = request.message_attributes(*name, value);
        }
        if self.topic.strip_suffix(".fifo").is_some() {
            request = request
                .message_group_id("agentd")
                .message_deduplication_id(deduplication(&message.deduplication));
        }
        let sent = request.send().await;
        let output = sent.map_err(|error| self.explained(call_error(ACTION, &error)))?;
        Ok(output.message_id().unwrap_or_default().to_owned())
    }

    fn explained(&self, error: CallError) -> SnsError {
        let topic = self.topic.clone();
        match error {
            CallError::Api { code, message, status, .. } => match code.as_str() {
                "AuthorizationError" | "AccessDenied" | "AccessDeniedException" => {
                    SnsError::Unauthorized { topic, message }
                }
                "NotFound" => SnsError::NoTopic { topic, message },
                _ => SnsError::Api { code, message, status },
            },
            CallError::Lost { why, .. } | CallError::Garbled { why, .. } => SnsError::Lost(why),
            CallError::NotSent { why, .. } | CallError::Withheld { why, .. } => {
                SnsError::NotSent(why)
            }
            other @ CallError::Budget { .. } => SnsError::NotSent(other.to_string()),
        }
    }
}

/// A subject as SNS takes it: "ASCII text that begins with a letter, number, or punctuation mark; must not include line
/// breaks or control characters; and must be less than or equal to 100 characters".
fn subject(text: &str) -> String {
    let plain = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ');
    let plain: String = plain.skip_while(|c| *c == ' ').take(LONGEST_SUBJECT).collect();
    if plain.is_empty() { "agentd".to_owned() } else { plain }
}

fn deduplication(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' });
    plain.take(LONGEST_DEDUPLICATION).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::aws::testec2::{cloud, cloud_with_sns};
    use crate::aws::testserver::{Reply, Seen, Server, refusing_url};

    const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:interruptions";

    fn message() -> Message {
        Message {
            subject: "agentd: spot-interruption (terminate)".to_owned(),
            text: "{\"schema\":\"x\"}".to_owned(),
            attributes: vec![
                ("event", "spot-interruption".to_owned()),
                ("drill", "false".to_owned()),
            ],
            deduplication: "i-1 spot-terminate noticed".to_owned(),
        }
    }

    fn published() -> Reply {
        Reply::ok(
            "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>m-1\
             </MessageId></PublishResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>\
             </PublishResponse>",
        )
    }

    fn error(status: u16, code: &str, message: &str) -> Reply {
        Reply::status(
            status,
            format!(
                "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type><Code>{code}\
                 </Code><Message>{message}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
            ),
        )
    }

    async fn publish(topic: &str, reply: Reply) -> (Result<String, SnsError>, Vec<Seen>) {
        let server = Server::start(move |_| reply.clone()).await;
        let cloud = cloud_with_sns(&refusing_url().await, &server.url());
        let result = cloud.sns(topic).unwrap().publish(&message()).await;
        (result, server.seen())
    }

    #[tokio::test]
    async fn a_message_carries_subject_text_and_attributes() {
        let (result, seen) = publish(TOPIC, published()).await;
        assert_eq!(result, Ok("m-1".to_owned()));
        assert_eq!(seen.len(), 1);
        let of = |name: &str| seen[0].parameter(name).unwrap_or_default();
        assert_eq!((of("Action"), of("TopicArn")), ("Publish".to_owned(), TOPIC.to_owned()));
        assert_eq!(of("Subject"), "agentd: spot-interruption (terminate)");
        assert_eq!(of("Message"), "{\"schema\":\"x\"}");
        for n in [1, 2] {
            let entry = format!("MessageAttributes.entry.{n}");
            let expected = match of(&format!("{entry}.Name")).as_str() {
                "event" => "spot-interruption",
                "drill" => "false",
                other => panic!("{other}"),
            };
            assert_eq!(of(&format!("{entry}.Value.StringValue")), expected);
            assert_eq!(of(&format!("{entry}.Value.DataType")), "String");
        }
        let signature = seen[0].header("authorization")[0];
        assert!(signature.contains("/eu-central-1/sns/aws4_request"), "the topic's own Region");
        assert_eq!(seen[0].parameter("MessageGroupId"), None);
    }

    #[tokio::test]
    async fn a_fifo_topic_is_told_what_it_needs() {
        let (result, seen) = publish(&format!("{TOPIC}.fifo"), published()).await;
        assert_eq!(result, Ok("m-1".to_owned()));
        assert_eq!(seen[0].parameter("MessageGroupId").as_deref(), Some("agentd"));
        let id = seen[0].parameter("MessageDeduplicationId");
        assert_eq!(id.as_deref(), Some("i-1-spot-terminate-noticed"));
    }

    #[tokio::test]
    async fn a_missing_permission_names_the_call_and_the_topic() {
        let said =
            "User: arn:aws:sts::1:assumed-role/a/i-1 is not authorized to perform: SNS:Publish";
        let (result, seen) = publish(TOPIC, error(403, "AuthorizationError", said)).await;
        let text = result.unwrap_err().to_string();
        assert!(text.contains("may not call sns:Publish on arn:aws:sns:eu-central-1"), "{text}");
        assert_eq!(seen.len(), 1);
    }

    #[tokio::test]
    async fn every_other_failure_is_told_and_nothing_is_sent_twice() {
        let (result, _) = publish(TOPIC, error(404, "NotFound", "Topic does not exist")).await;
        assert!(result.unwrap_err().to_string().contains("there is no topic arn:aws:sns"));
        for reply in [
            error(503, "ServiceUnavailable", "later"),
            error(400, "Throttling", "Rate exceeded"),
            Reply::status(500, "oops"),
            Reply::Drop,
            Reply::ok("<html>"),
            Reply::Endless,
        ] {
            let (result, seen) = publish(TOPIC, reply.clone()).await;
            assert!(result.is_err(), "{reply:?}");
            assert_eq!(seen.len(), 1, "{reply:?}");
        }
    }

    #[tokio::test]
    async fn silence_ends_with_the_transport_and_is_in_doubt() {
        let begun = Instant::now();
        let (result, seen) = publish(TOPIC, Reply::Hang).await;
        assert!(matches!(result, Err(SnsError::Lost(_))), "{result:?}");
        assert!(begun.elapsed() < LIMIT && seen.len() == 1);
    }

    #[tokio::test]
    async fn nobody_at_the_address_means_that_nothing_was_sent() {
        let nowhere = refusing_url().await;
        let sns = cloud_with_sns(&nowhere, &nowhere).sns(TOPIC).unwrap();
        let error = sns.publish(&message()).await.unwrap_err();
        assert!(matches!(error, SnsError::NotSent(_)), "{error}");
    }

    #[tokio::test]
    async fn a_topic_without_a_region_is_told() {
        let cloud = cloud("http://127.0.0.1:1", "http://127.0.0.1:1");
        let error = cloud.sns("arn:aws:sns:Mars:123456789012:x").unwrap_err();
        assert!(error.to_string().contains("arn:aws:sns:Mars"), "{error}");
    }

    #[test]
    fn subjects_are_what_sns_takes() {
        assert_eq!(subject("  DRILL: größer\n\x1b✓ x"), "DRILL: grer x");
        assert_eq!(subject("\n"), "agentd");
        assert_eq!(subject(&"x".repeat(300)).len(), 100);
    }
}
