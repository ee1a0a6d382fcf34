//! The HTTP front: AWS JSON 1.0 over HTTP/1.1, as the AWS SDKs speak it.
//!
//! Signatures are not checked, and the path does not matter. Web pages of other origins are
//! refused ([`carteiro_http`]). Bounded: the connections, a request's bytes, and
//! the time that the end may take. On the end of `shutdown` long polls are answered without a message.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use carteiro_http::Bounds;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::attributes::ACCOUNT_ID;
use crate::broker::QueuePage;
use crate::error::SqsError;
use crate::intercept::{Call, Fate, Fault, Intercept, NoFaults, access_key_id};
use crate::message::{MAX_MESSAGE_BYTES, ReceiveRequest};
use crate::move_task::{MoveTask, queue_in_arn};
use crate::service::{BatchEntry, Sqs};
use crate::wire::{
    Batch, BatchAnswer, ByHandle, CreateQueue, Done, GetQueueUrl, ListQueues, Message, MoveTasks,
    QueueAttributesRequest, QueueRef, QueueTags, QueueUrl, Receive, ReceiveAnswer, SendEntry, Sent, Wanted,
    queue_attributes, queue_in_url, required,
};

const MAX_CONNECTIONS: usize = 1024;
/// JSON may write each byte of a message as six (`\u0000`): whatever fits a message fits, and the rest around it.
const MAX_REQUEST_BYTES: usize = 6 * MAX_MESSAGE_BYTES + 262_144;
const GRACE: Duration = Duration::from_secs(5);
const MAX_PAGE: usize = 1000;

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on purpose")]
struct Dropped;

/// What a request is refused with.
#[derive(Debug)]
enum Refusal {
    Service(SqsError),
    UnknownAction(String),
    Malformed(String),
    TooLarge,
    Injected(Fault),
}

impl From<SqsError> for Refusal {
    fn from(error: SqsError) -> Self {
        Self::Service(error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    ChangeMessageVisibility,
    ChangeMessageVisibilityBatch,
    CreateQueue,
    DeleteMessage,
    DeleteMessageBatch,
    DeleteQueue,
    GetQueueAttributes,
    GetQueueUrl,
    ListDeadLetterSourceQueues,
    ListMessageMoveTasks,
    ListQueues,
    ListQueueTags,
    PurgeQueue,
    ReceiveMessage,
    SendMessage,
    SendMessageBatch,
    SetQueueAttributes,
    StartMessageMoveTask,
    TagQueue,
    UntagQueue,
}

impl Action {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ChangeMessageVisibility" => Self::ChangeMessageVisibility,
            "ChangeMessageVisibilityBatch" => Self::ChangeMessageVisibilityBatch,
            "CreateQueue" => Self::CreateQueue,
            "DeleteMessage" => Self::DeleteMessage,
            "DeleteMessageBatch" => Self::DeleteMessageBatch,
            "DeleteQueue" => Self::DeleteQueue,
            "GetQueueAttributes" => Self::GetQueueAttributes,
            "GetQueueUrl" => Self::GetQueueUrl,
            "ListDeadLetterSourceQueues" => Self::ListDeadLetterSourceQueues,
            "ListMessageMoveTasks" => Self::ListMessageMoveTasks,
            "ListQueues" => Self::ListQueues,
            "ListQueueTags" => Self::ListQueueTags,
            "PurgeQueue" => Self::PurgeQueue,
            "ReceiveMessage" => Self::ReceiveMessage,
            "SendMessage" => Self::SendMessage,
            "SendMessageBatch" => Self::SendMessageBatch,
            "SetQueueAttributes" => Self::SetQueueAttributes,
            "StartMessageMoveTask" => Self::StartMessageMoveTask,
            "TagQueue" => Self::TagQueue,
            "UntagQueue" => Self::UntagQueue,
            _ => return None,
        })
    }
}

struct Front {
    sqs: Sqs,
    hook: Arc<dyn Intercept>,
    /// Before the account in a queue's URL.
    base: String,
    requests: AtomicU64,
    /// The last redrive of each dead-letter queue, by its ARN.
    moves: Mutex<BTreeMap<String, MoveTask>>,
    closing: watch::Sender<bool>,
}

