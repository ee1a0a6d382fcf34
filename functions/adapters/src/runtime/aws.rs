//! How the functions reach AWS.

use aws_config::BehaviorVersion;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext};
use std::time::Duration;

use crate::runtime::tls::trust_store;

/// The limit of one call, without connecting and retries. A DynamoDB or SQS call takes milliseconds; one that takes
/// seconds is lost.
const ATTEMPT: Duration = Duration::from_secs(3);

/// One call with all its retries.
const OPERATION: Duration = Duration::from_secs(7);

/// The SDK's configuration: region, credentials and endpoints from the environment, `ring` as the only source of
/// cryptography. Where every endpoint is plain http, as in a local stack, no TLS is set up at all.
pub async fn config(setting: &dyn Fn(&str) -> Option<String>) -> SdkConfig {
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
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(2))
                .operation_attempt_timeout(ATTEMPT)
                .operation_timeout(OPERATION)
                .build(),
        )
        .load()
        .await
}
