//! What the template allows the functions. That it allows all that they call, every test of a bundle shows.

use carteiro_local::RefusedCall;
use carteiro_tests::{Bundle, assert_problem};
use serde_json::json;

#[tokio::test]
async fn a_call_that_the_template_forbids_has_no_effect_and_is_named() {
    let statement = |action: &str| {
        format!("Sid: QueueDeliveries\n              Effect: Allow\n              Action: {action}\n")
    };
    let bundle = Bundle::start_edited([], |template| {
        let (with, without) = (statement("sqs:SendMessage"), statement("sqs:GetQueueAttributes"));
        assert!(template.contains(&with), "{template}");
        template.replace(&with, &without)
    })
    .await;
    let account = bundle.account().await;
    bundle.webhook(&account, "/here", &["message"]).await;
    let reply = bundle.client.post("/bots/b/messages", &account.key, json!({}).to_string()).await;
    assert_problem(&reply, 503, "unavailable");
    let refused = RefusedCall {
        function: "IngestFunction".to_owned(),
        action: "sqs:SendMessage".to_owned(),
        resource: "arn:aws:sqs:us-east-1:000000000000:DeliverQueue".to_owned(),
    };
    assert_eq!(bundle.stack.refused_calls(), [refused]);
    assert_eq!(bundle.stack.queues().describe_queue("DeliverQueue").await.unwrap().counts.visible, 0);
    // Without `Bundle::stop`, which asserts that nothing was refused.
    bundle.stack.stop().await;
    bundle.receiver.stop().await;
}
