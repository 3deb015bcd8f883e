//! The parts that this program plays in itself. Which one, stands in the environment, since the arguments belong to the
//! disguise: a load is started under the name and with the arguments of what it stands for.

use std::env;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::case::Case;
use crate::{cell, load, outside, process};

/// Says which part is to be played: `outside CASE`, `cell CASE`, `load WORDS…`.
pub const PART: &str = "CELL_PART";
/// Says where a process goes before it becomes what it is: `GROUP UID`.
pub const PLACE: &str = "CELL_PLACE";

/// Plays the part that the environment names. False: none, this is the program that was started by hand.
pub fn play(cases: &[Case]) -> io::Result<bool> {
    if let Ok(place) = env::var(PLACE) {
        let why = take_place(&place);
        cell::complain(&format!("a process in {place}: {why}"));
        return Err(why);
    }
    let Ok(part) = env::var(PART) else { return Ok(false) };
    let words: Vec<&str> = part.split_whitespace().collect();
    let named = |name: &str| {
        cases.iter().find(|case| case.name == name).ok_or_else(|| io::Error::other("no such case"))
    };
    match words.as_slice() {
        ["outside", name] => outside::play(named(name)?)?,
        ["cell", name] => cell::play(named(name)?)?,
        ["load", words @ ..] => {
            let played = load::play(words);
            if let Err(why) = &played {
                cell::complain(&format!("{part}: {why}"));
            }
            played?;
        }
        _ => return Err(io::Error::other(format!("no such part: {part}"))),
    }
    Ok(true)
}

/// Goes into its control group, becomes its user, and turns into the program that its arguments name.
fn take_place(place: &str) -> io::Error {
    let mut words = place.split_whitespace();
    let (Some(group), Some(Ok(uid))) = (words.next(), words.next().map(str::parse::<u32>)) else {
        return io::Error::other(format!("a bad place: {place}"));
    };
    // With a slash before it also the top group has a name.
    if let Err(why) = process::join(group.trim_start_matches('/')) {
        return why;
    }
    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else { return io::Error::other("no program") };
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env_remove(PLACE);
    if uid != 0 {
        command.uid(uid).gid(uid);
    }
    command.exec()
}
