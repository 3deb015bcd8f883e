//! Promises of the real program over hours, in a time that the test moves: looking changes nothing, a fault never stops
//! a machine, a killed agent still stops an idle one, and no clock deceives it.

mod clocks;
mod faults;
mod purity;
mod restarts;
mod scene;
