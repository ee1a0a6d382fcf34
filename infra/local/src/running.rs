//! The stack and what surrounds it: prepared, started, stopped.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use carteiro_clock::Clock;
use carteiro_core::key::ApiKey;
use carteiro_fake_networks::Networks;
use carteiro_local::function_build::{self, BuildError};
use carteiro_local::{Data, LogSink, Ports, Stack, StackError, StackOptions, Template, TemplateError};
use carteiro_receiver::{Options, Receiver};
use serde::Serialize;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::admin_key::{self, AdminKeyError};
use crate::api_client::ApiClient;
use crate::cli::Cli;
use crate::console::Console;
use crate::demonstration::{self, Demonstration, DemonstrationAccount, DemonstrationError, NetworkSecrets};
use crate::local_parameters::{self, ADMIN_KEY_PARAMETER};
use crate::private_file;

/// Why the program ends with an error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// Signals cannot be listened for.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    /// There is no checkout.
    #[error("no checkout of Carteiro here: template.yaml is neither where this program was built nor above {}", .0.display())]
    NoCheckout(PathBuf),
    /// The demonstration needs the admin key.
    #[error("with {ADMIN_KEY_PARAMETER} set, the admin key itself is not known here: add --no-demo")]
    ForeignAdminKey,
    /// A port is taken.
    #[error("port {port} ({what}) cannot be listened on: {reason}; --port-base moves all ports")]
    Port {
        /// The port.
        port: u16,
        /// What it is for.
        what: &'static str,
        /// Why not.
        reason: io::Error,
    },
    /// The data folder.
    #[error("cannot use the data folder {}: {reason}", folder.display())]
    Data {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// The admin key.
    #[error(transparent)]
    AdminKey(#[from] AdminKeyError),
    /// The template or its parameters.
    #[error("template.yaml: {0}")]
    Template(#[from] TemplateError),
    /// The functions' binaries.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The stack.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The demonstration.
    #[error("the demonstration failed: {error}; what the functions said is in {logs}")]
    Demonstration {
        /// How.
        error: DemonstrationError,
        /// Where to look.
        logs: String,
    },
    /// A signal came before the demonstration had ended.
    #[error("interrupted before the demonstration had ended")]
    Interrupted,
    /// Stopping took too long, or was asked for twice.
    #[error("ended before everything had stopped")]
    NotStopped,
}

/// Where what the functions log goes.
enum Logs {
    Terminal,
    Folder(PathBuf),
    Temporary(TempDir),
}

impl Logs {
    fn choose(cli: &Cli) -> io::Result<Self> {
        if cli.verbose {
            Ok(Self::Terminal)
        } else if cli.memory {
            tempfile::Builder::new().prefix("carteiro-logs-").tempdir().map(Self::Temporary)
        } else {
            Ok(Self::Folder(cli.data.join("logs")))
        }
    }

    fn sink(&self) -> LogSink {
        match self {
            Self::Terminal => LogSink::Stderr,
            Self::Folder(folder) => LogSink::Folder(folder.clone()),
            Self::Temporary(folder) => LogSink::Folder(folder.path().to_owned()),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Terminal => "standard error".to_owned(),
            Self::Folder(folder) => folder.display().to_string(),
            Self::Temporary(folder) => folder.path().display().to_string(),
        }
    }
}

/// All that the stack needs: ports that were free, the admin key, parameters, the functions' binaries.
pub(crate) struct Surroundings {
    console: Console,
    clock: Clock,
    receiver: Receiver,
    networks: Networks,
    /// None where `--set` gave a hash of its own.
    admin_key: Option<ApiKey>,
    folder: Option<PathBuf>,
    logs: Logs,
    options: StackOptions,
}

impl Surroundings {
    /// Finds out what can be found out before the functions are built, and builds them.
    pub(crate) async fn prepare(cli: &Cli, console: Console) -> Result<Self, RunError> {
        let foreign_key = cli.set(ADMIN_KEY_PARAMETER).is_some();
        if foreign_key && !cli.no_demo {
            return Err(RunError::ForeignAdminKey);
        }
        let workspace = workspace()?;
        #[expect(clippy::disallowed_methods, reason = "who tries the bundle out means the machine's time")]
        let clock = Clock::system();
        for (offset, what) in [(0, "the HTTP API"), (2, "DynamoDB"), (3, "SQS"), (4, "Lambda")] {
            // The stack binds it again later; a taken one is better known before a long build.
            drop(listen(cli, offset, what).await?);
        }
        let networks = listen(cli, 5, "stand-ins for the networks").await?;
        let networks =
            Networks::start(networks.0, clock.clone()).map_err(|reason| port_error(networks.1, reason))?;
        let receiver = listen(cli, 1, "the receiver").await?;
        let options = Options { clock: clock.clone(), ..Options::default() };
        let receiver =
            Receiver::start(receiver.0, options).map_err(|reason| port_error(receiver.1, reason))?;
        let folder = (!cli.memory).then(|| cli.data.clone());
        if let Some(folder) = &folder {
            private_file::make_folder(folder)
                .map_err(|reason| RunError::Data { folder: folder.clone(), reason })?;
        }
        let admin_key = if foreign_key { None } else { Some(admin_key::load_or_make(folder.as_deref())?) };
        let hash = admin_key.as_ref().map(ApiKey::hash);
        let parameters = local_parameters::resolve(&cli.parameters, &networks.url(), hash.as_ref());
        let template = workspace.join("template.yaml");
        // The queues' address is not known yet, and does not matter for what is read here.
        let read = Template::read(&template, &parameters, "http://127.0.0.1:3003")?;
        let logs =
            Logs::choose(cli).map_err(|reason| RunError::Data { folder: std::env::temp_dir(), reason })?;
        let options = StackOptions {
            template,
            functions: functions(cli, &workspace, &read, console).await?,
            function_logs: logs.sink(),
            ..stack_options(cli, parameters, &clock)
        };
        Ok(Self { console, clock, receiver, networks, admin_key, folder, logs, options })
    }

    /// Starts the stack.
    pub(crate) async fn start(self) -> Result<Running, RunError> {
        if let Some(folder) = &self.folder {
            // What an earlier run left in the queues is delivered as soon as the stack is up.
            demonstration::give_secret(folder, &self.receiver);
        }
        let stack = Stack::start(self.options.clone()).await?;
        if let Some(folder) = &self.folder {
            let api = ApiClient::new(&stack.addresses().api);
            if let Err(error) = demonstration::delete_kept(folder, &api).await {
                // A demonstration that needs their places says so; without one, they are found to be revoked.
                tracing::warn!(%error, "the pages of an earlier demonstration could not be deleted");
            }
        }
        Ok(Running { stack, surroundings: self, made: None })
    }
}

fn stack_options(cli: &Cli, parameters: BTreeMap<String, String>, clock: &Clock) -> StackOptions {
    StackOptions {
        template: PathBuf::new(),
        parameters,
        ports: if cli.port_base == 0 { Ports::Free } else { Ports::Base(cli.port_base) },
        data: if cli.memory { Data::Memory } else { Data::Folder(cli.data.clone()) },
        functions: PathBuf::new(),
        clock: clock.clone(),
        function_logs: LogSink::default(),
        schedules: true,
    }
}

async fn functions(
    cli: &Cli,
    workspace: &Path,
    template: &Template,
    console: Console,
) -> Result<PathBuf, RunError> {
    if let Some(folder) = &cli.functions {
        return Ok(folder.clone());
    }
    console.say("Building the functions.");
    Ok(function_build::build(workspace, &function_build::packages(template)).await?)
}

/// The root of the checkout: where this was built, or else above the current folder.
fn workspace() -> Result<PathBuf, RunError> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let here = std::env::current_dir().unwrap_or_default();
    let is_root = |folder: &&Path| folder.join("template.yaml").is_file();
    let found = built.into_iter().chain(here.ancestors()).find(is_root);
    found.map(Path::to_owned).ok_or_else(|| RunError::NoCheckout(here.clone()))
}

/// A port with what it is for.
type Port = (u16, &'static str);

fn port_error((port, what): Port, reason: io::Error) -> RunError {
    RunError::Port { port, what, reason }
}

async fn listen(cli: &Cli, offset: u16, what: &'static str) -> Result<(TcpListener, Port), RunError> {
    let port = if cli.port_base == 0 { 0 } else { cli.port_base.saturating_add(offset) };
    let listener =
        TcpListener::bind(("127.0.0.1", port)).await.map_err(|reason| port_error((port, what), reason))?;
    Ok((listener, (port, what)))
}

/// A stack that runs, with everything around it.
pub(crate) struct Running {
    stack: Stack,
    surroundings: Surroundings,
    /// What the demonstration made: its account, and an address that opens its console once.
    made: Option<(DemonstrationAccount, String)>,
}

/// The one line of `--json`, in the documented order.
#[derive(Serialize)]
struct Ready<'a> {
    api: &'a str,
    receiver: &'a str,
    dynamodb: &'a str,
    sqs: &'a str,
    lambda: &'a str,
    networks: &'a str,
    admin_key: Option<&'a str>,
    /// Where there was a demonstration.
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<&'a str>,
}

impl Running {
    /// Runs the demonstration.
    pub(crate) async fn demonstrate(&mut self) -> Result<(), RunError> {
        let here = &mut self.surroundings;
        let Some(admin_key) = &here.admin_key else { return Err(RunError::ForeignAdminKey) };
        let demonstration = Demonstration {
            api: &ApiClient::new(&self.stack.addresses().api),
            stack: &self.stack,
            network_secrets: &NetworkSecrets::of(&here.options.parameters),
            receiver: &here.receiver,
            networks: &here.networks,
            admin_key: admin_key.reveal(),
            folder: here.folder.clone(),
            clock: &here.clock,
            console: here.console,
        };
        let demonstrated = async {
            let account = demonstration.run().await?;
            let link = demonstration.link(&account).await?;
            Ok((account, link))
        };
        match demonstrated.await {
            Ok(made) => {
                self.made = Some(made);
                Ok(())
            }
            Err(error) => {
                if let Logs::Temporary(folder) = &mut here.logs {
                    // Whoever wants to know why needs them after the end.
                    folder.disable_cleanup(true);
                }
                Err(RunError::Demonstration { error, logs: here.logs.place() })
            }
        }
    }

    /// The line of `--json`.
    pub(crate) fn json(&self) -> String {
        let addresses = self.stack.addresses();
        let ready = Ready {
            api: &addresses.api,
            receiver: &self.surroundings.receiver.url(""),
            dynamodb: &addresses.dynamodb,
            sqs: &addresses.sqs,
            lambda: &addresses.lambda,
            networks: &self.surroundings.networks.url(),
            admin_key: self.surroundings.admin_key.as_ref().map(ApiKey::reveal),
            console: self.made.as_ref().map(|(_, link)| link.as_str()),
        };
        // A structure of texts always has a JSON form.
        serde_json::to_string(&ready).unwrap_or_default()
    }

    /// Tells a person what is where, and what to do with it.
    pub(crate) fn say_what_to_try(&self) {
        let addresses = self.stack.addresses();
        let receiver = self.surroundings.receiver.url("");
        let admin_key = self.surroundings.admin_key.as_ref().map_or("the one you set", ApiKey::reveal);
        let state = self.surroundings.folder.as_ref().map_or_else(
            || "in memory".to_owned(),
            |folder| format!("under {} (remove it to begin anew)", folder.display()),
        );
        let console = self.surroundings.console;
        console.say(&format!(
            "\nEverything is up.\n\
             \x20 HTTP API   {}\n\
             \x20 Receiver   {receiver}/   (open it in a browser)\n\
             \x20 DynamoDB   {}\n\
             \x20 SQS        {}\n\
             \x20 Lambda     {}\n\
             \x20 Networks   {}\n\
             \x20 Admin key  {admin_key}\n\
             \x20 State      {state}\n\
             \x20 Logs       {}",
            addresses.api,
            addresses.dynamodb,
            addresses.sqs,
            addresses.lambda,
            self.surroundings.networks.url(),
            self.surroundings.logs.place(),
        ));
        if let Some((account, link)) = &self.made {
            console.say(&next_steps(&addresses.api, &receiver, &addresses.lambda, &account.key));
            console.say(&format!(
                "\x20 # a new link to its console: the one below opens once, within an hour\n\
                 \x20 curl -X POST {}/accounts/{}/links -H 'authorization: Bearer {admin_key}'\n\
                 \nConsole: {link}",
                addresses.api, account.account,
            ));
        }
        console.say("\nCtrl-C stops it.");
    }

    /// Stops everything, functions included, and waits until it has.
    pub(crate) async fn stop(self) {
        let Self { stack, surroundings, .. } = self;
        // The stack first, so that no attempt fails for want of a receiver.
        stack.stop().await;
        surroundings.receiver.stop().await;
        surroundings.networks.stop().await;
    }
}

fn next_steps(api: &str, receiver: &str, lambda: &str, key: &str) -> String {
    let path = demonstration::PATH;
    format!(
        "\nTo try next:\n\
         \x20 # send a message as the demonstration's account\n\
         \x20 curl -i {api}/bots/mine/messages -H 'authorization: Bearer {key}' \\\n\
         \x20   -H 'content-type: application/json' -d '{{\"type\":\"text/plain\",\"content\":\"hello\"}}'\n\
         \x20 # its webhooks, and how they fare\n\
         \x20 curl {api}/webhooks -H 'authorization: Bearer {key}'\n\
         \x20 # let the receiver fail, and see the retries arrive\n\
         \x20 curl -X PUT {receiver}/_/behaviours -d '{{\"path\":\"{path}\",\"answer\":[500,500,200]}}'\n\
         \x20 curl '{receiver}/_/deliveries?path={path}'\n\
         \x20 # run a tick of the collector now\n\
         \x20 curl -X POST {lambda}/2015-03-31/functions/CollectFunction/invocations -d '{{}}'"
    )
}
