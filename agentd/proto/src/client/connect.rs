//! Connects with a deadline, and waits for an agent that is starting.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect as connect_to, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// Between two attempts.
pub(super) const PAUSE: Duration = Duration::from_millis(40);

/// A stream whose reads and writes end at about `deadline`.
///
/// A socket that exists and refuses belongs to an agent that is starting (or has just gone), so it is tried again for
/// `starting`. A socket that does not exist is not waited for.
pub(super) fn connect(
    path: &Path,
    starting: Duration,
    deadline: Instant,
) -> io::Result<UnixStream> {
    let patient_until = (Instant::now() + starting).min(deadline);
    loop {
        match attempt(path, deadline) {
            Err(error)
                if error.kind() == io::ErrorKind::ConnectionRefused
                    && Instant::now() < patient_until =>
            {
                std::thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

/// One attempt. A full backlog makes connect(2) wait; the socket's send time-out ends that (unix(7), socket(7)), which
/// `UnixStream::connect` cannot do.
fn attempt(path: &Path, deadline: Instant) -> io::Result<UnixStream> {
    let address = UnixAddr::new(path)?;
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let left = left(deadline)?;
    let millis = i64::try_from(left.as_millis()).unwrap_or(i64::MAX).max(1);
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::milliseconds(millis))?;
    connect_to(fd.as_raw_fd(), &address)?;
    let stream = UnixStream::from(fd);
    stream.set_read_timeout(Some(left))?;
    Ok(stream)
}

/// What is left until the deadline; an error when nothing is.
pub(super) fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    }
    Ok(left)
}
