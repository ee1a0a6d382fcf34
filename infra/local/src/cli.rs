//! The command line.

use std::path::PathBuf;

use clap::Parser;
use clap::error::ErrorKind;

/// The highest port base: five more ports follow it.
const MAX_PORT_BASE: i64 = 65_530;

const ABOUT: &str = "Runs the whole bundle on this machine: the functions of template.yaml, on an embedded DynamoDB \
and an embedded SQS.";

const PORTS: &str = "\
Ports, all on 127.0.0.1 (port base + n):
  +0  3000  the HTTP API
  +1  3001  a receiver standing in for a customer: any path takes webhooks, / shows them,
            /_/ controls it
  +2  3002  DynamoDB
  +3  3003  SQS
  +4  3004  Lambda Invoke
  +5  3005  stand-ins for the networks' APIs

It runs until SIGINT or SIGTERM.";

/// What the program was asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "carteiro", version, about = ABOUT, after_help = PORTS)]
pub(crate) struct Cli {
    /// Sets a parameter of the template; may be repeated
    #[arg(long = "set", value_name = "Parameter=Value", value_parser = parameter)]
    pub(crate) parameters: Vec<(String, String)>,
    /// The first of six ports; 0 takes ports that are free
    #[arg(long, value_name = "N", default_value_t = 3000,
        value_parser = clap::value_parser!(u16).range(0..=MAX_PORT_BASE))]
    pub(crate) port_base: u16,
    /// Where state is kept
    #[arg(long, value_name = "DIR", default_value = ".carteiro")]
    pub(crate) data: PathBuf,
    /// Keeps all state in memory instead
    #[arg(long, conflicts_with = "data")]
    pub(crate) memory: bool,
    /// Leaves the demonstration out
    #[arg(long, conflicts_with = "once")]
    pub(crate) no_demo: bool,
    /// Runs the demonstration and ends, with 1 if anything in it failed
    #[arg(long)]
    pub(crate) once: bool,
    /// When everything is ready, prints one line of JSON with all addresses, the admin key and a link to the
    /// demonstration's console to standard output, and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
    /// Shows what the functions log, on standard error, instead of writing it to files
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Runs the functions' binaries in this folder instead of building them
    #[arg(long, value_name = "DIR")]
    pub(crate) functions: Option<PathBuf>,
}

/// What is to be said instead of running.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    /// `--help` or `--version`: the text asked for.
    Text(String),
    /// A wrong command line, in one line.
    Usage(String),
}

impl Cli {
    /// Reads the command line, the program's name first.
    pub(crate) fn read(
        arguments: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
    ) -> Result<Self, Instead> {
        Self::try_parse_from(arguments).map_err(|error| {
            let text = error.to_string();
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
                return Instead::Text(text);
            }
            let first = text.lines().next().unwrap_or_default();
            Instead::Usage(format!("{} (--help lists the options)", first.trim_start_matches("error: ")))
        })
    }

    /// The value that a parameter is set to, if it is.
    pub(crate) fn set(&self, parameter: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(name, _)| name == parameter).map(|(_, value)| value.as_str())
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("Parameter=Value is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Cli, Instead> {
        Cli::read([&["carteiro"], arguments].concat())
    }

    fn usage(arguments: &[&str]) -> String {
        match read(arguments) {
            Err(Instead::Usage(line)) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_options_it_is_the_documented_default() {
        let cli = read(&[]).unwrap();
        assert_eq!((cli.port_base, cli.data.to_str()), (3000, Some(".carteiro")));
        assert!(!(cli.memory || cli.no_demo || cli.once || cli.json || cli.verbose));
        assert!(cli.parameters.is_empty() && cli.functions.is_none());
    }

    #[test]
    fn a_parameter_may_hold_any_value_and_its_last_setting_wins() {
        let cli = read(&["--set", "A=b=c", "--set", "B=", "--set", "A=d"]).unwrap();
        assert_eq!((cli.set("A"), cli.set("B"), cli.set("C")), (Some("d"), Some(""), None));
    }

    #[test]
    fn a_wrong_command_line_is_explained_in_one_line() {
        let wrong: [&[&str]; 6] = [
            &["--set", "A"],
            &["--set", "=b"],
            &["--port-base", "65531"],
            &["--once", "--no-demo"],
            &["--memory", "--data", "x"],
            &["--what"],
        ];
        for arguments in wrong {
            let line = usage(arguments);
            assert!(line.ends_with("(--help lists the options)") && !line.contains('\n'), "{line}");
            assert!(line.contains(arguments[0]), "{line}");
        }
        // A value may be a secret, but one without a name is no setting at all.
        assert!(usage(&["--set", "A"]).contains("Parameter=Value is expected"));
    }

    #[test]
    fn the_help_explains_every_port() {
        let Err(Instead::Text(help)) = read(&["--help"]) else { panic!("help is asked for") };
        for port in ["3000", "3001", "3002", "3003", "3004", "3005"] {
            assert!(help.contains(port), "{help}");
        }
    }
}
