//! `carteiro`: runs the whole bundle on this machine.
//!
//! Builds the functions, starts the local stack, a receiver that stands in for a customer and what stands in for the
//! networks, shows by a demonstration that items come through, and stays up until SIGINT or SIGTERM. Whatever ends
//! it, what it started has ended before it; after a SIGKILL the functions end by themselves.

mod admin_key;
mod api_client;
mod cli;
mod console;
mod demonstration;
mod local_parameters;
mod private_file;
mod running;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use api_client::chain;
use cli::{Cli, Instead};
use console::Console;
use running::{RunError, Running, Surroundings};

/// How long stopping may take.
const STOP_LIMIT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(Instead::Text(text)) => {
            // Nobody may be listening.
            _ = io::stdout().lock().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(Instead::Usage(line)) => {
            Console::Error.say(&format!("carteiro: {line}"));
            return ExitCode::from(2);
        }
    };
    // A condition that did not hold is an error response of the tables', and nothing that people need to see.
    let shown =
        Targets::new().with_default(LevelFilter::WARN).with_target("dynoxide::server", LevelFilter::ERROR);
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_writer(io::stderr).with_filter(shown))
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            Console::Error.say(&format!("carteiro: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Console::Error.say(&format!("carteiro: {}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Everything between the command line and the exit code.
async fn run(cli: &Cli) -> Result<(), RunError> {
    let console = if cli.json { Console::Error } else { Console::Output };
    let mut stop = StopSignals::listen().map_err(RunError::Signals)?;
    let mut running = tokio::select! {
        started = start(cli, console) => started?,
        () = stop.received() => return if cli.once { Err(RunError::Interrupted) } else { Ok(()) },
    };
    let outcome = tokio::select! {
        outcome = work(cli, &mut running) => outcome,
        () = stop.received() => if cli.once { Err(RunError::Interrupted) } else { Ok(()) },
    };
    if !cli.once {
        console.say("Stopping.");
    }
    tokio::select! {
        () = running.stop() => outcome,
        // Whoever asks twice does not want to wait.
        () = stop.received() => Err(RunError::NotStopped),
        () = tokio::time::sleep(STOP_LIMIT) => Err(RunError::NotStopped),
    }
}

async fn start(cli: &Cli, console: Console) -> Result<Running, RunError> {
    Surroundings::prepare(cli, console).await?.start().await
}

/// Runs the demonstration, says that everything is ready, and stays up unless it is to run once.
async fn work(cli: &Cli, running: &mut Running) -> Result<(), RunError> {
    if !cli.no_demo {
        let outcome = running.demonstrate().await;
        match outcome {
            Err(error) if cli.once => return Err(error),
            // What is up may still be of use, to find out why above all.
            Err(error) => Console::Error.say(&format!("carteiro: {}", chain(&error))),
            Ok(()) => {}
        }
    }
    if cli.json {
        Console::Output.say(&running.json());
    }
    if cli.once {
        return Ok(());
    }
    running.say_what_to_try();
    std::future::pending().await
}

/// SIGINT and SIGTERM.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
