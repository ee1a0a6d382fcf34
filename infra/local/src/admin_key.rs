//! The admin key: made once, and kept in the data folder.

use std::io;
use std::path::Path;

use carteiro_core::key::ApiKey;

use crate::private_file;

/// Why there is no admin key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminKeyError {
    /// The file cannot be read or written, or the system gives no randomness.
    #[error("cannot keep the admin key in {file}: {source}")]
    File {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{file} holds no admin key; without it a new key is made at the next start")]
    NoKey {
        /// The file.
        file: String,
    },
}

/// The key in `<folder>/admin-key`, made with its file (mode 0600) if it is missing; without a folder, a new one.
pub(crate) fn load_or_make(folder: Option<&Path>) -> Result<ApiKey, AdminKeyError> {
    let path = folder.map(|folder| folder.join("admin-key"));
    let file = || path.as_ref().map_or_else(|| "memory".to_owned(), |path| path.display().to_string());
    let failed = |source| AdminKeyError::File { file: file(), source };
    if let Some(path) = &path
        && let Some(content) = private_file::read(path).map_err(failed)?
    {
        let key = ApiKey::from_authorization(&format!("Bearer {}", content.trim_end()));
        return key.ok_or_else(|| AdminKeyError::NoKey { file: file() });
    }
    let key = ApiKey::from_random(private_file::random().map_err(failed)?);
    if let Some(path) = &path {
        private_file::write(path, format!("{}\n", key.reveal()).as_bytes()).map_err(failed)?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_a_folder_and_anew_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let first = load_or_make(Some(folder.path())).unwrap();
        assert_eq!(load_or_make(Some(folder.path())).unwrap(), first);
        assert_ne!(load_or_make(None).unwrap(), load_or_make(None).unwrap());
    }

    #[test]
    fn a_file_without_a_key_is_refused_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        private_file::write(&folder.path().join("admin-key"), b"\n").unwrap();
        let error = load_or_make(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("admin-key holds no admin key"), "{error}");
        assert_eq!(private_file::read(&folder.path().join("admin-key")).unwrap().as_deref(), Some("\n"));
    }
}
