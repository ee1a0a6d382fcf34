//! Builds binaries of the workspace with Cargo, as the running program itself was built: the functions, for the
//! program and for tests.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use crate::template::Template;
use tokio::process::Command;

/// Why there are no binaries. Each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The program does not lie where Cargo puts what it builds.
    #[error("{} does not lie in a target folder of Cargo, so the functions cannot be built beside it; \
             --functions names a folder with them", .0.display())]
    NoTargetFolder(PathBuf),
    /// Cargo cannot be started.
    #[error("cannot run {cargo}: {source}")]
    Cargo {
        /// Cargo's path.
        cargo: String,
        /// Why.
        source: io::Error,
    },
    /// Cargo failed; it has said why.
    #[error("the functions were not built: cargo ended with {0}")]
    Failed(ExitStatus),
}

/// Where the program was built, and how.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// Cargo's target folder.
    target: PathBuf,
    /// Where the binaries of the profile lie.
    binaries: PathBuf,
    profile: String,
}

impl Place {
    /// From a program's path, `<target>/<profile>/carteiro`, or a test's, `<target>/<profile>/deps/<test>`.
    fn of(program: &Path) -> Option<Self> {
        let folder = program.parent()?;
        let binaries = if folder.ends_with("deps") { folder.parent()? } else { folder };
        let profile = match binaries.file_name()?.to_str()? {
            "debug" => "dev",
            other => other,
        };
        let target = binaries.parent().filter(|target| target.file_name().is_some())?;
        Some(Self { target: target.to_owned(), binaries: binaries.to_owned(), profile: profile.to_owned() })
    }
}

/// The packages of the binaries that a template names.
#[must_use]
pub fn packages(template: &Template) -> BTreeSet<String> {
    template.functions.values().map(|function| function.binary.clone()).collect()
}

/// Builds packages' binaries in one call of Cargo, and returns the folder in which they are. Cargo's progress goes to
/// standard error. Dropping the future ends Cargo.
///
/// # Errors
/// See [`BuildError`].
pub async fn build(workspace: &Path, packages: &BTreeSet<String>) -> Result<PathBuf, BuildError> {
    run(command(workspace, packages)?).await
}

/// The same, in the profile that a deployment is built in, beside the program's own. So an unoptimised test measures
/// optimised functions.
///
/// # Errors
/// See [`BuildError`].
pub async fn build_optimised(workspace: &Path, packages: &BTreeSet<String>) -> Result<PathBuf, BuildError> {
    let program = std::env::current_exe().unwrap_or_default();
    let place = Place::of(&program).ok_or(BuildError::NoTargetFolder(program))?;
    let profile = "release".to_owned();
    let place = Place { binaries: place.target.join(&profile), profile, ..place };
    run(command_at(place, workspace, packages)).await
}

async fn run((mut cargo, binaries): (Command, PathBuf)) -> Result<PathBuf, BuildError> {
    let status = cargo.stdout(io::stderr()).status().await;
    let status = status.map_err(|source| BuildError::Cargo { cargo: program_of(&cargo), source })?;
    if status.success() { Ok(binaries) } else { Err(BuildError::Failed(status)) }
}

/// The call of Cargo that [`build`] makes, and the folder in which the binaries will be.
///
/// # Errors
/// Where the running program does not lie in a target folder of Cargo.
pub fn command(workspace: &Path, packages: &BTreeSet<String>) -> Result<(Command, PathBuf), BuildError> {
    let program = std::env::current_exe().unwrap_or_default();
    let place = Place::of(&program).ok_or(BuildError::NoTargetFolder(program))?;
    Ok(command_at(place, workspace, packages))
}

fn command_at(place: Place, workspace: &Path, packages: &BTreeSet<String>) -> (Command, PathBuf) {
    let environment: Vec<_> = std::env::vars_os().collect();
    let cargo = environment.iter().find(|(name, _)| name == "CARGO").map(|(_, value)| value.clone());
    let mut command = Command::new(cargo.unwrap_or_else(|| "cargo".into()));
    command
        .args(arguments(&place, packages))
        .current_dir(workspace)
        .env_clear()
        .envs(environment.into_iter().filter(|(name, _)| is_passed_on(name)))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    (command, place.binaries)
}

fn program_of(command: &Command) -> String {
    command.as_std().get_program().to_string_lossy().into_owned()
}

fn arguments(place: &Place, packages: &BTreeSet<String>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["build".into(), "--locked".into()];
    for package in packages {
        arguments.extend(["-p".into(), package.into()]);
    }
    arguments.extend(["--profile".into(), place.profile.clone().into()]);
    arguments.extend(["--target-dir".into(), place.target.clone().into()]);
    arguments
}

/// Cargo sets variables for what it runs. Passed to a nested Cargo, they change what build scripts see, and much
/// would be built anew at every run.
fn is_passed_on(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    !name.starts_with("CARGO_") || name == "CARGO_HOME" || name == "CARGO_TARGET_DIR"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_path_gives_the_profile_and_the_target_folder() {
        let place = |path: &str| Place::of(Path::new(path)).map(|place| (place.target, place.profile));
        assert_eq!(place("/a/target/debug/carteiro"), Some(("/a/target".into(), "dev".to_owned())));
        assert_eq!(place("/a/target/debug/deps/a_test"), Some(("/a/target".into(), "dev".to_owned())));
        assert_eq!(place("/a/t/release/carteiro"), Some(("/a/t".into(), "release".to_owned())));
        assert_eq!(place("/carteiro"), None);
        assert_eq!(place(""), None);
    }

    #[test]
    fn every_binary_of_the_template_is_built_in_one_call() {
        let text = include_str!("../../../template.yaml");
        let hash = "0".repeat(64);
        let parameters = [("AdminKeySha256".to_owned(), hash)].into();
        let template = Template::parse(text, &parameters, "http://127.0.0.1:1").unwrap();
        let arguments =
            arguments(&Place::of(Path::new("/a/target/debug/carteiro")).unwrap(), &packages(&template));
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_str().unwrap()).collect();
        let line = arguments.join(" ");
        assert!(
            line.starts_with("build --locked -p check -p collect -p deliver -p ingest -p manage"),
            "{line}"
        );
        assert!(line.ends_with("--profile dev --target-dir /a/target"), "{line}");
    }

    #[test]
    fn only_cargos_own_variables_are_kept_back() {
        let handed_on = |name: &str| is_passed_on(&name.into());
        for name in
            ["PATH", "HOME", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO", "CARGO_HOME", "CARGO_TARGET_DIR"]
        {
            assert!(handed_on(name), "{name}");
        }
        assert!(!handed_on("CARGO_PKG_NAME") && !handed_on("CARGO_MANIFEST_DIR"));
    }
}
