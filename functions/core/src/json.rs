//! Why a text is no JSON, in words of our own: a parser's words may change, and may quote the text, which can be
//! secret.

use std::fmt;

use serde_json::error::Category;

/// The fault of a text that should be JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotJson {
    /// It is no JSON at this place.
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The byte of the line, from 1.
        column: usize,
    },
    /// It ends before its JSON does.
    CutShort,
    /// It is JSON of another form from this place on.
    WrongAt {
        /// The line, from 1.
        line: usize,
        /// The byte of the line, from 1.
        column: usize,
    },
    /// It is no object.
    OtherForm,
}

impl NotJson {
    /// The fault that a parser reports.
    #[must_use]
    pub fn of(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Eof => Self::CutShort,
            Category::Data => Self::WrongAt { line, column },
            Category::Syntax | Category::Io => Self::Syntax { line, column },
        }
    }
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { line, column } => write!(f, "it is no JSON at line {line}, byte {column}"),
            Self::CutShort => f.write_str("it ends before its JSON does"),
            Self::WrongAt { line, column } => {
                write!(f, "another field or value is expected at line {line}, byte {column}")
            }
            Self::OtherForm => f.write_str("a JSON object is expected"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_no_json_is_said_in_own_words_without_the_text() {
        for (text, said) in [
            ("", "it ends before its JSON does"),
            ("{\"s3cret\":", "it ends before its JSON does"),
            ("{\"a\":\n s3cret}", "it is no JSON at line 2, byte 2"),
            ("{\"a\":1} s3cret", "it is no JSON at line 1, byte 9"),
            ("\"s3cret\"", "another field or value is expected at line 1, byte 8"),
        ] {
            let error = serde_json::from_str::<BTreeMap<String, u8>>(text).unwrap_err();
            assert_eq!(NotJson::of(&error).to_string(), said, "{text}");
        }
    }
}
