//! Starts and stops the whole bundle: tables, queues, functions, mappings and schedules, as the template says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use carteiro_clock::Clock;
use carteiro_sqs::{Call, Fate, Fault, Intercept, Sqs, Storage, Verdict};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::disturbance::{Disturbances, ShapeCopies, WatchBatches};
use crate::dynamodb::{Dynamodb, DynamodbError, Expiry, InterceptDynamodb};
use crate::event_source::EventSource;
use crate::http_api::HttpApi;
use crate::http_server::Server;
use crate::ids::OWN_ADDRESS;
use crate::invoke_api::InvokeApi;
use crate::lambda::asynchronous::AsyncInvoker;
use crate::lambda::{Invocation, InvokeError, Lambda, Platform};
use crate::log_sink::{LogSink, OpenSink};
use crate::meter::{Meter, Metered};
use crate::permissions::{Permissions, RefusedCall};
use crate::queues::Queues;
use crate::scheduler::{self, Scheduler};
use crate::template::{Grant, QueueMapping, REGION, Template, TemplateError};
use crate::usage::StackUsage;

/// The parameter that lists the deployment's own hosts.
const OWN_HOSTS: &str = "OwnHosts";

/// How long stopping waits for batches that are with their functions.
const LAST_BATCHES: Duration = Duration::from_millis(1500);

/// Where the stack listens, on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// On ports that are free.
    Free,
    /// On this one (HTTP API), + 2 (DynamoDB), + 3 (SQS) and + 4 (Lambda).
    Base(u16),
}

/// Where the stack keeps its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// In memory: gone when it stops.
    Memory,
    /// In this folder: `dynamodb.sqlite`, `sqs.sqlite` and `lock`. It is made if it is missing.
    Folder(PathBuf),
}

/// What a stack is started with.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// The template's file.
    pub template: PathBuf,
    /// Values for the template's parameters.
    pub parameters: BTreeMap<String, String>,
    /// Where it listens.
    pub ports: Ports,
    /// Where it keeps its state.
    pub data: Data,
    /// The folder with the functions' binaries.
    pub functions: PathBuf,
    /// The time of everything in it.
    pub clock: Clock,
    /// Where the functions' lines go.
    pub function_logs: LogSink,
    /// Whether schedules fire by themselves.
    pub schedules: bool,
}

/// Where a running stack listens, as base URLs without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// The HTTP API.
    pub api: String,
    /// DynamoDB.
    pub dynamodb: String,
    /// SQS.
    pub sqs: String,
    /// Lambda's Invoke API.
    pub lambda: String,
}

