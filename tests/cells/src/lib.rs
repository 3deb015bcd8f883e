//! The real agent among real processes: each case gets a *cell*, a machine made of namespaces.
//!
//! A cell has processes, a network, files, terminals and control groups of its own, all made by the kernel, so that
//! what is read in it is what the kernel counts: nothing of `/proc` is written by a test. It has systemd's slices
//! without systemd, a cable to a network that is outside, the simulated metadata service and EC2, and the real
//! `agentd` in `agentd.service`. What is seen of a case is whether EC2 was asked to stop the instance, and when.
//!
//! The same program plays every part, since a part needs threads, namespaces or a name of its own: [`parts`] says
//! which. Cells need root, control groups of version 2 and an overlay file system; [`runner`] says what is missing.

pub mod case;
pub mod cell;
pub mod load;
pub mod outside;
pub mod parts;
pub mod process;
pub mod runner;
pub mod seen;
