//! Where the lines go that functions write to their standard output and standard error.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The most lines that [`LogLines`] keeps; older ones go.
const KEPT_LINES: usize = 20_000;

/// Where functions' lines go.
#[derive(Clone, Debug, Default)]
pub enum LogSink {
    /// To this process's standard error, each line after its function's name.
    #[default]
    Stderr,
    /// To a file per function in this folder, `<function>.log`, appended to.
    Folder(PathBuf),
    /// Kept for a test to read.
    Collect(LogLines),
}

/// Lines kept in memory, the newest 20,000. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct LogLines {
    lines: Arc<Mutex<Vec<(String, String)>>>,
}

impl LogLines {
    /// The lines of one function, oldest first.
    #[must_use]
    pub fn of(&self, function: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|(name, _)| name == function).map(|(_, line)| line.clone()).collect()
    }

    /// The lines of all functions, each with its function's name, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<(String, String)> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, function: &str, line: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= KEPT_LINES {
            lines.drain(..KEPT_LINES / 2);
        }
        lines.push((function.to_owned(), line.to_owned()));
    }
}

/// A sink that is open. Clones share its files.
#[derive(Clone, Debug)]
pub(crate) enum OpenSink {
    Stderr,
    Folder(PathBuf, Arc<Mutex<BTreeMap<String, File>>>),
    Collect(LogLines),
}

impl OpenSink {
    pub(crate) fn open(sink: LogSink) -> std::io::Result<Self> {
        Ok(match sink {
            LogSink::Stderr => Self::Stderr,
            LogSink::Folder(folder) => {
                std::fs::create_dir_all(&folder)?;
                Self::Folder(folder, Arc::default())
            }
            LogSink::Collect(lines) => Self::Collect(lines),
        })
    }

    /// Writes one line (without its end). A line that cannot be written is lost: there is nobody to tell.
    pub(crate) fn write(&self, function: &str, line: &str) {
        match self {
            Self::Stderr => {
                let _ = writeln!(std::io::stderr().lock(), "{function}: {line}");
            }
            Self::Folder(folder, files) => {
                let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
                if !files.contains_key(function)
                    && let Ok(file) = append(folder, function)
                {
                    files.insert(function.to_owned(), file);
                }
                if let Some(file) = files.get_mut(function) {
                    let _ = file.write_all(format!("{line}\n").as_bytes());
                }
            }
            Self::Collect(lines) => lines.push(function, line),
        }
    }
}

fn append(folder: &Path, function: &str) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(folder.join(format!("{function}.log")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gets_one_file_for_each_function() {
        let folder = tempfile::tempdir().unwrap();
        let sink = OpenSink::open(LogSink::Folder(folder.path().join("logs"))).unwrap();
        sink.write("A", "one");
        sink.write("B", "two");
        sink.write("A", "three");
        assert_eq!(std::fs::read_to_string(folder.path().join("logs/A.log")).unwrap(), "one\nthree\n");
        assert_eq!(std::fs::read_to_string(folder.path().join("logs/B.log")).unwrap(), "two\n");
    }
}
