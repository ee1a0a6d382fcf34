//! An ordinary AWS client, boto3, against the local stack.

use std::process::Command;

use carteiro_tests::{Bundle, tools, workspace};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn boto3_reads_tables_and_queues_and_invokes_the_collector() {
    let Some(python) = tools::python_with("boto3") else { return };
    let (bundle, _, _) = Bundle::with_webhook([], "/a", &["event"]).await;
    let addresses = serde_json::to_string(bundle.stack.addresses()).unwrap();
    let mut script = Command::new(python);
    script.arg(workspace().join("tests/python/aws_clients.py")).arg(addresses);
    let output = tokio::task::spawn_blocking(move || script.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The account, its key twice (by its hash, by its account) and the webhook.
    assert_eq!(found["tables"]["ConfigTable"], 4, "{found}");
    for table in ["HeldTable", "DeadTable", "IdempotencyTable", "TickTable"] {
        assert_eq!(found["tables"][table], 0, "{table}");
    }
    assert_eq!(found["queues"]["DeliverQueue"]["VisibilityTimeout"], "180");
    assert_eq!(found["queues"]["DeliverQueue"]["MessageRetentionPeriod"], "1209600");
    assert_eq!(found["tick"]["planned"], true);
    bundle.stop().await;
}
