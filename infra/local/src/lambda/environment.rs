//! An execution environment: a process of the function's binary behind a Runtime API of its own.
//!
//! It runs one invocation at a time. Whatever ends badly (a crash, a timeout, an init that fails) ends the process:
//! an environment that is kept was last seen healthy.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::runtime_api::{Event, Finish, NextPoll, RuntimeApi};
use super::{Invocation, Platform, Signal};
use crate::log_sink::OpenSink;
use crate::moments;
use crate::template::Function;

/// How long a process may take until its first poll (Lambda developer guide, "Init phase").
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes of one log line that are kept (CloudWatch Logs: 1 MB an event; a line here is for reading).
const MAX_LINE_BYTES: usize = 262_144;

/// A process and its Runtime API.
#[derive(Debug)]
pub(crate) struct Environment {
    child: Child,
    api: RuntimeApi,
    initialised: bool,
    /// How far its clock is ahead of the platform's, or behind it.
    clock_ahead_ms: i64,
}

/// One invocation that waits for an environment.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) request_id: String,
    pub(crate) trace_id: String,
    pub(crate) payload: Bytes,
}

/// What became of a piece of work.
#[derive(Debug)]
pub(crate) enum Ran {
    /// The environment is ready for the next one.
    Kept(Invocation),
    /// The environment is spent.
    Spent(Invocation),
    /// The environment ended before it took the work, by no fault of the work.
    NotTaken,
}

/// Why a wait ended.
enum Waited<T> {
    Got(T),
    Exited(Option<ExitStatus>),
    TimedOut,
    Signalled,
}

impl Environment {
    /// Starts the function's binary. It is initialised within the first invocation's wait.
    pub(crate) async fn start(function: &Function, platform: &Platform) -> std::io::Result<Self> {
        let api = RuntimeApi::start().await?;
        let copy = platform.disturbances.copy(&function.name);
        let binary = copy.functions.as_ref().unwrap_or(&platform.functions).join(&function.binary);
        let mut command = Command::new(binary);
        command
            .env_clear()
            .envs(variables(function, platform, &api.address))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(copy_lines(stdout, platform.logs.clone(), function.name.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(copy_lines(stderr, platform.logs.clone(), function.name.clone()));
        }
        Ok(Self { child, api, initialised: false, clock_ahead_ms: copy.clock_ahead_ms })
    }

    /// Its process's id, while it runs.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// Gives the environment one event and waits for its end.
    pub(crate) async fn run(
        &mut self,
        work: &Work,
        function: &Function,
        platform: &Platform,
        signal: &mut watch::Receiver<Signal>,
    ) -> Ran {
        let poll = match self.poll(signal).await {
            Ok(poll) => poll,
            Err(None) => return Ran::NotTaken,
            Err(Some(error)) => return Ran::Spent(Invocation::failed(work, error)),
        };
        let timeout_ms = u64::try_from(function.timeout.as_millis()).unwrap_or(u64::MAX);
        let its_time_ms = platform.clock.now_ms().saturating_add_signed(self.clock_ahead_ms);
        let finished = self.api.expect(&work.request_id);
        let event = Event {
            request_id: work.request_id.clone(),
            function_arn: function.arn(),
            trace_id: work.trace_id.clone(),
            // Functions take the platform's time from this less their timeout.
            deadline_ms: its_time_ms.saturating_add(timeout_ms),
            payload: work.payload.clone(),
        };
        if poll.send(event).is_err() {
            return Ran::NotTaken;
        }
        let finished = async { finished.await.ok() };
        match self.wait(finished, function.timeout, signal).await {
            Waited::Got(Some(Finish::Response(body))) => Ran::Kept(Invocation::succeeded(work, body)),
            Waited::Got(Some(Finish::Error(body))) => Ran::Kept(Invocation::failed(work, body)),
            // The Runtime API drops the sender only when a second event replaces this one, which cannot be.
            Waited::Got(None) | Waited::Signalled => {
                Ran::Spent(Invocation::failed(work, exit_error(&work.request_id, None)))
            }
            Waited::Exited(status) => {
                Ran::Spent(Invocation::failed(work, exit_error(&work.request_id, status)))
            }
            Waited::TimedOut => {
                let error = timed_out(&work.request_id, platform, function, function.timeout);
                Ran::Spent(Invocation::failed(work, error))
            }
        }
    }

    /// Waits until the environment polls. The error is what a failed init answers, or nothing where an environment
    /// that was idle ended.
    async fn poll(&mut self, signal: &mut watch::Receiver<Signal>) -> Result<NextPoll, Option<Bytes>> {
        loop {
            if self.initialised && !matches!(self.child.try_wait(), Ok(None)) {
                return Err(None);
            }
            let waited = {
                let Self { child, api, .. } = self;
                let polled = async {
                    tokio::select! {
                        poll = api.polls.recv() => Ok(poll),
                        error = api.init_errors.recv() => Err(error),
                    }
                };
                wait_for(child, polled, INIT_LIMIT, signal).await
            };
            let initialised = self.initialised;
            let failed = |error: Bytes| if initialised { None } else { Some(error) };
            return match waited {
                // A poll whose connection broke is nobody's.
                Waited::Got(Ok(Some(poll))) if poll.is_closed() => continue,
                Waited::Got(Ok(Some(poll))) => {
                    self.initialised = true;
                    Ok(poll)
                }
                Waited::Got(Err(Some(error))) => Err(failed(error)),
                Waited::Got(Ok(None) | Err(None)) | Waited::Signalled => {
                    Err(failed(exit_error("init", None)))
                }
                Waited::Exited(status) => Err(failed(exit_error("init", status))),
                Waited::TimedOut => Err(failed(init_timed_out())),
            };
        }
    }

    async fn wait<T>(
        &mut self,
        what: impl Future<Output = T>,
        limit: Duration,
        signal: &mut watch::Receiver<Signal>,
    ) -> Waited<T> {
        wait_for(&mut self.child, what, limit, signal).await
    }

    /// Whether the process is still there.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills the process and waits until it is gone.
    pub(crate) async fn end(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::debug!(%error, "a function had ended");
        }
        self.api.stop().await;
    }
}

