//! Interruptions, seen from outside: the real agent against a metadata service and an EC2 that behave as badly as they can.
//!
//! What is polled a thousand times for each hostile reply is tested inside agentd, where a poll takes no time
//! (`agentd/src/notices`). Here every kind of reply is met by the whole program for as long as a few of its polls take.

mod blindness;
mod members;
mod notices;
mod phantoms;
mod rates;
mod rig;
mod tellers;
