//! What EC2 announces.

pub mod read;
