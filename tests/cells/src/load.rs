//! What processes of a cell do. A load is a line of words:
//!
//! - `sleep`: nothing, for ever
//! - `cpu CORES [SECONDS]`: uses so much of a processor, steadily, and ends when the seconds are over
//! - `bursts PER_SECOND CORES`: the same by short-lived child processes
//! - `pulse SECONDS PERIOD`: a whole processor for so many seconds of each period
//! - `litter PER_SECOND CORES`: like `bursts`, by processes that lose their parent at once
//! - `groups BEFORE BEHIND UID SECONDS CORES`: all the time a new control group with a new process that lives so long
//! - `shell LINE`: a line of the shell
//! - `forks PER_SECOND`: so many child processes a second that end at once
//! - `serve PORT`: answers requests by TCP with the number of bytes that they ask for
//! - `ask HOST:PORT BYTES MILLISECONDS kept|new`: asks such a server in this rhythm, over one connection or new ones
//! - `request HOST:PORT UP DOWN MILLISECONDS kept|new`: the same with requests of so many bytes
//! - `rerun GROUP LIVES RESTS CORES`: again and again a process that lives so many seconds, in a group of this name made
//!   anew, and a pause
//! - `play PORT`: a server of UDP that answers each datagram with two of its size
//! - `talk HOST:PORT BYTES MILLISECONDS`: sends such a server datagrams
//! - `hear PORT`: takes datagrams and answers none
//! - `shout HOST:PORT BYTES MILLISECONDS`: sends datagrams and hears no answer
//! - `zombie NAME`: a child of this name has ended, and is not waited for
//! - `chain NAME[,NAME…] LOAD`: child of child of child; the last one has the load
//! - `orphan NAME LOAD`: the load in a process whose parent has ended, in a session of its own, as daemons are
//! - `write BYTES MILLISECONDS PATH`: writes to a file and syncs

use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::setsid;

use crate::cell::complain;
use crate::parts::{PART, PLACE};
use crate::process::{SELF, disguise, path_of};

/// How long a load works before it looks whether it has worked enough.
const SLICE: Duration = Duration::from_millis(5);
/// How often a load looks whether it has to work.
const BEAT: Duration = Duration::from_millis(25);

/// How much of the time that is due to a load may be outstanding.
const PATIENCE: Duration = Duration::from_secs(8);

/// Does what the words say; most loads never end.
pub fn play(words: &[&str]) -> io::Result<()> {
    match words {
        ["cpu", cores] => use_processor(parse(cores)?, None),
        ["cpu", cores, seconds] => {
            use_processor(parse(cores)?, Some(Duration::from_secs(parse(seconds)?)));
        }
        ["bursts", number, cores] => bursts(parse(number)?, parse(cores)?)?,
        ["burst", seconds] => burn_for(Duration::from_secs_f64(parse(seconds)?)),
        ["pulse", seconds, period] => pulse(parse(seconds)?, parse(period)?),
        ["litter", number, cores] => litter(parse(number)?, parse(cores)?)?,
        ["groups", before, behind, uid, seconds, cores] => {
            groups(before, behind, uid, parse(seconds)?, cores)?;
        }
        ["shell", line @ ..] => {
            Command::new("/bin/sh").args(["-c", &line.join(" ")]).env_remove(PART).status()?;
        }
        ["forks", number] => forks(parse(number)?)?,
        ["serve", port] => serve(parse(port)?)?,
        ["ask", server, bytes, pause, kind] => {
            ask(server, parse(bytes)?, Duration::from_millis(parse(pause)?), *kind == "kept");
        }
        ["request", server, up, down, pause, kind] => {
            let pause = Duration::from_millis(parse(pause)?);
            request(server, parse(up)?, parse(down)?, pause, *kind == "kept");
        }
        ["rerun", group, lives, rests, cores] => rerun(group, parse(lives)?, parse(rests)?, cores)?,
        ["play", port] => play_udp(parse(port)?)?,
        ["hear", port] => {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, parse(port)?))?;
            while socket.recv(&mut [0; 2048]).is_ok() {}
        }
        ["talk", server, bytes, pause] => {
            talk(server, parse(bytes)?, Duration::from_millis(parse(pause)?))?;
        }
        ["shout", server, bytes, pause] => {
            shout(server, parse(bytes)?, Duration::from_millis(parse(pause)?))?;
        }
        ["zombie", name] => {
            disguise(&path_of(name))?;
            let child = Command::new(path_of(name)).env(PART, "load burst 0").spawn()?;
            sleep();
            drop(child);
        }
        ["chain", names, load @ ..] => chain(names, load)?,
        ["orphan", name, load @ ..] => {
            let load = format!("load settle {}", load.join(" "));
            start(name, &load)?;
        }
        ["settle", load @ ..] => {
            setsid()?;
            play(load)?;
        }
        ["write", bytes, pause, path] => {
            write(parse(bytes)?, Duration::from_millis(parse(pause)?), path)?;
        }
        ["sleep"] => sleep(),
        _ => return Err(io::Error::other(format!("no such load: {}", words.join(" ")))),
    }
    Ok(())
}