/// Why a stack does not start.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The template or its parameters.
    #[error("{}: {source}", template.display())]
    Template {
        /// The template's file.
        template: PathBuf,
        /// What is wrong.
        source: TemplateError,
    },
    /// A port is taken.
    #[error("port {port} for {what} cannot be listened on: {reason}")]
    Port {
        /// What would listen.
        what: &'static str,
        /// The port; 0 for any.
        port: u16,
        /// Why not.
        reason: std::io::Error,
    },
    /// The port base leaves no room for the other ports.
    #[error("the port base {0} is too high")]
    PortBase(u16),
    /// Another stack has the data folder.
    #[error("{} is in use by another stack", .0.display())]
    DataInUse(PathBuf),
    /// The data folder cannot be used.
    #[error("cannot use {}: {reason}", folder.display())]
    Data {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
    /// The folder of the functions' logs cannot be used.
    #[error("cannot write the functions' logs: {0}")]
    Logs(std::io::Error),
    /// A function's binary is missing.
    #[error("the binary of {function} is missing: {}", binary.display())]
    BinaryMissing {
        /// The function.
        function: String,
        /// Where it should be.
        binary: PathBuf,
    },
    /// The embedded DynamoDB.
    #[error(transparent)]
    Dynamodb(#[from] DynamodbError),
    /// The embedded SQS.
    #[error("the queues: {0}")]
    Sqs(String),
}

/// A running stack. Dropping it without [`Stack::stop`] leaves its parts to the end of the runtime.
#[derive(Debug)]
pub struct Stack {
    addresses: Addresses,
    template: Template,
    lambda: Lambda,
    sqs: Sqs,
    permissions: Arc<Permissions>,
    meter: Arc<Meter>,
    sqs_hooks: Arc<SqsHooks>,
    sqs_server: (oneshot::Sender<()>, JoinHandle<()>),
    dynamodb: Arc<Dynamodb>,
    servers: Vec<Server>,
    sources: Vec<EventSource>,
    background: JoinSet<()>,
    /// Held as long as the stack runs.
    _lock: Option<File>,
}

/// The four listeners.
struct Listeners {
    api: TcpListener,
    dynamodb: TcpListener,
    sqs: TcpListener,
    lambda: TcpListener,
}

impl Stack {
    /// Starts everything. When this returns, all ports answer.
    ///
    /// # Errors
    /// See [`StackError`]; nothing is left running.
    pub async fn start(options: StackOptions) -> Result<Self, StackError> {
        let lock = lock(&options.data)?;
        let listeners = Listeners::bind(options.ports).await?;
        let addresses = listeners.addresses()?;
        let template = read_template(&options, &addresses)
            .map_err(|source| StackError::Template { template: options.template.clone(), source })?;
        let functions = std::path::absolute(&options.functions).unwrap_or_else(|_| options.functions.clone());
        check_binaries(&template, &functions)?;
        let logs = OpenSink::open(options.function_logs.clone()).map_err(StackError::Logs)?;
        let permissions = Arc::new(Permissions::new(&template));
        let meter = Arc::new(Meter::default());
        let dynamodb =
            open_dynamodb(&options, &template, Arc::clone(&permissions), Arc::clone(&meter)).await?;
        let sqs = open_sqs(&options)?;
        let queues = Queues::new(sqs.clone());
        queues.ensure(&template.queues).await.map_err(|error| StackError::Sqs(error.to_string()))?;
        let platform = Platform {
            clock: options.clock.clone(),
            functions,
            logs,
            disturbances: Disturbances::default(),
            dynamodb: addresses.dynamodb.clone(),
            sqs: addresses.sqs.clone(),
        };
        let lambda = Lambda::new(&template, platform);
        let asynchronous = AsyncInvoker::new(lambda.clone(), queues.clone());
        let sources = sources(&template, &lambda, &queues);
        let mut background =
            background(&template, options.schedules, &lambda, &asynchronous, &queues, &dynamodb);
        for source in &sources {
            background.spawn(source.clone().run());
        }
        let sqs_hooks = Arc::new(SqsHooks {
            permissions: Arc::clone(&permissions),
            meter: Arc::clone(&meter),
            faults: RwLock::default(),
        });
        let sqs_server = serve_sqs(sqs.clone(), listeners.sqs, Arc::clone(&sqs_hooks));
        let servers = serve(
            (listeners.api, listeners.dynamodb, listeners.lambda),
            &template,
            &lambda,
            asynchronous,
            &dynamodb,
        );
        Ok(Self {
            addresses,
            template,
            lambda,
            sqs,
            permissions,
            meter,
            sqs_hooks,
            sqs_server,
            dynamodb,
            servers,
            sources,
            background,
            _lock: lock,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.lambda.clock()
    }

    /// The template that it runs.
    #[must_use]
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// The queues, past the HTTP front and its injected faults.
    #[must_use]
    pub fn queues(&self) -> &Sqs {
        &self.sqs
    }

    /// What AWS's own metrics would count of the functions and the HTTP API, since the start.
    #[must_use]
    pub fn usage(&self) -> StackUsage {
        self.lambda.usage().so_far()
    }

    /// From now on calls to tables and queues over HTTP are counted; what was counted before is forgotten.
    pub fn start_meter(&self) {
        self.meter.start();
    }

    /// Ends the counting, and answers what was counted since [`Stack::start_meter`].
    #[must_use]
    pub fn stop_meter(&self) -> Metered {
        self.meter.stop()
    }

    /// Invokes a function and waits for its answer.
    ///
    /// # Errors
    /// When the invocation did not come about; a function's own error is in the [`Invocation`].
    pub async fn invoke(&self, function: &str, payload: Bytes) -> Result<Invocation, InvokeError> {
        self.lambda.invoke(function, payload).await
    }

    /// Invokes the function of a schedule with the input that it gets for the slot at `slot_ms` (milliseconds since
    /// the Unix epoch), and waits for its answer. Schedules go by their names, such as `carteiro-tick`.
    ///
    /// # Errors
    /// As [`Stack::invoke`]; an unknown schedule is an unknown function.
    pub async fn run_schedule(&self, name: &str, slot_ms: u64) -> Result<Invocation, InvokeError> {
        let schedule = self
            .template
            .schedules
            .iter()
            .find(|schedule| schedule.name == name)
            .ok_or_else(|| InvokeError::UnknownFunction(name.to_owned()))?;
        self.lambda.invoke(&schedule.function, scheduler::payload_for(schedule, slot_ms)?).await
    }

    /// The ids of the processes of a function's environments that are idle now; its busy ones are not among them.
    ///
    /// # Errors
    /// When there is no such function.
    pub fn idle_processes(&self, function: &str) -> Result<Vec<u32>, InvokeError> {
        self.lambda.idle_processes(function)
    }

    /// Kills every process of a function, as a failing host would. Answers how many there were.
    ///
    /// # Errors
    /// For an unknown function.
    pub async fn kill_function(&self, function: &str) -> Result<usize, InvokeError> {
        self.lambda.kill(function).await
    }

    /// From now on `intercept` decides what becomes of calls to DynamoDB; nothing lets all of them through.
    pub fn intercept_dynamodb(&self, intercept: Option<Arc<dyn InterceptDynamodb>>) {
        self.dynamodb.intercept(intercept);
    }

    /// From now on the tables' expired items go like this. In a file their time is the machine's.
    pub fn expire_dynamodb(&self, expiry: Expiry) {
        self.dynamodb.expire(expiry);
    }

    /// From now on `intercept` decides what becomes of calls to SQS over HTTP; nothing lets all of them through.
    pub fn intercept_sqs(&self, intercept: Option<Arc<dyn Intercept>>) {
        *self.sqs_hooks.faults.write().unwrap_or_else(PoisonError::into_inner) = intercept;
    }

    /// From now on `watch` decides what becomes of queues' batches, and sees them end; nothing lets them pass.
    pub fn watch_batches(&self, watch: Option<Arc<dyn WatchBatches>>) {
        self.lambda.disturbances().watch_batches(watch);
    }

    /// From now on `shape` decides how new copies of functions differ; with nothing they are all alike.
    pub fn shape_copies(&self, shape: Option<Arc<dyn ShapeCopies>>) {
        self.lambda.disturbances().shape_copies(shape);
    }

    /// The calls of functions that were refused because the template does not allow them, each once.
    #[must_use]
    pub fn refused_calls(&self) -> Vec<RefusedCall> {
        self.permissions.refused()
    }

    /// The grants of the template that were needed until now: without each of them, a call that was made would have
    /// been refused.
    #[must_use]
    pub fn needed_grants(&self) -> BTreeSet<Grant> {
        self.permissions.needed()
    }

    /// Stops everything, functions included, and waits until it is gone.
    pub async fn stop(self) {
        let Self { lambda, sqs, sqs_server, dynamodb, servers, sources, mut background, _lock, .. } = self;
        background.shutdown().await;
        // A batch that may end and be deleted does not come again at the next start.
        let idle = async {
            for source in &sources {
                source.idle().await;
            }
        };
        if tokio::time::timeout(LAST_BATCHES, idle).await.is_err() {
            tracing::debug!("some batches were still with their functions; their messages come again");
        }
        // Functions first: nobody is left to use what goes next.
        lambda.stop().await;
        for server in servers {
            server.stop().await;
        }
        let (stop, served) = sqs_server;
        let _ = stop.send(());
        if let Err(error) = served.await {
            tracing::warn!(%error, "the queues' server did not end by itself");
        }
        sqs.close().await;
        match Arc::try_unwrap(dynamodb) {
            Ok(dynamodb) => dynamodb.stop().await,
            Err(_) => tracing::warn!("the database is still in use"),
        }
    }
}

/// The template, with this stack's addresses among its own hosts: no webhook may lead to them, under any name of this
/// machine. The receiver and the stand-ins are others'.
fn read_template(options: &StackOptions, addresses: &Addresses) -> Result<Template, TemplateError> {
    let mut parameters = options.parameters.clone();
    if Template::declares(&options.template, OWN_HOSTS)? {
        let own = [&addresses.api, &addresses.dynamodb, &addresses.sqs, &addresses.lambda]
            .map(|url| url.trim_start_matches("http://"))
            .join(",");
        parameters.entry(OWN_HOSTS.to_owned()).and_modify(|set| *set = format!("{set},{own}")).or_insert(own);
    }
    let mut template = Template::read(&options.template, &parameters, &addresses.sqs)?;
    // The address that AWS would give the API leads nowhere from here.
    let variables = template.functions.values_mut().flat_map(|function| function.environment.values_mut());
    for value in variables.filter(|value| value.as_str() == OWN_ADDRESS) {
        value.clone_from(&addresses.api);
    }
    Ok(template)
}

fn sources(template: &Template, lambda: &Lambda, queues: &Queues) -> Vec<EventSource> {
    let source = |mapping: &QueueMapping| {
        let visibility =
            template.queues.get(&mapping.queue).map(|queue| queue.visibility).unwrap_or_default();
        EventSource::new(mapping.clone(), visibility, lambda.clone(), queues.clone())
    };
    template.queue_mappings.iter().map(source).collect()
}

fn background(
    template: &Template,
    schedules: bool,
    lambda: &Lambda,
    asynchronous: &AsyncInvoker,
    queues: &Queues,
    dynamodb: &Arc<Dynamodb>,
) -> JoinSet<()> {
    let mut background = JoinSet::new();
    if schedules {
        for schedule in &template.schedules {
            let scheduler = Scheduler {
                schedule: schedule.clone(),
                lambda: lambda.clone(),
                asynchronous: asynchronous.clone(),
                queues: queues.clone(),
            };
            background.spawn(scheduler.run(lambda.clock().now_ms()));
        }
    }
    let sweeper = Arc::clone(dynamodb);
    background.spawn(async move { sweeper.sweep().await });
    background
}

fn serve(
    (api, dynamodb_listener, lambda_listener): (TcpListener, TcpListener, TcpListener),
    template: &Template,
    lambda: &Lambda,
    asynchronous: AsyncInvoker,
    dynamodb: &Arc<Dynamodb>,
) -> Vec<Server> {
    let port = api.local_addr().map(|address| address.port()).unwrap_or_default();
    let http_api = Arc::new(HttpApi::new(template.routes.clone(), lambda.clone(), port));
    let api = Server::start(api, move |request, peer: SocketAddr| {
        let http_api = Arc::clone(&http_api);
        async move { http_api.answer(request, peer).await }
    });
    let database = Arc::clone(dynamodb);
    let database = Server::start(dynamodb_listener, move |request, _| {
        let database = Arc::clone(&database);
        async move { database.answer(request).await }
    });
    let invoke_api = InvokeApi::new(lambda.clone(), asynchronous);
    let invoke = Server::start(lambda_listener, move |request, _| {
        let invoke_api = invoke_api.clone();
        async move { invoke_api.answer(request).await }
    });
    vec![api, invoke, database]
}

/// Refuses what functions may not call, and lets tests change what becomes of calls while the server runs.
struct SqsHooks {
    permissions: Arc<Permissions>,
    meter: Arc<Meter>,
    faults: RwLock<Option<Arc<dyn Intercept>>>,
}

impl std::fmt::Debug for SqsHooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqsHooks").finish_non_exhaustive()
    }
}

impl Intercept for SqsHooks {
    fn verdict(&self, call: Call<'_>) -> Verdict {
        if let Err(refused) = self.permissions.sqs(call.access_key_id, call.action, call.queue) {
            let (status, code) = (http::StatusCode::FORBIDDEN, "AccessDenied".to_owned());
            return Fate::FailBefore(Fault { status, code, message: refused.to_string() }).into();
        }
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner).clone();
        let verdict = faults.map_or_else(Verdict::default, |faults| faults.verdict(call));
        if verdict.fate == Fate::Proceed {
            self.meter.count_queues(&call);
        }
        verdict
    }
}

