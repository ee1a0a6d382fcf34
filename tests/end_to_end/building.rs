//! Building the functions, as `cargo run` does before it starts them.

use carteiro_local::{Template, function_build};
use carteiro_tests::{functions, parameters, workspace};
use serde_json::Value;

#[tokio::test]
async fn a_second_build_compiles_nothing() {
    functions().await;
    let template =
        Template::read(&workspace().join("template.yaml"), &parameters([]), "http://127.0.0.1:1").unwrap();
    let packages = function_build::packages(&template);
    let (mut cargo, _) = function_build::command(&workspace(), &packages).unwrap();
    let output = cargo.args(["--message-format", "json"]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let built: Vec<Value> = messages.filter(|message| message["reason"] == "compiler-artifact").collect();
    assert!(built.len() > 100, "{} artifacts", built.len());
    let compiled: Vec<_> =
        built.iter().filter(|artifact| artifact["fresh"] != true).map(|one| &one["package_id"]).collect();
    assert!(compiled.is_empty(), "compiled again: {compiled:?}");
}
