//! A connection to a manager's private socket, without a bus between.
//!
//! There systemd names itself `org.freedesktop.systemd1` as the sender of its answers (tried with 247, 252 and 257). Only a unique
//! name may stand there (D-Bus specification, "Header Fields"), and zbus refuses a message with another. A relay puts one of
//! the same length in its place.

use std::io;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use zbus::Connection;
use zbus::connection::Builder;

/// The field of a header that names the sender: its code, its type, the length of the name, the name.
const SENDER: &[u8] = b"\x07\x01s\0\x18\0\0\0org.freedesktop.systemd1\0";
/// Its first byte that is changed, and to what.
const AT: usize = 8;
const UNIQUE: u8 = b':';

/// So many bytes are carried at once.
const PIECE: usize = 16 * 1024;

/// Connects to the manager that listens at `socket`.
pub(super) async fn connect(socket: &Path) -> zbus::Result<Connection> {
    let manager = UnixStream::connect(socket).await?;
    let (ours, theirs) = UnixStream::pair()?;
    tokio::spawn(relay(manager, theirs));
    Builder::unix_stream(ours.into_std()?).p2p().build().await
}

/// Carries bytes both ways until either end closes.
async fn relay(manager: UnixStream, client: UnixStream) {
    let (mut from_manager, mut to_manager) = manager.into_split();
    let (mut from_client, mut to_client) = client.into_split();
    // An end that breaks is seen at the other one.
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_manager) => {}
        _ = rename(&mut from_manager, &mut to_client) => {}
    }
}

/// Carries bytes and changes the sender in them. What may be the beginning of the field is kept until it is known.
async fn rename(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let (mut buffer, mut kept) = (vec![0; PIECE], Vec::new());
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.write_all(&kept).await;
        }
        kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let found: Vec<usize> = kept
            .windows(SENDER.len())
            .enumerate()
            .filter_map(|(place, window)| (window == SENDER).then_some(place + AT))
            .collect();
        for place in found {
            if let Some(byte) = kept.get_mut(place) {
                *byte = UNIQUE;
            }
        }
        let begun = (1..SENDER.len())
            .rev()
            .find(|length| SENDER.get(..*length).is_some_and(|begin| kept.ends_with(begin)));
        let known = kept.len() - begun.unwrap_or(0);
        to.write_all(kept.get(..known).unwrap_or_default()).await?;
        kept.drain(..known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of the handshake and an answer of systemd 252, as they came.
    const ANSWER: &[u8] = b"OK e70ff5103807482fb2ef4bdf812d0f0a\r\nAGREE_UNIX_FD\r\nl\x02\x01\x01\x08\0\0\0\x01\0\0\0C\0\0\0\
        \x05\x01u\0\x01\0\0\0\x07\x01s\0\x18\0\0\0org.freedesktop.systemd1\0\0\0\0\0\0\0\0\x08\x01g\0\x02as\0\0\0\x07\x01s\0\x07\x01";

    async fn renamed(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut manager, mut from) = tokio::io::duplex(1 << 16);
        for piece in pieces {
            manager.write_all(piece).await.unwrap();
        }
        drop(manager);
        let mut to = Vec::new();
        rename(&mut from, &mut to).await.unwrap();
        to
    }

    #[tokio::test]
    async fn the_sender_becomes_a_unique_name_and_nothing_else_changes() {
        let mut expected = ANSWER.to_vec();
        let place = ANSWER.windows(SENDER.len()).position(|it| it == SENDER).unwrap();
        expected[place + AT] = b':';
        assert!(zbus::names::UniqueName::try_from(":rg.freedesktop.systemd1").is_ok());
        assert_eq!(renamed(&[ANSWER]).await, expected);
        assert_eq!(renamed(&[ANSWER, ANSWER]).await, expected.repeat(2));
    }

    #[tokio::test]
    async fn it_is_found_wherever_a_piece_ends_and_nothing_whole_is_held_back() {
        let place = ANSWER.windows(SENDER.len()).position(|it| it == SENDER).unwrap();
        for end in place..place + SENDER.len() {
            let (mut manager, mut from) = tokio::io::duplex(1 << 16);
            let (mut to, mut client) = tokio::io::duplex(1 << 16);
            let carried = tokio::spawn(async move { rename(&mut from, &mut to).await });
            manager.write_all(&ANSWER[..end]).await.unwrap();
            let mut first = vec![0; place];
            client.read_exact(&mut first).await.unwrap();
            assert_eq!(first, ANSWER[..place]);
            manager.write_all(&ANSWER[end..]).await.unwrap();
            drop(manager);
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest[AT], b':', "cut at {end}");
            assert_eq!(rest[AT + 1..], ANSWER[place + AT + 1..]);
            carried.await.unwrap().unwrap();
        }
    }
}
