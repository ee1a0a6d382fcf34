//! Notes of the grants that a test's functions needed, for the test that wants each grant to be needed by some test.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use carteiro_local::Stack;

/// The environment variable of the folder in which the tests of a process leave their notes.
pub const FOLDER: &str = "CARTEIRO_GRANTS";

/// Leaves a note of what a stack's functions needed, where somebody asked for notes.
pub(crate) fn note(stack: &Stack) {
    let Some(folder) = crate::tools::variable(FOLDER) else { return };
    let lines: String = stack.needed_grants().iter().map(|grant| format!("{grant}\n")).collect();
    let mut file = tempfile::NamedTempFile::new_in(folder).expect("a file for a note");
    file.write_all(lines.as_bytes()).expect("a note is written");
    file.keep().expect("a note is kept");
}

/// The grants that the tests that left notes in a folder needed, as [`carteiro_local::Grant`] writes them.
#[must_use]
pub fn noted(folder: &Path) -> BTreeSet<String> {
    let notes = std::fs::read_dir(folder).expect("the folder of the notes");
    let text = |note: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(note.expect("a note").path()).expect("a note is a text")
    };
    let lines = |note: String| note.lines().map(str::to_owned).collect::<Vec<_>>();
    notes.map(text).flat_map(lines).collect()
}
