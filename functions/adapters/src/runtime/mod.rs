//! The environment of a function: AWS, time, randomness, settings, log, and the HTTP API's requests.

pub mod aws;
pub mod clock;
pub mod function;
pub mod http_api;
pub mod log;
pub mod metrics;
pub mod random;
pub mod representation;
pub mod settings;
pub(crate) mod tls;
