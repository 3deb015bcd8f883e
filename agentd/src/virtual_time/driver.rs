//! The driver's side: a Unix socket on which the agent is told what time it is.
//!
//! The agent connects to the socket that the driver listens on. A line from the driver is a moment: milliseconds of
//! `CLOCK_BOOTTIME`, of it asleep, and of `CLOCK_REALTIME` since 1970, in decimal, with one space between. The first
//! is the moment of the start. To each the agent answers once nothing is left to do: `settled`, a space, and the next
//! moment at which it wants to be woken (milliseconds of `CLOCK_BOOTTIME`), or `-`. A driver that goes away leaves a
//! clock that stands for ever, under which nothing is ever idle for long enough.

use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_core::stamp::Stamp;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{TIME, VirtualTime};
use crate::aws::CloudSettings;

/// A driver says at once what time it is.
const GREETING: Duration = Duration::from_secs(10);
/// Three numbers of twenty digits fit.
const LONGEST: usize = 80;

/// Why time cannot be moved. The messages fit after "failed to".
#[derive(Debug, Error)]
pub enum DriverError {
    /// It would be a live machine.
    #[error(
        "use --virtual-clock: it is for tests, and --host-root '{0}' is the machine that the agent runs on"
    )]
    RealMachine(PathBuf),
    /// It would be a live instance.
    #[error(
        "use --virtual-clock: it is for tests, and {service} is not on loopback; set {variable} to an address such as \
         http://127.0.0.1:8080"
    )]
    RealService {
        /// Which.
        service: &'static str,
        /// What would lead elsewhere.
        variable: &'static str,
    },
    /// There is no driver.
    #[error("talk to the driver of the virtual clock at '{path}': {error}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What it said is no moment.
    #[error("understand the driver of the virtual clock: '{0}' is not three numbers")]
    Moment(String),
}

/// The connection to the driver.
#[derive(Debug)]
pub struct Driver {
    stream: UnixStream,
    time: &'static VirtualTime,
}

impl Driver {
    /// Refuses on anything that could be a live machine, connects, and makes the driver's time this process's. Must be
    /// called within the runtime and before anything asks what time it is.
    pub fn connect(
        socket: &Path,
        host_root: &Path,
        cloud: &CloudSettings,
    ) -> Result<Self, DriverError> {
        permit(host_root, cloud)?;
        let failed = |error| DriverError::Socket { path: socket.to_owned(), error };
        let mut stream = StdStream::connect(socket).map_err(failed)?;
        stream.set_read_timeout(Some(GREETING)).map_err(failed)?;
        let mut line = String::new();
        while !line.ends_with('\n') && line.len() < LONGEST {
            let mut byte = [0];
            stream.read_exact(&mut byte).map_err(failed)?;
            line.extend(byte.map(char::from));
        }
        let time = TIME.get_or_init(|| VirtualTime::new(Stamp::default()));
        time.lock().now = moment(&line)?;
        stream.set_nonblocking(true).map_err(failed)?;
        Ok(Self { stream: UnixStream::from_std(stream).map_err(failed)?, time })
    }

    /// Follows the driver until it goes away.
    pub async fn follow(mut self) {
        let mut now = self.time.now();
        loop {
            self.time.advance(now).await;
            let next = self.time.next_wake().map_or_else(|| "-".to_owned(), |at| at.to_string());
            if self.stream.write_all(format!("settled {next}\n").as_bytes()).await.is_err() {
                return;
            }
            let Some(line) = self.line().await else { return };
            let Ok(told) = moment(&line) else { return };
            now = told;
        }
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        while !line.ends_with('\n') && line.len() < LONGEST {
            let mut block = [0; LONGEST];
            let count = self.stream.read(&mut block).await.ok().filter(|count| *count > 0)?;
            line.push_str(&String::from_utf8_lossy(block.get(..count)?));
        }
        Some(line)
    }
}

