//! A function that does nothing but set up the AWS SDK's clients with TLS: what one TLS client costs at the start.

use carteiro_adapters::runtime::aws;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let aws = aws::clients(&|_| None);
    let region = aws.dynamodb.config().region().map(ToString::to_string);
    lambda_runtime::run(service_fn(|_: LambdaEvent<Value>| {
        let region = region.clone();
        async move { Ok::<_, Error>(json!({"region": region})) }
    }))
    .await
}