impl Sqs {
    /// Answers HTTP requests until `shutdown` is done; then ends long polls without a message, finishes what was
    /// asked, and closes the connections within 5 s.
    ///
    /// # Errors
    /// Where the listener has no address. A single connection's errors end that connection only.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> std::io::Result<()> {
        self.serve_with(listener, Arc::new(NoFaults), shutdown).await
    }

    /// As [`Sqs::serve`], with a hook that every call passes.
    ///
    /// # Errors
    /// As [`Sqs::serve`].
    pub async fn serve_with(
        &self,
        listener: TcpListener,
        hook: Arc<dyn Intercept>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> std::io::Result<()> {
        serve(self.clone(), listener, hook, shutdown).await
    }
}

async fn serve(
    sqs: Sqs,
    listener: TcpListener,
    hook: Arc<dyn Intercept>,
    shutdown: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let closing = watch::Sender::new(false);
    let base = format!("http://{address}");
    let front =
        Arc::new(Front { sqs, hook, base, requests: AtomicU64::new(0), moves: Mutex::default(), closing });
    let serving = Arc::clone(&front);
    let stop = async {
        shutdown.await;
        front.closing.send_replace(true);
    };
    let bounds = Bounds { connections: MAX_CONNECTIONS, grace: Some(GRACE) };
    carteiro_http::serve(listener, bounds, stop, Full::new, move |request, _| {
        let front = Arc::clone(&serving);
        async move { front.answer(request).await }
    })
    .await;
    Ok(())
}

