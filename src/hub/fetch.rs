//! A model from the Hub into a cache.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::download::{Progress, Source};
use super::error::FetchError;
use super::name::{HubName, is_commit};
use super::remote::{Hub, Listing, RemoteFile};
use crate::files::atomic::{TEMPORARY_PREFIX, naming, write_file};

/// A model in the cache.
#[derive(Debug)]
pub struct Fetched {
    /// The directory with its files.
    pub snapshot: PathBuf,
    /// The files that were downloaded; others were there.
    pub downloaded: Vec<String>,
}

impl Listing {
    /// Downloads those files that `is_wanted`, where `cache` lacks them, and points the revision of the name to them. What
    /// others have put into the cache is used and kept.
    ///
    /// # Errors
    /// A network that still fails after some tries, a failing disk.
    pub fn fetch(
        &self,
        hub: &Hub,
        cache: &Cache,
        is_wanted: impl Fn(&str) -> bool,
        progress: &dyn Fn(Progress),
    ) -> Result<Fetched, FetchError> {
        let Self { name, commit, files } = self;
        let folder = cache.folder(name);
        let (blobs, snapshot) = (folder.join("blobs"), folder.join("snapshots").join(commit));
        for directory in [&blobs, &snapshot] {
            fs::create_dir_all(directory).map_err(|error| naming(directory, error))?;
        }
        let mut downloaded = Vec::new();
        for file in files.iter().filter(|file| is_plain(&file.path) && is_wanted(&file.path)) {
            let source = Source { hub, name, commit, file };
            let blob = blobs.join(file.digest.digits());
            if is_missing(file, &blob) {
                let _lock = lock(cache, name, file)?;
                // Another process may have fetched it while this one waited.
                if is_missing(file, &blob) {
                    source.download(&blob, progress)?;
                    downloaded.push(file.path.clone());
                }
            }
            link(&snapshot, file)?;
        }
        if !is_commit(name.revision()) {
            // Last: now the cache has the revision.
            let reference = folder.join("refs").join(name.revision());
            let parent = reference.parent().expect("a reference is a file of a folder");
            fs::create_dir_all(parent).map_err(|error| naming(parent, error))?;
            write_file(&reference, commit.as_bytes())?;
        }
        Ok(Fetched { snapshot, downloaded })
    }
}

fn is_missing(file: &RemoteFile, blob: &Path) -> bool {
    fs::metadata(blob).map_or(true, |found| found.len() != file.size)
}

/// Whether a path stays inside its folder.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')) && !path.contains('\\')
}

/// The lock that the Hugging Face libraries take for a blob.
fn lock(cache: &Cache, name: &HubName, file: &RemoteFile) -> io::Result<File> {
    let folder = cache.root().join(".locks").join(name.folder());
    let path = folder.join(format!("{}.lock", file.digest.digits()));
    let lock = || {
        fs::create_dir_all(&folder)?;
        let lock = File::create(&path)?;
        lock.lock()?;
        Ok(lock)
    };
    lock().map_err(|error| naming(&path, error))
}

/// Makes the file of a snapshot a link to its blob.
fn link(snapshot: &Path, file: &RemoteFile) -> io::Result<()> {
    let path = snapshot.join(&file.path);
    let up = "../".repeat(2 + file.path.matches('/').count());
    let target = PathBuf::from(format!("{up}blobs/{}", file.digest.digits()));
    if fs::read_link(&path).is_ok_and(|found| found == target) {
        return Ok(());
    }
    let folder = path.parent().expect("a file is in a folder");
    let make = || {
        fs::create_dir_all(folder)?;
        // Several processes may do this at once.
        let own = std::process::id();
        let temporary = folder.join(format!("{TEMPORARY_PREFIX}{}-{own}", file.digest.digits()));
        let _ = fs::remove_file(&temporary);
        symlink(&target, &temporary)?;
        fs::rename(&temporary, &path)
    };
    make().map_err(|error| naming(&path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_inside_a_model_are_plain() {
        assert!(is_plain("config.json") && is_plain("1_Pooling/config.json"));
        for path in ["", "/a", "../a", "a/../b", "a//b", "a/", ".gitattributes", r"a\b"] {
            assert!(!is_plain(path), "{path:?}");
        }
    }
}
