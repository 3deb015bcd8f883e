//! `watch`: the status again and again, until a key ends it.

use std::io::{self, IsTerminal};
use std::time::Duration;

use agent_proto::client::Client;

use super::{Done, fine, status};
use crate::failure::Failure;
use crate::render;
use crate::screen::Screen;

/// Cursor to the upper left, and everything behind it erased (ECMA-48 §8.3.21 CUP, §8.3.39 ED).
const CLEAR: &str = "\x1b[H\x1b[J";

/// `agentctl watch`: until Ctrl-C. An agent that cannot be reached is shown and waited for.
pub(super) fn watch(client: &Client, screen: &Screen) -> Done {
    if screen.json || !io::stdout().is_terminal() {
        return Err(Failure::usage("cannot watch: there is no terminal to draw on")
            .with_hint("agentctl status, or agentctl events --follow"));
    }
    // Without patience: the next second is soon enough.
    let client = client.clone().with_patience(Duration::ZERO);
    while !screen.reader_has_gone() {
        let text = match status::fetch(&client, "/v1/status") {
            Ok((_, status)) => render::status::status(&status, &screen.look),
            Err(failure) => {
                let hint = failure.hint.unwrap_or_default();
                format!("error: {}\n  hint: {hint}\n", failure.message)
            }
        };
        screen.print(format!("{CLEAR}{text}"))?;
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(fine())
}