async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error says that the front is gone, which is closed too.
    let _ = closing.wait_for(|closing| *closing).await;
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
        let request_id = self.requests.fetch_add(1, Ordering::Relaxed);
        let headers = request.headers().clone();
        let result = match read(request).await {
            Ok((name, action, body)) => self.intercepted(&name, action, &body, &headers).await?,
            Err(refusal) => Err(refusal),
        };
        let mut response = match result {
            Ok(body) => response(StatusCode::OK, body),
            Err(refusal) => refuse(refusal),
        };
        // A UUID by form, and a count by meaning.
        let id = format!("00000000-0000-4000-8000-{request_id:012x}");
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-amzn-requestid", id);
        }
        Ok(response)
    }

    async fn intercepted(
        &self,
        name: &str,
        action: Action,
        body: &[u8],
        headers: &HeaderMap,
    ) -> Result<Result<Vec<u8>, Refusal>, Dropped> {
        let queue = match parse::<QueueRef>(body) {
            Ok(queue) => queue,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let verdict = self.hook.verdict(Call {
            action: name,
            queue: queue.name(),
            access_key_id: access_key_id(headers),
            invocation_id: headers.get("amz-sdk-invocation-id").and_then(|id| id.to_str().ok()),
            body,
        });
        if !verdict.delay.is_zero() {
            self.sqs.clock().sleep(verdict.delay).await;
        }
        let answer = match verdict.fate {
            Fate::Proceed => Ok(self.perform(action, body).await),
            Fate::FailBefore(fault) => Ok(Err(Refusal::Injected(fault))),
            Fate::DropBefore => Err(Dropped),
            Fate::FailAfter(fault) => {
                // Its own answer, good or bad, is what gets lost.
                let _ = self.perform(action, body).await;
                Ok(Err(Refusal::Injected(fault)))
            }
            Fate::DropAfter => {
                let _ = self.perform(action, body).await;
                Err(Dropped)
            }
        };
        if !verdict.answer_after.is_zero() {
            self.sqs.clock().sleep(verdict.answer_after).await;
        }
        answer
    }

    async fn perform(&self, action: Action, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        match action {
            Action::ChangeMessageVisibility => self.change_visibility(parse(body)?).await,
            Action::ChangeMessageVisibilityBatch => self.change_visibility_batch(parse(body)?).await,
            Action::CreateQueue => self.create_queue(parse(body)?).await,
            Action::DeleteMessage => self.delete(parse(body)?).await,
            Action::DeleteMessageBatch => self.delete_batch(parse(body)?).await,
            Action::DeleteQueue => {
                let queue = queue_in_url(parse::<QueueRef>(body)?.queue_url)?;
                self.sqs.delete_queue(&queue).await?;
                nothing()
            }
            Action::GetQueueAttributes => self.get_attributes(parse(body)?).await,
            Action::GetQueueUrl => self.get_url(parse(body)?).await,
            Action::ListDeadLetterSourceQueues => self.list_sources(parse(body)?).await,
            Action::ListQueues => self.list_queues(parse(body)?).await,
            Action::ListQueueTags => {
                let queue = queue_in_url(parse::<QueueRef>(body)?.queue_url)?;
                written(&json!({ "Tags": self.sqs.queue_tags(&queue).await? }))
            }
            Action::PurgeQueue => {
                let queue = queue_in_url(parse::<QueueRef>(body)?.queue_url)?;
                self.sqs.purge_queue(&queue).await?;
                nothing()
            }
            Action::ReceiveMessage => self.receive(parse(body)?).await,
            Action::SendMessage => self.send(parse(body)?).await,
            Action::SendMessageBatch => self.send_batch(parse(body)?).await,
            Action::SetQueueAttributes => self.set_attributes(parse(body)?).await,
            Action::StartMessageMoveTask => self.start_move(parse(body)?).await,
            Action::ListMessageMoveTasks => self.list_moves(parse(body)?).await,
            Action::TagQueue | Action::UntagQueue => self.change_tags(action, parse(body)?).await,
        }
    }

    fn url(&self, queue: &str) -> String {
        format!("{}/{ACCOUNT_ID}/{queue}", self.base)
    }

    async fn create_queue(&self, request: CreateQueue) -> Result<Vec<u8>, Refusal> {
        let name = required(request.queue_name, "QueueName")?;
        let (attributes, tags) = (request.attributes.unwrap_or_default(), request.tags.unwrap_or_default());
        self.sqs.create_queue(&name, attributes, tags).await?;
        written(&QueueUrl { queue_url: self.url(&name) })
    }

    async fn get_url(&self, request: GetQueueUrl) -> Result<Vec<u8>, Refusal> {
        let name = required(request.queue_name, "QueueName")?;
        if request.owner.is_some_and(|owner| owner != ACCOUNT_ID) {
            return Err(SqsError::QueueDoesNotExist.into());
        }
        self.sqs.describe_queue(&name).await?;
        written(&QueueUrl { queue_url: self.url(&name) })
    }

    async fn list_queues(&self, request: ListQueues) -> Result<Vec<u8>, Refusal> {
        let (after, limit) = page(&request)?;
        let prefix = request.queue_name_prefix.unwrap_or_default();
        let page = self.sqs.list_queues(&prefix, after, limit).await?;
        self.written_page("QueueUrls", &page, request.max_results.is_some())
    }

    async fn list_sources(&self, request: ListQueues) -> Result<Vec<u8>, Refusal> {
        let (after, limit) = page(&request)?;
        let queue = queue_in_url(request.queue_url)?;
        let page = self.sqs.dead_letter_sources(&queue, after, limit).await?;
        self.written_page("queueUrls", &page, request.max_results.is_some())
    }

    /// The next page is told only to who asked for pages, by `MaxResults`.
    fn written_page(&self, field: &str, page: &QueuePage, paged: bool) -> Result<Vec<u8>, Refusal> {
        let urls: Vec<String> = page.names.iter().map(|name| self.url(name)).collect();
        let mut answer = json!({ field: urls });
        if let Some(next) = page.next.as_ref().filter(|_| paged) {
            answer["NextToken"] = URL_SAFE_NO_PAD.encode(next).into();
        }
        written(&answer)
    }

    async fn start_move(&self, request: MoveTasks) -> Result<Vec<u8>, Refusal> {
        let source = required(request.source_arn, "SourceArn")?;
        let task = self.sqs.move_messages(source.clone(), request.destination_arn).await?;
        self.moves.lock().unwrap_or_else(PoisonError::into_inner).insert(source.clone(), task);
        written(&json!({ "TaskHandle": URL_SAFE_NO_PAD.encode(source) }))
    }

    async fn list_moves(&self, request: MoveTasks) -> Result<Vec<u8>, Refusal> {
        let source = required(request.source_arn, "SourceArn")?;
        self.sqs.describe_queue(queue_in_arn(&source)?).await?;
        let moves = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
        let tasks: Vec<_> = moves.get(&source).into_iter().map(MoveTask::shown).collect();
        written(&json!({ "Results": tasks }))
    }

    async fn get_attributes(
        &self,
        request: QueueAttributesRequest<serde_json::Value>,
    ) -> Result<Vec<u8>, Refusal> {
        let queue = queue_in_url(request.queue_url)?;
        let names = request.attribute_names.unwrap_or_default();
        let attributes = queue_attributes(&self.sqs.describe_queue(&queue).await?, &names)?;
        written(&if attributes.is_empty() { json!({}) } else { json!({ "Attributes": attributes }) })
    }

    async fn set_attributes(
        &self,
        request: QueueAttributesRequest<BTreeMap<String, String>>,
    ) -> Result<Vec<u8>, Refusal> {
        let queue = queue_in_url(request.queue_url)?;
        let Some(attributes) = request.attributes else {
            return Err(SqsError::MissingParameter("Attributes".to_owned()).into());
        };
        self.sqs.set_queue_attributes(&queue, attributes).await?;
        nothing()
    }

    async fn change_tags(&self, action: Action, request: QueueTags) -> Result<Vec<u8>, Refusal> {
        let queue = queue_in_url(request.queue_url)?;
        let missing = |name: &str| SqsError::MissingParameter(name.to_owned());
        let (set, remove) = if action == Action::TagQueue {
            (request.tags.ok_or_else(|| missing("Tags"))?, Vec::new())
        } else {
            (BTreeMap::new(), request.tag_keys.ok_or_else(|| missing("TagKeys"))?)
        };
        self.sqs.change_queue_tags(&queue, set, remove).await?;
        nothing()
    }

    async fn send(&self, mut request: SendEntry) -> Result<Vec<u8>, Refusal> {
        let queue = queue_in_url(request.queue_url.take())?;
        let sent = self.sqs.send(&queue, request.read()?).await?;
        written(&Sent::new(None, sent))
    }

    async fn send_batch(&self, request: Batch<SendEntry>) -> Result<Vec<u8>, Refusal> {
        let queue = queue_in_url(request.queue_url)?;
        let entries = request
            .entries
            .into_iter()
            .map(|mut entry| BatchEntry { id: entry.id.take().unwrap_or_default(), value: entry.read() });
        let results = self.sqs.send_batch_read(&queue, entries.collect()).await?;
        written(&BatchAnswer::new(results, |id, sent| Sent::new(Some(id), sent)))
    }

    async fn receive(&self, mut request: Receive) -> Result<Vec<u8>, Refusal> {
        if let Some(id) = &request.receive_request_attempt_id {
            let reason = "The request include parameter that is not valid for this queue type";
            return Err(SqsError::invalid_parameter(id, "ReceiveRequestAttemptId", reason).into());
        }
        let wanted = Wanted::new(&mut request)?;
        let queue = queue_in_url(request.queue_url)?;
        let parameters = ReceiveRequest {
            max_messages: request.max_number_of_messages,
            visibility_timeout: request.visibility_timeout,
            wait_seconds: request.wait_time_seconds,
        };
        let mut closing = self.closing.subscribe();
        let messages = tokio::select! {
            biased;
            messages = self.sqs.receive(&queue, parameters) => messages?,
            () = closed(&mut closing) => Vec::new(),
        };
        let messages = messages.into_iter().map(|message| Message::new(message, &wanted)).collect();
        written(&ReceiveAnswer { messages })
    }

    async fn delete(&self, request: ByHandle) -> Result<Vec<u8>, Refusal> {
        let queue = queue_in_url(request.queue_url)?;
        let handle = required(request.receipt_handle, "ReceiptHandle")?;
        self.sqs.delete(&queue, &handle).await?;
        nothing()
    }

    async fn delete_batch(&self, request: Batch<ByHandle>) -> Result<Vec<u8>, Refusal> {
        let queue = queue_in_url(request.queue_url)?;
        let entries = request.entries.into_iter().map(|entry| BatchEntry {
            id: entry.id.unwrap_or_default(),
            value: entry.receipt_handle.unwrap_or_default(),
        });
        let results = self.sqs.delete_batch(&queue, entries.collect()).await?;
        written(&BatchAnswer::new(results, |id, ()| Done { id }))
    }

    async fn change_visibility(&self, request: ByHandle) -> Result<Vec<u8>, Refusal> {
        let queue = queue_in_url(request.queue_url)?;
        let handle = required(request.receipt_handle, "ReceiptHandle")?;
        let Some(seconds) = request.visibility_timeout else {
            return Err(SqsError::MissingParameter("VisibilityTimeout".to_owned()).into());
        };
        self.sqs.change_visibility(&queue, &handle, seconds).await?;
        nothing()
    }

    async fn change_visibility_batch(&self, request: Batch<ByHandle>) -> Result<Vec<u8>, Refusal> {
        let queue = queue_in_url(request.queue_url)?;
        let entries = request.entries.into_iter().map(|entry| BatchEntry {
            id: entry.id.unwrap_or_default(),
            // Left out in an entry, it is zero.
            value: (entry.receipt_handle.unwrap_or_default(), entry.visibility_timeout.unwrap_or(0)),
        });
        let results = self.sqs.change_visibility_batch(&queue, entries.collect()).await?;
        written(&BatchAnswer::new(results, |id, ()| Done { id }))
    }
}

