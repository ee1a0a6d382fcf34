//! `samples`: sends folders of sample pushes through a running stack, and prints what became of each.

use std::fs;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use carteiro_samples::{Addresses, FolderError, RunError, Secrets, read_folder, run};
use clap::Parser;
use serde_json::json;

const ABOUT: &str = "Sends folders of sample pushes through a running stack, signed as the network would, and prints \
what became of each: stored, delivered, valid against the schema. Ends with 1 if anything did not become of one that \
should.";

/// What the program was asked to do.
#[derive(Debug, Parser)]
#[command(name = "samples", version, about = ABOUT)]
struct Cli {
    /// The folders: bodies of pushes, a file each, in folders named for their network where the body does not tell it
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// The first of the stack's ports
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = clap::value_parser!(u16).range(1..=65_530))]
    port_base: u16,
    /// The stack's data folder, where its admin key is
    #[arg(long, value_name = "DIR", default_value = ".carteiro")]
    data: PathBuf,
    /// The line that `carteiro --json` printed, in a file or, as -, on standard input; instead of ports and folder
    #[arg(long, value_name = "FILE", conflicts_with_all = ["port_base", "data"])]
    stack: Option<PathBuf>,
    /// Meta's app secret
    #[arg(long, value_name = "SECRET", default_value = "local-meta-secret")]
    meta_secret: String,
    /// X's consumer secret
    #[arg(long, value_name = "SECRET", default_value = "local-x-secret")]
    x_secret: String,
    /// LinkedIn's client secret
    #[arg(long, value_name = "SECRET", default_value = "local-linkedin-secret")]
    linkedin_secret: String,
    /// The secret of which those of YouTube's channels are derived
    #[arg(long, value_name = "SECRET", default_value = "local-youtube-secret")]
    youtube_secret: String,
    /// Prints the report as JSON
    #[arg(long)]
    json: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} does not hold the line that carteiro --json prints: {source}")]
    Line { path: PathBuf, source: serde_json::Error },
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("there is no push in {}", .0.display())]
    NoPush(PathBuf),
    #[error("the runtime does not start: {0}")]
    Runtime(io::Error),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match work(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            _ = writeln!(io::stderr().lock(), "samples: {error}");
            ExitCode::from(2)
        }
    }
}

fn work(cli: &Cli) -> Result<bool, Failed> {
    let addresses = addresses(cli)?;
    let (mut samples, mut no_pushes) = (Vec::new(), Vec::new());
    for folder in &cli.folders {
        let (mut found, mut others) = read_folder(folder)?;
        if found.is_empty() {
            return Err(Failed::NoPush(folder.clone()));
        }
        if cli.folders.len() > 1 {
            // Two folders may have files of one name.
            let whole = |name: &str| folder.join(name).display().to_string();
            found.iter_mut().for_each(|sample| sample.name = whole(&sample.name));
            others.iter_mut().for_each(|name| *name = whole(name));
        }
        samples.append(&mut found);
        no_pushes.append(&mut others);
    }
    let secrets = Secrets {
        meta: cli.meta_secret.clone(),
        x: cli.x_secret.clone(),
        linkedin: cli.linkedin_secret.clone(),
        youtube: cli.youtube_secret.clone(),
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failed::Runtime)?;
    let report = runtime.block_on(run(addresses, &secrets, &samples, no_pushes))?;
    let text = if cli.json { json!(report).to_string() } else { report.to_string() };
    // Nobody may be listening; the exit code says the rest.
    _ = writeln!(io::stdout().lock(), "{text}");
    Ok(report.is_good())
}

fn addresses(cli: &Cli) -> Result<Addresses, Failed> {
    if let Some(path) = &cli.stack {
        let line = read_text(path)?;
        return serde_json::from_str(line.trim())
            .map_err(|source| Failed::Line { path: path.clone(), source });
    }
    let admin_key = read_text(&cli.data.join("admin-key"))?.trim().to_owned();
    let at = |offset: u16| format!("http://127.0.0.1:{}", cli.port_base.saturating_add(offset));
    Ok(Addresses { api: at(0), receiver: at(1), dynamodb: at(2), lambda: at(4), admin_key })
}

/// A file's text, or one line of standard input, which may stay open.
fn read_text(path: &Path) -> Result<String, Failed> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().read_line(&mut text)
    } else {
        fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map(|_| text).map_err(|source| Failed::Read { path: path.to_owned(), source })
}
