//! The account of CPU time against kernels that are simulated.