/// Where a page begins and how long it is.
fn page(request: &ListQueues) -> Result<(Option<String>, usize), SqsError> {
    let limit = match request.max_results {
        None => MAX_PAGE,
        Some(max) => usize::try_from(max).ok().filter(|n| (1..=MAX_PAGE).contains(n)).ok_or_else(|| {
            SqsError::invalid_parameter(max, "MaxResults", "Must be between 1 and 1000, if provided.")
        })?,
    };
    let invalid =
        |token: &String| SqsError::invalid_parameter(token, "NextToken", "Invalid or expired next token.");
    let name = |token: &String| {
        URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|name| String::from_utf8(name).ok())
            .ok_or_else(|| invalid(token))
    };
    Ok((request.next_token.as_ref().map(name).transpose()?, limit))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))
}

fn written(answer: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    // Structures of texts, numbers and lists cannot fail to be written.
    serde_json::to_vec(answer).map_err(|error| SqsError::Unavailable(error.to_string()).into())
}

fn nothing() -> Result<Vec<u8>, Refusal> {
    Ok(b"{}".to_vec())
}

/// The action, by name and meaning, and the body.
async fn read(request: Request<Incoming>) -> Result<(String, Action, Bytes), Refusal> {
    let target =
        request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let name = target.strip_prefix("AmazonSQS.").unwrap_or(target).to_owned();
    let action = Action::parse(&name).filter(|_| request.method() == Method::POST);
    let Some(action) = action else { return Err(Refusal::UnknownAction(name)) };
    // A length that is told is judged at once; one that is not, as the bytes come.
    if request.body().size_hint().lower() > MAX_REQUEST_BYTES as u64 {
        return Err(Refusal::TooLarge);
    }
    match Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect().await {
        Ok(body) => Ok((name, action, body.to_bytes())),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Refusal::TooLarge),
        Err(error) => Err(Refusal::Malformed(error.to_string())),
    }
}

