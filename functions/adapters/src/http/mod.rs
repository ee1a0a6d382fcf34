//! HTTP to others: webhooks and the networks' APIs.

pub mod network_client;
pub mod sender;
pub mod service_account_token;
