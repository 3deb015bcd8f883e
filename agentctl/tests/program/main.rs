//! The program as a process, against an agent that answers as each test says.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod run;
#[cfg(test)]
mod spot;
#[cfg(test)]
mod terminal;
