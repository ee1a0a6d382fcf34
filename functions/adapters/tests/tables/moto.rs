//! moto's server, for a second opinion on the embedded DynamoDB and SQS.
//!
//! The server is a child process that listens on the loopback device, ends when its standard input does, and has an
//! environment in which every way out leads to a closed port.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[expect(clippy::disallowed_methods, reason = "tests are told by their environment which tools are there")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A Python that has moto's server, or none; where `CARTEIRO_REQUIRE_ALL=1`, having none is a failure.
pub(crate) fn python() -> Option<PathBuf> {
    let python = PathBuf::from(variable("CARTEIRO_PYTHON").unwrap_or_else(|| "python3".to_owned()));
    let found = Command::new(&python)
        .args(["-c", "import moto.server, moto.dynamodb.models, moto.sqs.models"])
        .output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let what = "a Python with moto[dynamodb,server] (CARTEIRO_PYTHON names one)";
    assert!(variable("CARTEIRO_REQUIRE_ALL").as_deref() != Some("1"), "{what} is required and missing");
    println!("SKIPPED: {what} is missing");
    None
}

/// A server that runs as long as this.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(python: &Path) -> Self {
        const CLOSED: &str = "http://127.0.0.1:9";
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/moto_server.py");
        let child = Command::new(python)
            // No files of its user's, and none left behind.
            .args(["-I", "-B"])
            .arg(script)
            .env_clear()
            .envs(variable("PATH").map(|path| ("PATH", path)))
            .envs(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].map(|name| (name, CLOSED)))
            .envs([("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")])
            .envs([("AWS_DEFAULT_REGION", "us-east-1"), ("AWS_EC2_METADATA_DISABLED", "true")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { child, address: String::new() };
        // It says where it is as soon as it listens; should it end before, there is nothing to read.
        BufReader::new(server.child.stdout.take().unwrap()).read_line(&mut server.address).unwrap();
        server.address = server.address.trim().to_owned();
        assert!(
            server.address.starts_with("127.0.0.1:"),
            "moto's server did not start: {:?}",
            server.address
        );
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
