//! What YouTube and Google Play share: the errors of Google's APIs, and the keys of service accounts.

pub(crate) mod answers;
pub mod service_account;
