//! A folder of samples.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use carteiro_networks::inbox::Shape;
use carteiro_networks::network::Network;
use carteiro_networks::push::{self, MAX_PUSH_BYTES};
use serde_json::Value;

/// The most files that are looked at.
const MAX_FILES: usize = 100_000;

/// The body of a push.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its file, below the folder.
    pub name: String,
    /// To which route it goes.
    pub route: Network,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file or folder.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too many files.
    #[error("there are more than {MAX_FILES} files in {0}")]
    TooMany(PathBuf),
}

/// The samples in a folder and the folders below it, in the order of their names, and the names of the other files:
/// answers of APIs, notes, what is too large for a push.
///
/// # Errors
/// Where something cannot be read.
pub fn read(folder: &Path) -> Result<(Vec<Sample>, Vec<String>), FolderError> {
    let mut files = Vec::new();
    list(folder, folder, &mut files)?;
    files.sort();
    let (mut samples, mut others) = (Vec::new(), Vec::new());
    for path in files {
        let body = fs::read(&path).map_err(|source| FolderError::Read { path: path.clone(), source })?;
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        match route(&path, &body) {
            Some(route) => samples.push(Sample { name, route, body }),
            None => others.push(name),
        }
    }
    Ok((samples, others))
}

fn list(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), FolderError> {
    let failed = |source| FolderError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            list(root, &entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
        if files.len() > MAX_FILES {
            return Err(FolderError::TooMany(root.to_owned()));
        }
    }
    Ok(())
}

/// To which route a file would be pushed; None where it is no push.
fn route(path: &Path, body: &[u8]) -> Option<Network> {
    if body.len() > MAX_PUSH_BYTES {
        return None;
    }
    // A feed is no JSON.
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let first = value.as_array().and_then(|bodies| bodies.first()).unwrap_or(&value);
    let by_object = match first["object"].as_str() {
        Some("page") => Some(Network::Facebook),
        Some("instagram") => Some(Network::Instagram),
        _ => None,
    };
    let parents = path.ancestors().skip(1).filter_map(|folder| folder.file_name()?.to_str());
    let mut by_folder = parents.filter_map(|name| name.parse::<Network>().ok());
    let is_meta = first.get("entry").is_some();
    let by_shape = if is_meta { Network::Facebook } else { Network::X };
    let pushing = |network: &Network| network.spec().push.is_some();
    let route = by_object.or_else(|| by_folder.find(pushing)).unwrap_or(by_shape);
    let updates = push::split(route, body);
    // A push whose lists are empty has no update, and is one all the same.
    let known = updates.is_empty() || updates.iter().any(|update| update.event.shape != Shape::Unknown);
    known.then_some(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_with_their_route_and_all_else_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let entry = r#"{"entry":[{"id":"7","time":1,"changes":[{"field":"comments","value":{"id":"1","text":"a"}}]}]}"#;
        write("instagram/deep/comment.json", entry);
        write("any.json", &entry.replace(r#"{"entry""#, r#"{"object":"page","entry""#));
        write("x/nothing.json", r#"{"for_user_id":"7","follow_events":[]}"#);
        write("x/favorite.json", r#"{"for_user_id":"7","favorite_events":[{"id":"a"}]}"#);
        write("x/api-answer.json", r#"{"data":[{"id":"1","text":"a"}]}"#);
        write("README.md", "no JSON");
        let deleted = r#"<feed xmlns="http://www.w3.org/2005/Atom" xmlns:at="http://purl.org/atompub/tombstones/1.0">
            <at:deleted-entry ref="yt:video:a" when="2026-11-20T12:00:00+00:00"/></feed>"#;
        write("youtube/deleted.xml", deleted);
        let (samples, others) = read(folder.path()).unwrap();
        let found: Vec<_> = samples.iter().map(|sample| (sample.name.as_str(), sample.route)).collect();
        let expected = [
            ("any.json", Network::Facebook),
            ("instagram/deep/comment.json", Network::Instagram),
            ("x/favorite.json", Network::X),
            ("x/nothing.json", Network::X),
            ("youtube/deleted.xml", Network::Youtube),
        ];
        assert_eq!(found, expected);
        assert_eq!(others, ["README.md", "x/api-answer.json"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = read(Path::new("/nowhere/at-all")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read /nowhere/at-all: "), "{error}");
    }
}