/// Waits for `what`, at most `limit` of real time, while the process lives and nothing is signalled. An answer that is
/// there wins over an exit, because a process may answer and exit at once.
async fn wait_for<T>(
    child: &mut Child,
    what: impl Future<Output = T>,
    limit: Duration,
    signal: &mut watch::Receiver<Signal>,
) -> Waited<T> {
    tokio::select! {
        biased;
        got = what => Waited::Got(got),
        status = child.wait() => Waited::Exited(status.ok()),
        _ = signal.changed() => Waited::Signalled,
        () = tokio::time::sleep(limit) => Waited::TimedOut,
    }
}

fn exit_error(request_id: &str, status: Option<ExitStatus>) -> Bytes {
    let why = match status {
        Some(status) if status.success() => "Runtime exited without providing a reason".to_owned(),
        Some(status) => format!("Runtime exited with error: {}", describe(status)),
        None => "Runtime exited with error: signal: killed".to_owned(),
    };
    json!({"errorType": "Runtime.ExitError", "errorMessage": format!("RequestId: {request_id} Error: {why}")})
        .to_string()
        .into()
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(9)) => "signal: killed".to_owned(),
        (None, Some(signal)) => format!("signal: {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}

fn init_timed_out() -> Bytes {
    let message = format!("Init timed out after {}.00 seconds", INIT_LIMIT.as_secs());
    json!({"errorType": "Sandbox.Timedout", "errorMessage": message}).to_string().into()
}

fn timed_out(request_id: &str, platform: &Platform, function: &Function, limit: Duration) -> Bytes {
    let now = moments::to_the_millisecond(platform.clock.now_ms());
    let message = format!("{now} {request_id} Task timed out after {:.2} seconds", limit.as_secs_f64());
    platform.logs.write(&function.name, &message);
    json!({ "errorMessage": message }).to_string().into()
}

/// The whole environment of the process: nothing of this process's own leaks into it.
fn variables(function: &Function, platform: &Platform, runtime_api: &str) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> =
        function.environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let memory = function.memory_mb.to_string();
    let date =
        moments::to_the_second(platform.clock.now_ms()).get(..10).unwrap_or_default().replace('-', "/");
    let stream = format!("{date}/[$LATEST]{}", crate::ids::short());
    let root = platform.functions.display().to_string();
    for (name, value) in [
        // Its calls are known by it: see `permissions`.
        ("AWS_ACCESS_KEY_ID", function.name.as_str()),
        ("AWS_DEFAULT_REGION", crate::template::REGION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ENDPOINT_URL_DYNAMODB", &platform.dynamodb),
        ("AWS_ENDPOINT_URL_SQS", &platform.sqs),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory),
        ("AWS_LAMBDA_FUNCTION_NAME", &function.name),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_FORMAT", &function.log_format),
        ("AWS_LAMBDA_LOG_GROUP_NAME", &function.log_group),
        ("AWS_LAMBDA_LOG_STREAM_NAME", &stream),
        ("AWS_LAMBDA_RUNTIME_API", runtime_api),
        ("AWS_REGION", crate::template::REGION),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
        ("LAMBDA_TASK_ROOT", &root),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("TZ", ":UTC"),
        ("_HANDLER", &function.handler),
    ] {
        variables.push((name.to_owned(), value.to_owned()));
    }
    if let Some(level) = &function.log_level {
        variables.push(("AWS_LAMBDA_LOG_LEVEL".to_owned(), level.clone()));
    }
    variables
}

async fn copy_lines(from: impl AsyncRead + Unpin, to: OpenSink, function: String) {
    let mut reader = BufReader::new(from);
    while let Some(line) = next_line(&mut reader).await {
        to.write(&function, &String::from_utf8_lossy(&line));
    }
}

/// The next line without its end; of a line that is too long, its beginning.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let buffer = reader.fill_buf().await.ok()?;
        if buffer.is_empty() {
            return (!line.is_empty()).then_some(line);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = MAX_LINE_BYTES.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Some(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let mut text = vec![b'x'; MAX_LINE_BYTES + 10];
        text.extend_from_slice(b"\nnext\nlast");
        let mut reader = BufReader::new(text.as_slice());
        assert_eq!(next_line(&mut reader).await.unwrap().len(), MAX_LINE_BYTES);
        assert_eq!(next_line(&mut reader).await.unwrap(), b"next");
        assert_eq!(next_line(&mut reader).await.unwrap(), b"last");
        assert!(next_line(&mut reader).await.is_none());
    }
}