fn serve_sqs(sqs: Sqs, listener: TcpListener, hooks: Arc<SqsHooks>) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        if let Err(error) = sqs.serve_with(listener, hooks, stopped).await {
            tracing::error!(%error, "the queues' server ended");
        }
    });
    (stop, task)
}

fn lock(data: &Data) -> Result<Option<File>, StackError> {
    let Data::Folder(folder) = data else { return Ok(None) };
    let unusable = |reason| StackError::Data { folder: folder.clone(), reason };
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let file = File::create(folder.join("lock")).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(StackError::DataInUse(folder.clone())),
        Err(TryLockError::Error(reason)) => Err(unusable(reason)),
    }
}

impl Listeners {
    async fn bind(ports: Ports) -> Result<Self, StackError> {
        let port = |offset: u16| match ports {
            Ports::Free => Ok(0),
            Ports::Base(base) => base.checked_add(offset).ok_or(StackError::PortBase(base)),
        };
        Ok(Self {
            api: bind("the HTTP API", port(0)?).await?,
            dynamodb: bind("DynamoDB", port(2)?).await?,
            sqs: bind("SQS", port(3)?).await?,
            lambda: bind("Lambda", port(4)?).await?,
        })
    }

    fn addresses(&self) -> Result<Addresses, StackError> {
        let url = |what, listener: &TcpListener| {
            listener
                .local_addr()
                .map(|address| format!("http://{address}"))
                .map_err(|reason| StackError::Port { what, port: 0, reason })
        };
        Ok(Addresses {
            api: url("the HTTP API", &self.api)?,
            dynamodb: url("DynamoDB", &self.dynamodb)?,
            sqs: url("SQS", &self.sqs)?,
            lambda: url("Lambda", &self.lambda)?,
        })
    }
}

