//! The listening socket: handed over by systemd, or made here.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use thiserror::Error;
use tokio::net::UnixListener;

/// Every local user may connect; what a user may do is decided by user id, one request at a time.
const MODE: u32 = 0o666;

/// Why there is no socket to listen on.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Another agent is alive.
    #[error("listen on '{}': another agentd is already listening there", path.display())]
    InUse {
        /// The socket's path.
        path: PathBuf,
    },
    /// The path is taken by something else.
    #[error("listen on '{}': it exists and is not a socket; move it away", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("listen on '{}': {step}: {error}", path.display())]
    Io {
        /// The socket's path.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// A socket that listens. One that was made here disappears with it.
#[derive(Debug)]
pub struct Listener {
    pub(super) inner: UnixListener,
    made: Option<Made>,
}

/// The file that was made, by its identity, so that a successor's is never removed.
#[derive(Debug)]
struct Made {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Listener {
    /// The socket that systemd hands over (`LISTEN_FDS`, `sd_listen_fds(3)`), else a new one at `path`.
    ///
    /// Must be called within the runtime.
    pub fn open(path: &Path) -> Result<Self, SocketError> {
        let failed = |step, error| SocketError::Io { path: path.to_owned(), step, error };
        let handed = listenfd::ListenFd::from_env()
            .take_unix_listener(0)
            .map_err(|error| failed("take it over from systemd", error))?;
        match handed {
            Some(listener) => Self::adopt(listener, path),
            None => Self::bind(path),
        }
    }

    /// A socket that somebody else made and keeps.
    fn adopt(listener: StdListener, path: &Path) -> Result<Self, SocketError> {
        let failed = |step, error| SocketError::Io { path: path.to_owned(), step, error };
        // The pre-stop hook must not inherit it.
        fcntl(listener.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
            .map_err(|error| failed("keep it from children", error.into()))?;
        Self::from_std(listener, path, None)
    }

    /// A new socket. One that a dead agent left behind is replaced, one that answers is not.
    ///
    /// It is bound under another name, gets its mode, and is then moved into place (rename(2)): whoever finds it at its
    /// path finds it complete, and there is no moment without a socket.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |step, error| SocketError::Io { path: path.to_owned(), step, error };
        refuse_if_taken(path)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let fresh = path.with_file_name(name);
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove an unfinished one", error));
            }
            _ => {}
        }
        let listener = StdListener::bind(&fresh).map_err(|error| failed("bind", error))?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(MODE))
            .map_err(|error| failed("set its mode", error))?;
        let made = std::fs::symlink_metadata(&fresh)
            .map(|meta| Made { path: path.to_owned(), device: meta.dev(), inode: meta.ino() })
            .map_err(|error| failed("inspect it", error))?;
        std::fs::rename(&fresh, path).map_err(|error| failed("move it into place", error))?;
        Self::from_std(listener, path, Some(made))
    }

    fn from_std(
        listener: StdListener,
        path: &Path,
        made: Option<Made>,
    ) -> Result<Self, SocketError> {
        let failed = |step, error| SocketError::Io { path: path.to_owned(), step, error };
        listener.set_nonblocking(true).map_err(|error| failed("make it non-blocking", error))?;
        let inner = UnixListener::from_std(listener)
            .map_err(|error| failed("register it with the runtime", error))?;
        Ok(Self { inner, made })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(made) = &self.made else { return };
        let ours = std::fs::symlink_metadata(&made.path)
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == (made.device, made.inode));
        if ours {
            // Left behind it would be found stale by the next start, so a failure costs nothing.
            let _ = std::fs::remove_file(&made.path);
        }
    }
}

fn refuse_if_taken(path: &Path) -> Result<(), SocketError> {
    match std::fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(SocketError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse { path: path.to_owned() }),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agentd.sock");
        (folder, path)
    }

    #[tokio::test]
    async fn everybody_may_connect_and_the_file_goes_with_the_listener() {
        let (folder, path) = place();
        let listener = Listener::bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
        UnixStream::connect(&path).unwrap();
        drop(listener);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced() {
        let (_folder, path) = place();
        drop(StdListener::bind(&path).unwrap());
        std::fs::write(path.with_file_name("agentd.sock.new"), "unfinished").unwrap();
        assert!(UnixStream::connect(&path).is_err());
        let _listener = Listener::bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn a_living_agent_is_left_alone() {
        let (_folder, path) = place();
        let _first = Listener::bind(&path).unwrap();
        let error = Listener::bind(&path).unwrap_err();
        assert!(matches!(error, SocketError::InUse { .. }), "{error}");
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_never_removed() {
        let (_folder, path) = place();
        std::fs::write(&path, "precious").unwrap();
        let error = Listener::bind(&path).unwrap_err();
        assert!(error.to_string().contains("is not a socket"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_successor_keeps_its_socket() {
        let (_folder, path) = place();
        let first = Listener::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _second = Listener::bind(&path).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn errors_name_the_socket_and_the_step() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(120));
        let error = Listener::bind(&long).unwrap_err().to_string();
        assert!(error.starts_with("listen on '/") && error.contains("bind: "), "{error}");
        let error = Listener::bind(&folder.path().join("none/a.sock")).unwrap_err().to_string();
        assert!(error.contains("none/a.sock"), "{error}");
    }

    #[tokio::test]
    async fn an_adopted_socket_stays_and_is_kept_from_children() {
        let (_folder, path) = place();
        let std = StdListener::bind(&path).unwrap();
        let listener = Listener::adopt(std, &path).unwrap();
        let flags = fcntl(listener.inner.as_fd(), FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
        drop(listener);
        assert!(path.exists());
    }
}
