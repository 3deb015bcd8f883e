//! The other side of the cable: a network of its own with servers and clients, and the parent of its cell.
//!
//! It stays out of the cell's processes, control groups and network: the agent must know of it only by the cable.

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::setsid;

use agent_tests::agent::{BINARY_VARIABLE, CTL_VARIABLE, binary};

use crate::case::Case;
use crate::load;
use crate::parts::PART;

/// The address of the cell's end of the cable.
pub const INSIDE: &str = "198.51.100.1";
/// The address of the other end.
pub const OUTSIDE: &str = "198.51.100.2";
/// The same in IPv6.
pub const INSIDE6: &str = "2001:db8::1";
/// The same in IPv6.
pub const OUTSIDE6: &str = "2001:db8::2";
/// Where services of VPC Lattice are, which are other machines' work (169.254.171.0/24).
pub const LATTICE: &str = "169.254.171.2";
/// At this port of [`OUTSIDE`] is a server of TCP and one of UDP.
pub const PORT: u16 = 7000;
/// For how long the making of a cell is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The script that makes a cell.
const ENTER: &str = include_str!("enter.sh");

/// Makes the cell of a case, lays the cable, and lives as long as it. In a network namespace of its own.
pub fn play(case: &Case) -> io::Result<()> {
    let scratch = env::var("CELL_SCRATCH").map_err(io::Error::other)?;
    let group = env::var("CELL_GROUP").map_err(io::Error::other)?;
    // Loads must get what they are to use, whatever else the machine does (sched(7), the autogroup feature); where that
    // is not allowed they share.
    let _alone_already = setsid();
    let _not_there = fs::write("/proc/self/autogroup", "-15");
    run("ip", &["link", "set", "lo", "up"])?;
    let agentd = binary("agentd", BINARY_VARIABLE).map_err(io::Error::other)?;
    let agentctl = binary("agentctl", CTL_VARIABLE).map_err(io::Error::other)?;
    let mut command = Command::new("setpriv");
    let join = r#"echo 0 > "$0/cgroup.procs" && exec "$@""#;
    command.args(["--pdeathsig", "KILL", "--", "/bin/sh", "-c", join, &group]);
    command.args(["unshare", "--mount", "--pid", "--net", "--cgroup", "--uts"]);
    command.args(["--ipc", "--fork", "--kill-child", "/bin/sh", "-c", ENTER, "enter", &scratch]);
    command.arg(env::current_exe()?).args([agentd, agentctl]).arg(case.name);
    command.env_remove(PART).stdin(Stdio::null());
    let mut cell = command.spawn()?;
    lay_cable(cell.id())?;
    for port in [format!("serve {PORT}"), format!("play {PORT}")] {
        thread::spawn(move || background(&port));
    }
    for load in case.outside {
        thread::spawn(move || background(load));
    }
    let status = cell.wait()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("the cell: {status}"))) }
}

fn background(load: &str) {
    let words: Vec<&str> = load.split_whitespace().collect();
    if let Err(why) = load::play(&words) {
        let _ =
            io::Write::write_all(&mut io::stderr(), format!("outside: {load}: {why}\n").as_bytes());
    }
}

fn lay_cable(cell: u32) -> io::Result<()> {
    let (own, theirs) = ("/proc/self/ns/net".to_owned(), format!("/proc/{cell}/ns/net"));
    let own = fs::read_link(own)?;
    let start = Instant::now();
    while fs::read_link(&theirs)? == own {
        if start.elapsed() > PATIENCE {
            return Err(io::Error::other("the cell has no network of its own"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let cell = cell.to_string();
    run("ip", &["link", "add", "cable", "type", "veth", "peer", "name", "eth0", "netns", &cell])?;
    run("ip", &["address", "add", &format!("{OUTSIDE}/24"), "dev", "cable"])?;
    run("ip", &["-6", "address", "add", &format!("{OUTSIDE6}/64"), "dev", "cable", "nodad"])?;
    run("ip", &["address", "add", &format!("{LATTICE}/32"), "dev", "cable"])?;
    run("ip", &["link", "set", "cable", "up"])?;
    run("ip", &["route", "add", "203.0.113.0/24", "via", INSIDE])
}

/// Waits for the cable and gives its end an address; for the cell.
pub(crate) fn plug_in() -> io::Result<()> {
    let start = Instant::now();
    while !Path::new("/sys/class/net/eth0").exists() {
        if start.elapsed() > PATIENCE {
            return Err(io::Error::other("the cable did not come"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    run("ip", &["address", "add", &format!("{INSIDE}/24"), "dev", "eth0"])?;
    run("ip", &["-6", "address", "add", &format!("{INSIDE6}/64"), "dev", "eth0", "nodad"])?;
    run("ip", &["link", "set", "eth0", "up"])?;
    run("ip", &["route", "add", "default", "via", OUTSIDE])
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} {}: {}", arguments.join(" "), why.trim())))
}
