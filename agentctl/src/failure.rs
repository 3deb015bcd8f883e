//! Why a command did not do what it was asked for.

use agent_proto::client::ClientError;
use agent_proto::exit::ExitCode;
use agent_proto::problem::{ErrorKind, Problem};

/// A failure, ready to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: ExitCode,
    /// `cannot hibernate: …`, without a full stop.
    pub(crate) message: String,
    /// What a person can do.
    pub(crate) hint: Option<String>,
    /// The same for programs.
    pub(crate) problem: Box<Problem>,
}

impl Failure {
    /// A failure of this program.
    pub(crate) fn new(code: ExitCode, kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, problem: Box::new(Problem::new(kind, message.clone())), hint: None, message }
    }

    /// A command line that clap cannot know to be wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, ErrorKind::InvalidRequest, message)
    }

    /// Something on this machine that failed.
    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Failed, ErrorKind::Other, message)
    }

    /// What the agent, or the way to it, refused: `doing` is the verb, as in "cannot hibernate".
    pub(crate) fn asking(doing: &str, error: &ClientError) -> Self {
        let text = match error {
            // The agent's own words may begin with the verb.
            ClientError::Denied(problem) => problem
                .detail
                .strip_prefix(&format!("{doing}: "))
                .unwrap_or(&problem.detail)
                .to_owned(),
            other => format!("failed to {other}"),
        };
        Self {
            code: error.exit_code(),
            message: format!("cannot {doing}: {text}"),
            hint: error.hint(),
            problem: Box::new(error.problem()),
        }
    }

    /// The same failure with what to do.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.problem.hint = Some(hint.clone());
        self.hint = Some(hint);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verb_is_not_said_twice() {
        let problem =
            Problem::new(ErrorKind::NotPermitted, "hibernate: user bob is no administrator");
        let failure = Failure::asking("hibernate", &ClientError::Denied(Box::new(problem)));
        assert_eq!(failure.message, "cannot hibernate: user bob is no administrator");
        assert_eq!(failure.code, ExitCode::NotPermitted);
    }

    #[test]
    fn an_agent_that_is_not_there_comes_with_the_way_to_start_it() {
        let error = ClientError::NotReachable {
            socket: "/run/agentd/agentd.sock".into(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        let failure = Failure::asking("show the status", &error);
        assert_eq!(failure.code, ExitCode::NotReachable);
        assert!(
            failure.message.starts_with(
                "cannot show the status: failed to reach agentd at '/run/agentd/agentd.sock': "
            ),
            "{}",
            failure.message
        );
        let hint = failure.hint.unwrap();
        assert!(
            hint.contains("sudo systemctl start agentd")
                && hint.contains("journalctl -u agentd -n 20")
        );
    }
}
