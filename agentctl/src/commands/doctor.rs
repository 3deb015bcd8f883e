//! `doctor`.

use agent_proto::client::Client;
use agent_proto::doctor::Diagnosis;
use agent_proto::exit::ExitCode;

use super::{Done, document};
use crate::failure::Failure;
use crate::render;
use crate::screen::Screen;

const DOING: &str = "examine this machine";

/// `agentctl doctor`.
pub(super) fn doctor(client: &Client, screen: &Screen) -> Done {
    let bytes = client.doctor_document().map_err(|error| Failure::asking(DOING, &error))?;
    let diagnosis: Diagnosis = document(DOING, &bytes)?;
    screen.document(&bytes, || render::doctor::doctor(&diagnosis, &screen.look))?;
    Ok(if diagnosis.ok { ExitCode::Fine } else { ExitCode::Failed }.into())
}
