//! A Kubernetes in memory: an API server, a kubelet that runs the runner's Jobs on simulated databases, and the faults
//! that can be put between the operator and it. No network.

pub mod api;
pub mod cluster;
pub mod conformance;
pub mod connection;
pub mod others;
pub mod patch;
pub mod points;
pub mod restricted;
pub mod scenarios;
pub mod soak;
pub mod states;
pub mod store;
pub mod strikes;
