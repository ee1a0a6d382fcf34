//! Clients that generators make of the API's description: each does the main job of a customer and of the operator
//! against the running bundle (see `tests/python/main_job.py` for its steps).
//!
//! A client is made of what `GET /openapi.json` answers, so that a fault of the description shows as it shows to
//! whoever generates a client: as a call that cannot be written, a field that is lost on the way, or an answer that is
//! refused.

use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use carteiro_tests::{ADMIN_KEY, Bundle, SOON, tools, workspace};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

/// What waits dies after a day.
const SHORT: [(&str, &str); 1] = [("RetentionDays", "1")];

/// The name of the folder that a generated client of Python is made in, and so of its package.
const PACKAGE: &str = "carteiro_client";

/// A folder with the description that a bundle answers, as `openapi.json`.
async fn described(bundle: &Bundle) -> TempDir {
    let answer = bundle.client.request(Method::GET, "/openapi.json", &[], "").await;
    assert_eq!(answer.status, 200);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("openapi.json"), &answer.body).unwrap();
    folder
}

/// Runs a tool to its end, which must be a good one.
pub(crate) async fn succeeds(program: Command) -> String {
    let (shown, output) = ended(program).await;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}\n{said}");
    said
}

/// Runs a tool to its end, and answers how it was called and what it said.
pub(crate) async fn ended(mut program: Command) -> (String, Output) {
    let shown = format!("{program:?}");
    let run = move || -> io::Result<Output> { program.stdin(Stdio::null()).output() };
    (shown, tokio::task::spawn_blocking(run).await.unwrap().unwrap())
}

/// Runs a client's program to its end, moves the bundle's time when it asks for that, and looks at what arrived.
async fn does_the_main_job(bundle: Bundle, mut program: Command) {
    let told = json!({
        "api": bundle.stack.addresses().api, "receiver": bundle.receiver.url(""), "path": "/job", "admin_key": ADMIN_KEY,
    });
    program.arg(told.to_string());
    let mut program = tokio::process::Command::from(program);
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut program = program.spawn().unwrap();
    let mut input = program.stdin.take().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut is_done = false;
    while let Some(line) = lines.next_line().await.unwrap() {
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if let Some(hours) = said["pass_hours"].as_u64() {
            bundle.advance(Duration::from_secs(hours * 3600)).await;
            bundle.tick().await;
            input.write_all(b"passed\n").await.unwrap();
        }
        is_done |= said["done"] == true;
    }
    let output = program.wait_with_output().await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && is_done, "{complaint}\n{:#?}", bundle.complaints());

    // What the client was given arrived whole.
    for item_type in ["message", "event", "contact"] {
        let whole = json!({"text": format!("Olá, {item_type}"), "n": 1});
        let is_it = |body: &[u8]| serde_json::from_slice::<Value>(body).is_ok_and(|body| body == whole);
        let found = bundle.receiver.wait_for(|delivery| is_it(&delivery.body), SOON).await;
        assert!(found.is_ok(), "no delivery has all fields of {whole}");
    }
    // Four dead items, and a test.
    assert_eq!(bundle.receiver.count("/job/mended"), 5);
    bundle.stop().await;
}

/// The program of a client in Python, beside its generated package.
fn python_job(python: &Path, folder: &Path, script: &str) -> Command {
    let mut program = Command::new(python);
    program.arg(workspace().join("tests/python").join(script));
    program.env("PYTHONPATH", folder).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUTF8", "1");
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_openapi_python_client_does_the_main_job() {
    let Some(python) = tools::python_with("openapi_python_client") else { return };
    let bundle = Bundle::start_with(SHORT).await;
    let folder = described(&bundle).await;
    let mut generator = Command::new(&python);
    generator.args(["-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]);
    generator.arg("--path").arg(folder.path().join("openapi.json"));
    generator.arg("--config").arg(workspace().join("infra/checks/openapi_python_client.yaml"));
    generator.arg("--output-path").arg(folder.path().join(PACKAGE));
    succeeds(generator).await;
    let program = python_job(&python, folder.path(), "job_by_openapi_python_client.py");
    does_the_main_job(bundle, program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_openapi_generator_does_the_main_job() {
    let Some(python) = tools::python_with("openapi_generator_cli") else { return };
    if tools::program("java").is_none() {
        return;
    }
    let bundle = Bundle::start_with(SHORT).await;
    let folder = described(&bundle).await;
    let mut generator = Command::new(&python);
    generator.args(["-c", "from openapi_generator_cli import cli; cli()", "generate", "-g", "python"]);
    generator.args(["--package-name", PACKAGE, "--global-property"]);
    generator
        .arg("apis,models,supportingFiles,apiDocs=false,modelDocs=false,apiTests=false,modelTests=false");
    generator.arg("-i").arg(folder.path().join("openapi.json")).arg("-o").arg(folder.path());
    succeeds(generator).await;
    let program = python_job(&python, folder.path(), "job_by_openapi_generator.py");
    does_the_main_job(bundle, program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_openapi_typescript_does_the_main_job() {
    let Some(modules) = tools::node_modules_with("openapi-typescript") else { return };
    let bundle = Bundle::start_with(SHORT).await;
    let folder = described(&bundle).await;
    std::os::unix::fs::symlink(&modules, folder.path().join("node_modules")).unwrap();
    for file in ["main_job.ts", "tsconfig.json"] {
        std::fs::copy(workspace().join("tests/node").join(file), folder.path().join(file)).unwrap();
    }
    std::fs::write(folder.path().join("package.json"), r#"{"type": "module"}"#).unwrap();
    let mut generator = Command::new("node");
    generator.arg(modules.join("openapi-typescript/bin/cli.js"));
    generator.arg(folder.path().join("openapi.json")).arg("-o").arg(folder.path().join("schema.d.ts"));
    succeeds(generator).await;
    let mut compiler = Command::new("node");
    compiler.arg(modules.join("typescript/bin/tsc")).arg("-p").arg(folder.path());
    succeeds(compiler).await;
    let mut program = Command::new("node");
    program.arg(folder.path().join("built/main_job.js"));
    does_the_main_job(bundle, program).await;
}
