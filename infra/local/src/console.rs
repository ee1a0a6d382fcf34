//! What the program says, and where.

use std::io::Write as _;

/// Where text for people goes: standard output, or standard error where standard output is for a program.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Console {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

impl Console {
    /// Says one line, or several. Nobody may be listening any more, which is no reason to fail.
    pub(crate) fn say(self, text: &str) {
        _ = match self {
            Self::Output => writeln!(std::io::stdout().lock(), "{text}"),
            Self::Error => writeln!(std::io::stderr().lock(), "{text}"),
        };
    }
}
