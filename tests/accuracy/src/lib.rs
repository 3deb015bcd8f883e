//! How accurate the verdict is: labelled scenarios, the engine and the rules of other tools, all scored in one run.
//!
//! A scenario says what happens on a machine and what a right agent does. Each becomes steps of ten seconds (`step`).
//! For agentd a step becomes the raw readings that its sources give, and the real engine decides (`ours`). The rules of
//! other tools (`peers`) are written from their documented behaviour, with their documented faults. `score` compares
//! both with the label; `table` writes the comparison of `packaging/doc/accuracy.md`.

pub mod classes;
pub mod corpus;
pub mod ours;
pub mod peers;
pub mod results;
pub mod scenario;
pub mod score;
pub mod second;
pub mod signals;
pub mod step;
pub mod table;
pub mod teeth;
pub mod world;
