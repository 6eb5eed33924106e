//! One file from the Hub into the blobs of a cache.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha1::Sha1;
use sha2::Sha256;
use sha2::digest::Digest as _;
use ureq::http::{StatusCode, header};

use super::error::FetchError;
use super::name::HubName;
use super::remote::{Digest, Hub, RemoteFile};
use crate::files::atomic::naming;

/// After so many tries in a row that brought no byte it gives up.
const MAX_TRIES: u32 = 5;

/// How far the download of a file is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The file.
    pub file: &'a str,
    /// Bytes that have arrived, now or earlier.
    pub done: u64,
    /// Bytes in all.
    pub size: u64,
}

/// A file at a commit of a model.
pub(super) struct Source<'a> {
    pub hub: &'a Hub,
    pub name: &'a HubName,
    pub commit: &'a str,
    pub file: &'a RemoteFile,
}

impl Source<'_> {
    /// Downloads the file as `blob`, through `blob.incomplete`, with which an interrupted download resumes. The file gets its
    /// name once its digest is the one that the Hub names.
    pub fn download(&self, blob: &Path, progress: &dyn Fn(Progress)) -> Result<(), FetchError> {
        let incomplete = incomplete(blob);
        let named = |error| FetchError::from(naming(&incomplete, error));
        // The end of a longer file would be no part of this one.
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&incomplete)
            .map_err(named)?;
        if file.metadata().map_err(named)?.len() > self.file.size {
            file.set_len(0).map_err(named)?;
        }
        if file.metadata().map_err(named)?.len() < self.file.size {
            self.receive(&mut file, &incomplete, progress)?;
        }
        let found = digest(&mut file, &self.file.digest, self.file.size).map_err(named)?;
        if found != self.file.digest.digits() {
            fs::remove_file(&incomplete).map_err(named)?;
            let (path, expected) = (&self.file.path, self.file.digest.digits());
            let problem = format!("{path}: expected the digest {expected}, found {found}");
            return Err(FetchError::Network(format!("{}: {problem}; try again", self.name)));
        }
        file.sync_all().and_then(|()| fs::rename(&incomplete, blob)).map_err(named)
    }

    /// Appends what is missing, and tries again where a connection breaks.
    fn receive(
        &self,
        file: &mut File,
        path: &Path,
        progress: &dyn Fn(Progress),
    ) -> Result<(), FetchError> {
        let mut tries = 0;
        // A server that begins anew brings nothing before this.
        let mut furthest = file.metadata().map_err(|error| naming(path, error))?.len();
        loop {
            let position = file.seek(SeekFrom::End(0)).map_err(|error| naming(path, error))?;
            let error = match self.receive_once(file, path, position, progress) {
                Ok(()) => FetchError::Network(format!("{}: the server sent too little", self.name)),
                Err(error @ FetchError::Network(_)) => error,
                Err(error) => return Err(error),
            };
            let reached = file.metadata().map_err(|error| naming(path, error))?.len();
            if reached == self.file.size {
                return Ok(());
            }
            let has_grown = reached > furthest;
            furthest = furthest.max(reached);
            tries = if has_grown { 0 } else { tries + 1 };
            if tries == MAX_TRIES {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(if has_grown { 100 } else { 250 << tries }));
        }
    }

    fn receive_once(
        &self,
        file: &mut File,
        path: &Path,
        position: u64,
        progress: &dyn Fn(Progress),
    ) -> Result<(), FetchError> {
        let response = self.hub.open(self.name, self.commit, &self.file.path, position)?;
        let from = match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = response.headers().get(header::CONTENT_RANGE);
                let range = range.and_then(|range| range.to_str().ok()).unwrap_or_default();
                let begin =
                    |range: &str| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok();
                begin(range).filter(|&from| from == position || from == 0)
            }
            StatusCode::RANGE_NOT_SATISFIABLE => None,
            _ => Some(0),
        };
        let named = |error| FetchError::from(naming(path, error));
        if from != Some(position) {
            file.set_len(0).and_then(|()| file.rewind()).map_err(named)?;
        }
        let Some(from) = from else {
            return Err(FetchError::Network(format!(
                "{}: the server sent no such part",
                self.name
            )));
        };
        let mut done = from;
        let mut body = response.into_body().into_reader().take(self.file.size - from);
        let mut buffer = vec![0; 1 << 16];
        loop {
            progress(Progress { file: &self.file.path, done, size: self.file.size });
            let read = match body.read(&mut buffer) {
                Ok(read) => read,
                Err(error) => return Err(FetchError::network(&self.file.path, error)),
            };
            if read == 0 {
                return Ok(());
            }
            file.write_all(&buffer[..read]).map_err(named)?;
            done += read as u64;
        }
    }
}

/// The name of a blob whose download has not ended.
pub(super) fn incomplete(blob: &Path) -> PathBuf {
    blob.with_extension("incomplete")
}

/// The digest of a file of `size` bytes, of the kind of `expected`.
fn digest(file: &mut File, expected: &Digest, size: u64) -> io::Result<String> {
    file.rewind()?;
    match expected {
        Digest::Sha256(_) => hash(file, Sha256::new()),
        Digest::GitBlob(_) => hash(file, Sha1::new_with_prefix(format!("blob {size}\0"))),
    }
}

fn hash<D: sha2::digest::Digest + Write>(file: &mut File, mut hasher: D) -> io::Result<String> {
    io::copy(file, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_sha256sum_and_git() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        let mut of =
            |kind: fn(String) -> Digest| digest(&mut file, &kind(String::new()), 3).unwrap();
        // printf abc | sha256sum; printf abc | git hash-object --stdin
        assert_eq!(
            of(Digest::Sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(of(Digest::GitBlob), "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f");
    }
}
