//! The Hub itself: which files a model has, and their bytes.

use std::env;
use std::fmt::Display;
use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::cache::{home, variable};
use super::error::FetchError;
use super::name::{HubName, is_commit};
use crate::checks::Invalid;

/// The largest list of files that is read.
const MAX_LISTING_MIB: u64 = 16;
/// How long a connection may take; that of a read is `HF_HUB_DOWNLOAD_TIMEOUT`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server with the Hub's interface. Not `Debug`, which would show the token.
pub struct Hub {
    endpoint: String,
    token: Option<String>,
    agent: Agent,
}

/// The files of a model at one commit.
#[derive(Debug)]
pub struct Listing {
    pub(super) name: HubName,
    pub(super) commit: String,
    pub(super) files: Vec<RemoteFile>,
}

/// A file of a model.
#[derive(Clone, Debug)]
pub(super) struct RemoteFile {
    /// Its path in the model's folder.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// What its bytes hash to.
    pub digest: Digest,
}

/// The digest of a file, which names its blob in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Digest {
    /// SHA-256 of the bytes of a large file.
    Sha256(String),
    /// SHA-1 of git's header and the bytes of a small file.
    GitBlob(String),
}

impl Digest {
    /// Its hexadecimal digits.
    pub fn digits(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::GitBlob(digits) => digits,
        }
    }
}

/// The variable of the environment that forbids the use of the network, if one does.
pub fn offline_variable() -> Option<&'static str> {
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(|name| is_set(name))
}

/// Whether a variable has one of the words that the Hugging Face libraries take for yes.
fn is_set(variable: &str) -> bool {
    let value = env::var(variable).unwrap_or_default().to_lowercase();
    ["1", "true", "yes", "on"].contains(&value.as_str())
}

impl Hub {
    /// The Hub of `HF_ENDPOINT`, or the public one, read with the token of `HF_TOKEN` or of the file that a login leaves.
    pub fn from_environment() -> Self {
        let endpoint = env::var("HF_ENDPOINT").ok().filter(|it| !it.is_empty());
        let endpoint = endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let timeout = env::var("HF_HUB_DOWNLOAD_TIMEOUT").ok().and_then(|text| text.parse().ok());
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(endpoint.starts_with("https://"))
            // On redirection to another host, such as that of the large files, the token stays here.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("metabert/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_per_read(Some(Duration::from_secs(timeout.unwrap_or(10))))
            .build();
        Self { endpoint, token: token(), agent: config.into() }
    }

    /// The files of a model at its revision.
    ///
    /// # Errors
    /// A model or revision that is not there or may not be read, and any error of the network.
    pub fn listing(&self, name: &HubName) -> Result<Listing, FetchError> {
        let (endpoint, repository) = (&self.endpoint, name.repository());
        let revision = name.revision().replace('/', "%2F");
        let url = format!("{endpoint}/api/models/{repository}/revision/{revision}?blobs=true");
        let mut response = self.get(&url, 0)?;
        self.ensure_found(name, &url, response.status())?;
        let mut text = Vec::new();
        let limit = MAX_LISTING_MIB << 20;
        let read = response.body_mut().as_reader().take(limit).read_to_end(&mut text);
        read.map_err(|error| FetchError::network(&url, error))?;
        parse(name, &text).map_err(|found| {
            let expected = "expected the files of a model with their sizes and digests";
            FetchError::network(&url, format!("{expected}, found {found}"))
        })
    }

    /// The bytes of a file at `commit` from position `from` on, or all of them where the server sends no part.
    ///
    /// # Errors
    /// Any error of the network.
    pub(super) fn open(
        &self,
        name: &HubName,
        commit: &str,
        path: &str,
        from: u64,
    ) -> Result<Response<Body>, FetchError> {
        let url = format!("{}/{}/resolve/{commit}/{path}", self.endpoint, name.repository());
        let response = self.get(&url, from)?;
        if response.status() != StatusCode::RANGE_NOT_SATISFIABLE {
            self.ensure_found(name, &url, response.status())?;
        }
        Ok(response)
    }

    fn get(&self, url: &str, from: u64) -> Result<Response<Body>, FetchError> {
        let mut request = self.agent.get(url);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(|error| FetchError::network(url, error))
    }