fn parse<T: FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_| io::Error::other(format!("'{word}' is no number")))
}

fn sleep() {
    loop {
        thread::sleep(Duration::from_hours(1));
    }
}

/// The processor time of this process (`CLOCK_PROCESS_CPUTIME_ID` of `clock_gettime(2)`).
fn used() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

fn burn_for(span: Duration) {
    let until = used() + span;
    while used() < until {
        std::hint::black_box((0..10_000_u64).sum::<u64>());
    }
}

/// What it did not get because others were running it takes later. One that waits for too much of it is no load.
fn use_processor(cores: f64, span: Option<Duration>) {
    let start = Instant::now();
    let mut starved = false;
    while span.is_none_or(|span| start.elapsed() < span) {
        if used() < start.elapsed().mul_f64(cores) {
            burn_for(SLICE);
        } else {
            thread::sleep(BEAT);
        }
        if !starved && used() < start.elapsed().saturating_sub(PATIENCE).mul_f64(cores) {
            starved = true;
            complain(&format!(
                "a load of {cores} core got {:.1?} in {:.0?}",
                used(),
                start.elapsed()
            ));
        }
    }
}

/// Waits for the beat after `beat`, however long the work of this one took.
fn next_beat(start: Instant, beat: u32, pause: Duration) {
    let due = pause.saturating_mul(beat);
    thread::sleep(due.saturating_sub(start.elapsed()));
}

fn start(name: &str, part: &str) -> io::Result<std::process::Child> {
    let path = path_of(name);
    disguise(&path)?;
    Command::new(&path).arg0(&path).env(PART, part).stdin(Stdio::null()).spawn()
}

fn bursts(per_second: u32, cores: f64) -> io::Result<()> {
    let (begun, part) = (Instant::now(), format!("load burst {}", cores / f64::from(per_second)));
    for beat in 1.. {
        start("worker", &part)?.wait()?;
        next_beat(begun, beat, Duration::from_secs(1) / per_second);
    }
    Ok(())
}

fn pulse(seconds: f64, period: f64) {
    let begun = Instant::now();
    for beat in 1.. {
        burn_for(Duration::from_secs_f64(seconds));
        next_beat(begun, beat, Duration::from_secs_f64(period));
    }
}

fn litter(per_second: u32, cores: f64) -> io::Result<()> {
    let begun = Instant::now();
    let part = format!("load orphan worker burst {}", cores / f64::from(per_second));
    for beat in 1.. {
        start("launcher", &part)?.wait()?;
        next_beat(begun, beat, Duration::from_secs(1) / per_second);
    }
    Ok(())
}

/// What systemd does for units and sessions that come and go: the empty groups above go with the last one in them.
fn groups(before: &str, behind: &str, uid: &str, seconds: f64, cores: &str) -> io::Result<()> {
    disguise(&path_of("job"))?;
    for number in 1.. {
        let group = format!("{before}{number}{behind}");
        let mut job = Command::new(SELF)
            .args([path_of("job"), path_of("job")])
            .env(PLACE, format!("/{group} {uid}"))
            .env(PART, format!("load cpu {cores}"))
            .spawn()?;
        thread::sleep(Duration::from_secs_f64(seconds));
        job.kill()?;
        job.wait()?;
        let mut path = group.as_str();
        while std::fs::remove_dir(format!("/sys/fs/cgroup/{path}")).is_ok() {
            let Some((above, _)) = path.rsplit_once('/').filter(|(above, _)| above.contains('/'))
            else {
                break;
            };
            path = above;
        }
    }
    Ok(())
}

/// What systemd does with a unit that ends and is started again.
fn rerun(group: &str, lives: f64, rests: f64, cores: &str) -> io::Result<()> {
    disguise(&path_of("job"))?;
    loop {
        let mut job = Command::new(SELF)
            .args([path_of("job"), path_of("job")])
            .env(PLACE, format!("/{group} 0"))
            .env(PART, format!("load cpu {cores}"))
            .spawn()?;
        thread::sleep(Duration::from_secs_f64(lives));
        job.kill()?;
        job.wait()?;
        std::fs::remove_dir(format!("/sys/fs/cgroup/{group}"))?;
        thread::sleep(Duration::from_secs_f64(rests));
    }
}

