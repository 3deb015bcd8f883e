//! `status` and `why`.

use std::process::ExitCode as ProcessCode;

use agent_proto::client::Client;
use agent_proto::exit::ExitCode;
use agent_proto::status::{ImdsState, Prospect, Stage, Status};

use super::{Done, document};
use crate::failure::Failure;
use crate::render;
use crate::screen::Screen;

const DOING: &str = "show the status";

/// `agentctl status`.
pub(super) fn status(client: &Client, screen: &Screen) -> Done {
    let (bytes, status) = fetch(client, "/v1/status")?;
    screen.document(&bytes, || render::status::status(&status, &screen.look))?;
    Ok(code(&status).into())
}

/// `agentctl why`.
pub(super) fn why(client: &Client, screen: &Screen) -> Done {
    let (bytes, status) = fetch(client, "/v1/why")?;
    screen.document(&bytes, || render::why::why(&status, &screen.look))?;
    Ok(code(&status).into())
}

/// `agentctl status --check`.
pub(super) fn check(client: &Client) -> Done {
    let (_, status) = fetch(client, "/v1/status")?;
    Ok(ProcessCode::from(verdict(&status)))
}

/// The document as it came, and as it is shown.
pub(super) fn fetch(client: &Client, path: &str) -> Result<(Vec<u8>, Status), Failure> {
    let bytes = client.get(path).map_err(|error| Failure::asking(DOING, &error))?;
    let status = document(DOING, &bytes)?;
    Ok((bytes, status))
}

/// 6 while a source, or the watch for interruptions, cannot be read.
fn code(status: &Status) -> ExitCode {
    let unseen = status.interruption.as_ref().is_some_and(|found| !found.blind.is_empty());
    let deaf = status.imds.state == Some(ImdsState::Blind);
    if status.blind.is_empty() && !unseen && !deaf { ExitCode::Fine } else { ExitCode::Blind }
}

/// The exit code of `--check`: 6 unknown, 30 acting, 20 warned, 10 idle, 0 in use.
fn verdict(status: &Status) -> u8 {
    if !status.blind.is_empty() || status.outlook.prospect == Prospect::Blind {
        return ExitCode::Blind.code();
    }
    match status.stage {
        Stage::Rechecking | Stage::Draining | Stage::Acting | Stage::Verifying => 30,
        Stage::Warned => 20,
        Stage::Settling | Stage::Quiet | Stage::WouldAct | Stage::Refused => 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_proto::spot::InterruptionState;

    use crate::render::samples;

    #[test]
    fn scripts_learn_the_stage_by_exit_code() {
        let mut status = samples::quiet();
        for (stage, expected) in [
            (Stage::Grace, 0),
            (Stage::Active, 0),
            (Stage::Settling, 10),
            (Stage::Quiet, 10),
            (Stage::Warned, 20),
            (Stage::Acting, 30),
            (Stage::Verifying, 30),
            (Stage::WouldAct, 10),
        ] {
            status.stage = stage;
            assert_eq!(verdict(&status), expected, "{stage:?}");
        }
        status.blind = vec!["gpu".into()];
        assert_eq!(verdict(&status), 6);
        assert_eq!(code(&status), ExitCode::Blind);
    }

    #[test]
    fn whoever_would_not_see_an_interruption_is_blind_and_still_knows_whether_it_is_used() {
        let mut status = samples::quiet();
        status.imds.state = Some(ImdsState::Blind);
        assert_eq!((code(&status), verdict(&status)), (ExitCode::Blind, 10));
        status.imds.state = Some(ImdsState::Pending);
        assert_eq!(code(&status), ExitCode::Fine, "the agent has just been started");
        let mut found = samples::terminates(InterruptionState::Announced);
        found.blind = vec!["rebalance".into()];
        status.interruption = Some(found);
        assert_eq!(code(&status), ExitCode::Blind);
    }

    #[test]
    fn an_unknown_identity_is_blind_for_check() {
        let status = samples::with(Prospect::Blind, Stage::Quiet, "identity", None);
        assert_eq!(verdict(&status), 6);
        assert_eq!(code(&status), ExitCode::Fine, "every source can be read");
    }
}
