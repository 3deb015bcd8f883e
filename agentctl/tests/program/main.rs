//! The program as a process, against an agent that answers as each test says.

mod agent;
mod commands;
mod run;
