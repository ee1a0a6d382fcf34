//! The API's description, held to the API by tools that know nothing of Carteiro: schemathesis makes the calls that the
//! description allows, and some that it does not, and compares the answers with it; a linter reads it.

use std::process::Command;

use carteiro_tests::{ADMIN_KEY, Bundle, tools, workspace};
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::generated_clients::{ended, succeeds};

/// What schemathesis says of the API, by the calls that this description makes it think of.
async fn compared(bundle: &Bundle, python: &std::path::Path, description: &str) -> Result<String, String> {
    let account = bundle.account().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("openapi.json"), description).unwrap();
    let mut tool = Command::new(python);
    tool.args(["-m", "schemathesis.cli"])
        .arg("--config-file")
        .arg(workspace().join("infra/checks/schemathesis.toml"));
    tool.args(["run", "openapi.json", "--url", &bundle.stack.addresses().api, "--warnings", "off"]);
    tool.env("PYTHONPATH", workspace().join("infra/checks")).env("SCHEMATHESIS_HOOKS", "schemathesis_hooks");
    tool.env("ACCOUNT_KEY", &account.key).env("ADMIN_KEY", ADMIN_KEY).env("PYTHONDONTWRITEBYTECODE", "1");
    tool.current_dir(folder.path());
    let (_, output) = ended(tool).await;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(said) } else { Err(said) }
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_calls_are_answered_as_described() {
    let Some(python) = tools::python_with("schemathesis") else { return };
    let secrets = [
        ("AttemptSeconds", "1"),
        ("MetaAppSecrets", "planted-meta-secret-of-these-calls"),
        ("MetaVerifyToken", "planted-verify-token-of-these-calls"),
        ("XConsumerSecrets", "planted-x-secret-of-these-calls"),
        ("LinkedinClientSecrets", "planted-linkedin-secret-of-these-calls"),
        ("YoutubeHubSecret", "planted-hub-secret-of-these-calls"),
    ];
    let bundle = Bundle::start_with(secrets).await;
    let description = bundle.client.request(Method::GET, "/openapi.json", &[], "").await.text();
    let began = Instant::now();
    let said = compared(&bundle, &python, &description).await.unwrap_or_else(|said| panic!("{said}"));
    let counted = said.lines().find(|line| line.contains("generated")).unwrap_or_default();
    println!("{} in {:?}", counted.trim(), began.elapsed());

    // A fault is seen: an answer that is not described.
    let mut faulty: Value = serde_json::from_str(&description).unwrap();
    let list = faulty["paths"]["/webhooks"]["get"].clone();
    faulty["paths"] = json!({"/webhooks": {"get": list}});
    assert!(
        faulty["paths"]["/webhooks"]["get"]["responses"].as_object_mut().unwrap().remove("422").is_some()
    );
    let said = compared(&bundle, &python, &faulty.to_string()).await.unwrap_err();
    assert!(said.contains("Undocumented status code") && said.contains("422"), "{said}");
    bundle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_linter_finds_nothing_in_the_description() {
    let Some(modules) = tools::node_modules_with("@redocly/cli") else { return };
    let bundle = Bundle::start().await;
    let description = bundle.client.request(Method::GET, "/openapi.json", &[], "").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("openapi.json");
    std::fs::write(&path, &description.body).unwrap();
    let lint = || {
        let mut linter = Command::new("node");
        linter.arg(modules.join("@redocly/cli/bin/cli.js")).arg("lint").arg(&path);
        linter.arg("--config").arg(workspace().join("infra/checks/redocly.yaml"));
        linter.env("REDOCLY_TELEMETRY", "off").env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true");
        linter
    };
    succeeds(lint()).await;

    // A fault is seen: an example that is not of its schema.
    let mut faulty = description.json();
    let body = &mut faulty["paths"]["/accounts"]["post"]["requestBody"]["content"]["application/json"];
    assert!(body["example"]["name"].is_string(), "{body}");
    body["example"]["name"] = json!(5);
    std::fs::write(&path, faulty.to_string()).unwrap();
    let (_, output) = ended(lint()).await;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("no-invalid-media-type-examples"), "{said}");
    bundle.stop().await;
}
