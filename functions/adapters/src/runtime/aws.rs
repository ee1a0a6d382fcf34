//! How the functions reach AWS.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext};

use crate::runtime::tls::trust_store;

/// The limit of one call, without connecting and retries. A DynamoDB or SQS call takes milliseconds; one that takes
/// seconds is lost.
const ATTEMPT: Duration = Duration::from_secs(3);

/// One call with all its retries.
const OPERATION: Duration = Duration::from_secs(7);

/// The clients of AWS's services, and the function's own credentials.
pub struct Aws {
    /// The tables' client.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The queues' client.
    pub sqs: aws_sdk_sqs::Client,
    /// None where the environment has none; then every call fails.
    pub credentials: Option<SharedCredentialsProvider>,
}

/// A client of one service. The SDKs' configurations have the same methods, and no type in common.
macro_rules! client {
    ($sdk:ident, $endpoint:literal, $setting:ident, $credentials:ident, $http:ident) => {{
        let mut config = $sdk::Config::builder()
            .behavior_version($sdk::config::BehaviorVersion::latest())
            .region($setting("AWS_REGION").map($sdk::config::Region::new))
            .http_client($http.clone())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts());
        config.set_endpoint_url($setting($endpoint).or_else(|| $setting("AWS_ENDPOINT_URL")));
        config.set_credentials_provider($credentials.clone());
        $sdk::Client::from_conf(config.build())
    }};
}

/// The clients, with region, credentials and endpoints from the environment, and `ring` as the only source of
/// cryptography. Where every endpoint is plain http, as in a local stack, no TLS is set up at all.
///
/// Lambda gives the credentials of a function's role in its environment. The SDK's default chain, which looks for them
/// in files and at other services, too, makes a zipped function a tenth larger.
pub fn clients(setting: &dyn Fn(&str) -> Option<String>) -> Aws {
    let endpoints = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SQS"].map(setting);
    let plain = endpoints.iter().all(|url| url.as_deref().is_some_and(|url| url.starts_with("http://")));
    let http = if plain {
        Builder::new().build_http()
    } else {
        let context = TlsContext::builder().with_trust_store(trust_store()).build();
        let builder = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
        match context {
            Ok(context) => builder.tls_context(context).build_https(),
            Err(_) => builder.build_https(),
        }
    };
    let credentials = credentials(setting);
    Aws {
        dynamodb: client!(aws_sdk_dynamodb, "AWS_ENDPOINT_URL_DYNAMODB", setting, credentials, http),
        sqs: client!(aws_sdk_sqs, "AWS_ENDPOINT_URL_SQS", setting, credentials, http),
        credentials,
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build()
}

fn credentials(setting: &dyn Fn(&str) -> Option<String>) -> Option<SharedCredentialsProvider> {
    let (key, secret) = (setting("AWS_ACCESS_KEY_ID")?, setting("AWS_SECRET_ACCESS_KEY")?);
    let credentials = Credentials::new(key, secret, setting("AWS_SESSION_TOKEN"), None, "environment");
    Some(SharedCredentialsProvider::new(credentials))
}

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::ProvideCredentials as _;

    use super::*;

    #[tokio::test]
    async fn a_functions_credentials_are_its_environments() {
        let set = |names: &'static [(&str, &str)]| {
            move |name: &str| {
                names.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            }
        };
        let role = set(&[
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_SESSION_TOKEN", "session"),
            ("AWS_REGION", "sa-east-1"),
        ]);
        let aws = clients(&role);
        let found = aws.credentials.unwrap().provide_credentials().await.unwrap();
        let found = (found.access_key_id(), found.secret_access_key(), found.session_token());
        assert_eq!(found, ("id", "secret", Some("session")));
        assert_eq!(aws.dynamodb.config().region().map(AsRef::as_ref), Some("sa-east-1"));
        assert!(clients(&set(&[("AWS_ACCESS_KEY_ID", "id")])).credentials.is_none());
    }
}