fn response(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn refuse(refusal: Refusal) -> Response<Full<Bytes>> {
    let (status, shape, code, message) = match refusal {
        Refusal::Service(error) => {
            let name = error.wire_name();
            let status = if error.is_sender_fault() {
                StatusCode::BAD_REQUEST
            } else {
                StatusCode::INTERNAL_SERVER_ERROR
            };
            (status, name.shape.to_owned(), name.code.to_owned(), error.to_string())
        }
        Refusal::UnknownAction(name) => (
            StatusCode::BAD_REQUEST,
            "com.amazon.coral.service#UnknownOperationException".to_owned(),
            "InvalidAction".to_owned(),
            format!("The action {name:?} is not valid for this endpoint."),
        ),
        Refusal::Malformed(what) => (
            StatusCode::BAD_REQUEST,
            "com.amazon.coral.service#SerializationException".to_owned(),
            "SerializationException".to_owned(),
            what,
        ),
        Refusal::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "com.amazon.coral.service#RequestEntityTooLargeException".to_owned(),
            "RequestEntityTooLarge".to_owned(),
            format!("The request is longer than {MAX_REQUEST_BYTES} bytes."),
        ),
        Refusal::Injected(fault) => {
            (fault.status, format!("com.amazonaws.sqs#{}", fault.code), fault.code, fault.message)
        }
    };
    let body = json!({ "__type": shape, "message": message }).to_string();
    let mut response = response(status, body.into_bytes());
    let side = if status.is_server_error() { "Receiver" } else { "Sender" };
    if let Ok(value) = HeaderValue::from_str(&format!("{code};{side}")) {
        response.headers_mut().insert("x-amzn-query-error", value);
    }
    response
}
