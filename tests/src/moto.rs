//! `moto_server`, the mock of AWS in Python, with one instance in it: what the rules of [`crate::ec2`] can stand in front of.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::agent::leashed;
use crate::wire::{self, Request, WireError};

/// How to get it.
const REMEDY: &str = "install it with `pip install -r tests/e2e/requirements.txt`";
/// For as long it may take to listen: it imports a lot.
const PATIENCE: Duration = Duration::from_secs(30);
/// An image that it knows from the start.
const IMAGE: &str = "ami-12c6146b";

/// Why it cannot be used. The texts fit after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum MotoError {
    /// It is not installed.
    #[error("find moto_server: {REMEDY}")]
    Missing,
    /// It could not be started.
    #[error("start moto_server: {0}")]
    Start(io::Error),
    /// It does not listen.
    #[error("reach moto_server within {} s", PATIENCE.as_secs())]
    Silent,
    /// It did not do as told.
    #[error("launch an instance in moto: {0}")]
    Refused(String),
    /// Its replies are none.
    #[error("talk to moto: {0}")]
    Wire(#[from] WireError),
}

/// A running server that this program started. It ends with this value.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    addr: SocketAddr,
}

impl Moto {
    /// Starts it on a free port of 127.0.0.1 and waits until it listens. The port is asked for before it starts, so somebody else
    /// may have it by then: it is tried again on another one.
    pub fn start() -> Result<Self, MotoError> {
        Self::start_once().or_else(|_taken| Self::start_once()).or_else(|_taken| Self::start_once())
    }

    fn start_once() -> Result<Self, MotoError> {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(MotoError::Start)?;
        let addr = probe.local_addr().map_err(MotoError::Start)?;
        drop(probe);
        let program = find().ok_or(MotoError::Missing)?;
        let mut command = leashed(&program);
        command.args(["-H", "127.0.0.1", "-p", &addr.port().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(MotoError::Start)?;
        let mut moto = Self { child, addr };
        let start = Instant::now();
        while TcpStream::connect(addr).is_err() {
            if matches!(moto.child.try_wait(), Ok(Some(_))) {
                // A launcher without the package behind it ends at once.
                return Err(MotoError::Missing);
            }
            if start.elapsed() > PATIENCE {
                return Err(MotoError::Silent);
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(moto)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}

/// The program in `PATH`.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("moto_server"))
        .find(|file| file.is_file())
}

/// Launches one instance with hibernation configured in the moto at `addr`, and tells its id.
pub fn launch(addr: SocketAddr, region: &str) -> Result<String, MotoError> {
    let scope = format!("world/20260101/{region}/ec2/aws4_request");
    let signature =
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none");
    let form = format!(
        "Action=RunInstances&Version=2016-11-15&ImageId={IMAGE}&MinCount=1&MaxCount=1&InstanceType=r6i.large\
         &HibernationOptions.Configured=true"
    );
    let request = Request::new("POST", "/")
        .with_header("Authorization", &signature)
        .with_header("X-Amz-Date", "20260101T000000Z")
        .with_header("Content-Type", "application/x-www-form-urlencoded")
        .with_body(form);
    let reply = wire::call(addr, &request, PATIENCE)?.body_text();
    let id = reply.split("<instanceId>").nth(1).and_then(|rest| rest.split("</").next());
    id.map(str::to_owned).ok_or_else(|| MotoError::Refused(reply.chars().take(300).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Instance;
    use crate::world::World;

    #[test]
    fn the_rules_stand_in_front_of_moto_which_holds_the_instance() {
        let moto = match Moto::start() {
            Ok(moto) => moto,
            Err(why @ MotoError::Missing) => {
                eprintln!("SKIPPED: failed to {why}");
                return;
            }
            Err(why) => panic!("failed to {why}"),
        };
        let mut instance = Instance { stop_protected: true, ..Instance::default() };
        instance.id = launch(moto.addr(), &instance.region).unwrap();
        let id = instance.id.clone();
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let world = World::at(free, free, Some(moto.addr()), instance).unwrap();
        let ask = |action: &str| {
            let scope = "a/20260101/eu-central-1/ec2/aws4_request";
            let request = Request::new("POST", "/")
                .with_header(
                    "Authorization",
                    &format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=h, Signature=0"),
                )
                .with_header("X-Amz-Date", "20260101T000000Z")
                .with_header("Content-Type", "application/x-www-form-urlencoded")
                .with_body(format!("Action={action}&Version=2016-11-15&InstanceId.1={id}"));
            wire::call(world.ec2.addr(), &request, PATIENCE).unwrap()
        };
        assert!(ask("StopInstances").body_text().contains("OperationNotPermitted"));
        let described = ask("DescribeInstances").body_text();
        assert!(
            described.contains("<name>running</name>") && described.contains(&id),
            "{described}"
        );
        world.instance.with(|instance| instance.stop_protected = false);
        assert_eq!(ask("StopInstances").status, 200);
        assert!(ask("DescribeInstances").body_text().contains("<name>stopped</name>"));
    }
}