fn forks(per_second: u32) -> io::Result<()> {
    let begun = Instant::now();
    for beat in 1.. {
        Command::new("/bin/true").env_clear().status()?;
        next_beat(begun, beat, Duration::from_secs(1) / per_second);
    }
    Ok(())
}

fn chain(names: &str, load: &[&str]) -> io::Result<()> {
    let (name, rest) = names.split_once(',').unwrap_or((names, ""));
    let load = load.join(" ");
    let part =
        if rest.is_empty() { format!("load {load}") } else { format!("load chain {rest} {load}") };
    start(name, &part)?.wait()?;
    Ok(())
}

/// A request is the number of bytes that are asked for, four of them, the biggest first.
fn serve(port: u16) -> io::Result<()> {
    for client in TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?.incoming() {
        let mut client = client?;
        thread::spawn(move || -> io::Result<()> {
            let mut size = [0_u8; 4];
            loop {
                client.read_exact(&mut size)?;
                let size = usize::try_from(u32::from_be_bytes(size)).map_err(io::Error::other)?;
                client.write_all(&vec![b'x'; size])?;
            }
        });
    }
    Ok(())
}

/// A request for nothing is four bytes that are answered by none, so any number of them makes a request longer.
fn request(server: &str, up: usize, down: u32, pause: Duration, kept: bool) {
    let (begun, mut connection) = (Instant::now(), None);
    for beat in 1.. {
        let longer = vec![0; (up / 4).saturating_sub(1) * 4];
        let open = || connection.take().map_or_else(|| TcpStream::connect(server), Ok);
        let asked = { open }().and_then(|mut open| {
            open.write_all(&longer)?;
            ask_once(server, down, Some(open))
        });
        connection = asked.ok().filter(|_| kept);
        next_beat(begun, beat, pause);
    }
}

/// Asks until it is ended. A server that is not there yet is asked again.
fn ask(server: &str, bytes: u32, pause: Duration, kept: bool) {
    let (begun, mut connection) = (Instant::now(), None);
    for beat in 1.. {
        let asked = ask_once(server, bytes, connection.take());
        connection = asked.ok().filter(|_| kept);
        next_beat(begun, beat, pause);
    }
}

fn ask_once(server: &str, bytes: u32, connection: Option<TcpStream>) -> io::Result<TcpStream> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => TcpStream::connect(server)?,
    };
    connection.write_all(&bytes.to_be_bytes())?;
    io::copy(&mut (&connection).take(u64::from(bytes)), &mut io::sink())?;
    Ok(connection)
}

fn play_udp(port: u16) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))?;
    let mut datagram = [0_u8; 2048];
    loop {
        let (size, from) = socket.recv_from(&mut datagram)?;
        for _ in 0..2 {
            let _gone = socket.send_to(datagram.get(..size).unwrap_or_default(), from);
        }
    }
}

fn talk(server: &str, bytes: usize, pause: Duration) -> io::Result<()> {
    let six = server.starts_with('[');
    let any: IpAddr = if six { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    let (begun, mut datagram) = (Instant::now(), [0_u8; 2048]);
    for beat in 1.. {
        let _nobody_there = socket.send(datagram.get(..bytes).unwrap_or_default());
        while socket.recv(&mut datagram).is_ok() {}
        next_beat(begun, beat, pause);
    }
    Ok(())
}

fn shout(server: &str, bytes: usize, pause: Duration) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let begun = Instant::now();
    for beat in 1.. {
        let _nobody_there = socket.send_to(&vec![0; bytes], server);
        next_beat(begun, beat, pause);
    }
    Ok(())
}

fn write(bytes: usize, pause: Duration, path: &str) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    let begun = Instant::now();
    for beat in 1.. {
        file.rewind()?;
        file.write_all(&vec![0; bytes])?;
        file.sync_data()?;
        next_beat(begun, beat, pause);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_no_load_are_refused() {
        for words in [&[] as &[&str], &["cpu"], &["cpu", "much"], &["dance", "1"]] {
            assert!(play(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_burst_uses_the_time_that_it_says() {
        let before = used();
        play(&["burst", "0.02"]).unwrap();
        assert!(used().saturating_sub(before) >= Duration::from_millis(20));
    }
}
