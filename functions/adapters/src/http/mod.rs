//! HTTP to others: webhooks, the networks' APIs, e-mail, and the deployment that waits for an answer.

pub mod mail;
pub mod network_client;
pub mod reply;
pub mod sender;
pub mod service_account_token;