    /// Explains a status other than success.
    fn ensure_found(
        &self,
        name: &HubName,
        url: &str,
        status: StatusCode,
    ) -> Result<(), FetchError> {
        let (endpoint, repository) = (&self.endpoint, name.repository());
        let problem = match status.as_u16() {
            200..=299 => return Ok(()),
            // The Hub answers so for unknown names too, since it hides which private ones exist.
            401 | 403 if self.token.is_none() => format!(
                "found no model of this name on {endpoint} that is open to all; for a private or gated one set HF_TOKEN"
            ),
            401 | 403 => format!(
                "{endpoint} refuses it to the token of this machine; the page of {repository} may ask for your consent"
            ),
            404 => format!("expected a model and revision on {endpoint}, found none of this name"),
            status => {
                return Err(FetchError::Network(format!("{url}: the server answered {status}")));
            }
        };
        Err(Invalid(format!("{name}: {problem}")).into())
    }
}

/// The reader's own token; `None` where there is none, or it is not to be used unasked.
fn token() -> Option<String> {
    let token = match env::var("HF_TOKEN").ok() {
        Some(token) => token,
        None if is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") => return None,
        None => {
            let file = variable("HF_TOKEN_PATH").unwrap_or_else(|| home(variable).join("token"));
            std::fs::read_to_string(file).ok()?
        }
    };
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

#[derive(Deserialize)]
struct ListingJson {
    sha: String,
    siblings: Vec<SiblingJson>,
}

#[derive(Deserialize)]
struct SiblingJson {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<LfsJson>,
}

#[derive(Deserialize)]
struct LfsJson {
    sha256: String,
    size: u64,
}

impl Listing {
    /// The paths of the files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.path.as_str())
    }
}

/// Reads the Hub's description of a model; otherwise returns what was found instead.
fn parse(name: &HubName, text: &[u8]) -> Result<Listing, String> {
    let json: ListingJson = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if !is_commit(&json.sha) {
        return Err(format!("the commit {:?}", json.sha));
    }
    let is_digest = |digits: &str, length: usize| {
        digits.len() == length && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    let file = |sibling: SiblingJson| {
        let SiblingJson { rfilename: path, size, blob_id, lfs } = sibling;
        let absent = |what: &dyn Display| format!("no {what} of {path}");
        let (size, digest) = match lfs {
            Some(LfsJson { sha256, size }) if is_digest(&sha256, 64) => {
                (size, Digest::Sha256(sha256))
            }
            Some(_) => return Err(absent(&"SHA-256")),
            None => {
                let blob =
                    blob_id.filter(|id| is_digest(id, 40)).ok_or_else(|| absent(&"blobId"))?;
                (size.ok_or_else(|| absent(&"size"))?, Digest::GitBlob(blob))
            }
        };
        Ok(RemoteFile { path, size, digest })
    };
    let files = json.siblings.into_iter().map(file).collect::<Result<_, String>>()?;
    Ok(Listing { name: name.clone(), commit: json.sha, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_have_a_sha256_and_small_ones_the_name_of_their_git_blob() {
        let (commit, sha256) = ("0".repeat(40), "a".repeat(64));
        let text = format!(
            r#"{{"sha": "{commit}", "private": false, "siblings": [
                {{"rfilename": "config.json", "size": 2, "blobId": "{commit}"}},
                {{"rfilename": "model.safetensors", "size": 9, "blobId": "{commit}",
                  "lfs": {{"sha256": "{sha256}", "size": 9, "pointerSize": 134}}}}]}}"#
        );
        let parse = |text: &str| parse(&"org/model".parse().unwrap(), text.as_bytes());
        let listing = parse(&text).unwrap();
        assert_eq!(listing.commit, commit);
        let found: Vec<_> = listing.files.iter().map(|it| (it.size, it.digest.clone())).collect();
        assert_eq!(
            found,
            [(2, Digest::GitBlob(commit.clone())), (9, Digest::Sha256(sha256.clone()))]
        );
        for (from, to) in
            [("\"size\": 2", "\"size\": null"), ("blobId\"", "blob\""), (&sha256, "..")]
        {
            assert!(parse(&text.replace(from, to)).is_err(), "{to}");
        }
        assert!(parse(&text.replacen(&commit, "main", 1)).is_err());
        assert!(parse("<html>").is_err());
    }
}