async fn bind(what: &'static str, port: u16) -> Result<TcpListener, StackError> {
    TcpListener::bind(("127.0.0.1", port)).await.map_err(|reason| StackError::Port { what, port, reason })
}

fn check_binaries(template: &Template, functions: &Path) -> Result<(), StackError> {
    for function in template.functions.values() {
        let binary = functions.join(&function.binary);
        if !binary.is_file() {
            return Err(StackError::BinaryMissing { function: function.name.clone(), binary });
        }
    }
    Ok(())
}

async fn open_dynamodb(
    options: &StackOptions,
    template: &Template,
    permissions: Arc<Permissions>,
    meter: Arc<Meter>,
) -> Result<Arc<Dynamodb>, StackError> {
    let file = match &options.data {
        Data::Memory => None,
        Data::Folder(folder) => Some(folder.join("dynamodb.sqlite")),
    };
    let clock = options.clock.clone();
    let tables: Vec<_> = template.tables.values().cloned().collect();
    let handle = tokio::runtime::Handle::current();
    let started = tokio::task::spawn_blocking(move || {
        let _guard = handle.enter();
        Dynamodb::start(file.as_deref(), clock, tables.iter(), permissions, meter)
    });
    match started.await {
        Ok(started) => Ok(Arc::new(started?)),
        Err(error) => Err(DynamodbError::Database(error.to_string()).into()),
    }
}

fn open_sqs(options: &StackOptions) -> Result<Sqs, StackError> {
    let storage = match &options.data {
        Data::Memory => Storage::Memory,
        Data::Folder(folder) => Storage::File(folder.join("sqs.sqlite")),
    };
    Sqs::open(&storage, options.clock.clone(), REGION).map_err(|error| StackError::Sqs(error.to_string()))
}
