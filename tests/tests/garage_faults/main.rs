//! How a Garage cluster can fail: what is not known to be absent is not made again,
//! what was given is not lost, and the error says who did not answer.

mod alone;
mod halves;
mod quorum;
mod refused;
mod site;