/// Whether this can be no live machine, whatever the configuration says now or after a reload.
fn permit(host_root: &Path, cloud: &CloudSettings) -> Result<(), DriverError> {
    if is_this_machine(host_root) {
        return Err(DriverError::RealMachine(host_root.to_owned()));
    }
    if !is_loopback(&cloud.imds.to_string()) {
        return Err(DriverError::RealService {
            service: "the metadata service",
            variable: "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        });
    }
    if !cloud.ec2.endpoint.as_deref().is_some_and(is_loopback) {
        return Err(DriverError::RealService { service: "EC2", variable: "AWS_ENDPOINT_URL_EC2" });
    }
    Ok(())
}

/// Whether a folder is the root of the file system, under whatever name. What cannot be looked at may be.
fn is_this_machine(folder: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|it| (it.dev(), it.ino()));
    match (identity(folder), identity(Path::new("/"))) {
        (Ok(folder), Ok(root)) => folder == root,
        _ => true,
    }
}

/// Whether a URL names an address of loopback by number. A name may lead anywhere.
fn is_loopback(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok_and(|address| address.is_loopback())
}

fn moment(line: &str) -> Result<Stamp, DriverError> {
    let wrong = || DriverError::Moment(line.trim_end().escape_debug().to_string());
    let mut words = line.trim_end().split(' ');
    let mut word = || words.next().ok_or_else(wrong);
    let boot_ms = word()?.parse().map_err(|_| wrong())?;
    let asleep_ms = word()?.parse().map_err(|_| wrong())?;
    let wall_ms = word()?.parse().map_err(|_| wrong())?;
    match words.next() {
        None => Ok(Stamp::new(boot_ms, asleep_ms, wall_ms)),
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(imds: &str, ec2: &str) -> CloudSettings {
        let variable = |name: &str| match name {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT" => Some(imds.to_owned()),
            "AWS_ENDPOINT_URL_EC2" => Some(ec2.to_owned()),
            _ => None,
        };
        CloudSettings::from_env(variable).unwrap()
    }

    const LOCAL: &str = "http://127.0.0.1:8080";

    #[test]
    fn a_live_machine_is_refused_under_any_name() {
        let cloud = settings(LOCAL, LOCAL);
        for root in ["/", "/.", "/proc/1/../..", "/proc/self/root", "/no/such/folder"] {
            let error = permit(Path::new(root), &cloud).unwrap_err();
            assert!(matches!(error, DriverError::RealMachine(_)), "{root}: {error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        assert!(permit(&link, &cloud).is_err());
        assert!(permit(folder.path(), &cloud).is_ok());
    }

    #[test]
    fn live_services_are_refused_and_so_are_names() {
        let folder = tempfile::tempdir().unwrap();
        for elsewhere in
            ["", "http://169.254.169.254", "http://localhost:8080", "http://127.0.0.1.example:80"]
        {
            for cloud in [settings(elsewhere, LOCAL), settings(LOCAL, elsewhere)] {
                let error = permit(folder.path(), &cloud).unwrap_err();
                assert!(error.to_string().contains("http://127.0.0.1:8080"), "{error}");
            }
        }
        let [imds, ec2] = ["http://[::1]:80", "https://127.8.9.10"];
        assert!(permit(folder.path(), &settings(imds, ec2)).is_ok());
    }

    #[test]
    fn a_moment_is_three_numbers() {
        assert_eq!(moment("3600000 0 1700000000000\n").unwrap().boot_ms, 3_600_000);
        assert_eq!(moment("5 4 -3\n").unwrap(), Stamp::new(5, 4, -3));
        for wrong in ["", "\n", "1 2\n", "1 2 3 4\n", "-1 0 0\n", "a b c\n", "1  2 3\n"] {
            let error = moment(wrong).unwrap_err().to_string();
            assert!(error.starts_with("understand "), "{error}");
        }
    }

    #[tokio::test]
    async fn a_driver_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("nobody");
        let error = Driver::connect(&socket, folder.path(), &settings(LOCAL, LOCAL)).unwrap_err();
        assert!(error.to_string().contains("nobody"), "{error}");
        assert!(super::super::get().is_none(), "the time of this process is untouched");
    }
}
