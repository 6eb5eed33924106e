//! The name of a model on the Hub, with a revision of it.

use std::fmt::{self, Display};
use std::path::Path;
use std::str::FromStr;

use crate::checks::Invalid;

/// The revision of those who name none.
const MAIN: &str = "main";

/// `ORG/NAME` or `ORG/NAME@REVISION`. Some old models have a `NAME` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    repository: String,
    revision: String,
}

impl HubName {
    /// `ORG/NAME`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// A branch, a tag or a commit; a name without one means `main`.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The folder of the model in a cache.
    pub fn folder(&self) -> String {
        format!("models--{}", self.repository.replace('/', "--"))
    }

    /// The model and the commit whose snapshot in a cache `path` is.
    pub fn of_snapshot(path: &Path) -> Option<Self> {
        let mut names = path.components().rev().map(|name| name.as_os_str().to_str());
        let (commit, snapshots, folder) = (names.next()??, names.next()??, names.next()??);
        let repository = folder.strip_prefix("models--")?.replace("--", "/");
        let is_snapshot = snapshots == "snapshots" && is_commit(commit);
        is_snapshot.then(|| format!("{repository}@{commit}").parse().ok())?
    }
}

impl FromStr for HubName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let is_repository = repository.split('/').count() <= 2
            && repository.split('/').all(is_name)
            && !repository.contains("--");
        // It becomes a path of the cache.
        let is_revision = revision.split('/').all(is_name);
        if !is_repository || !is_revision {
            let expected = "expected a name such as ORG/NAME or ORG/NAME@REVISION";
            return Err(Invalid(format!("{text}: {expected}, of letters, digits, -, _ and .")));
        }
        Ok(Self { repository: repository.to_owned(), revision: revision.to_owned() })
    }
}

impl Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision.as_str() {
            MAIN => f.write_str(&self.repository),
            revision => write!(f, "{}@{revision}", self.repository),
        }
    }
}

/// Whether `text` is the whole name of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a part of a name is one that the Hub allows; none leads out of a folder.
fn is_name(part: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !part.is_empty()
        && part.len() <= 96
        && part.chars().all(is_plain)
        && !part.starts_with(['.', '-'])
        && !part.ends_with('.')
        && !part.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_name_has_an_organisation_and_may_have_a_revision() {
        let parse = |text: &str| text.parse::<HubName>().unwrap();
        let name = parse("sentence-transformers/all-MiniLM-L6-v2");
        assert_eq!(name.repository(), "sentence-transformers/all-MiniLM-L6-v2");
        assert_eq!((name.revision(), name.to_string()), ("main", name.repository().to_owned()));
        assert_eq!(name.folder(), "models--sentence-transformers--all-MiniLM-L6-v2");
        assert_eq!(parse("bert-base-uncased").folder(), "models--bert-base-uncased");
        for text in ["a/b@v1.0", "a/b@refs/pr/3"] {
            assert_eq!(parse(text).to_string(), text);
        }
    }

    #[test]
    fn no_name_leads_out_of_the_cache() {
        let wrong = [
            "", "/", "a/", "/a", "a/b/c", "../a", "a/..", "./a", "a/.b", "a b/c", "a//b", "a/b@",
            "a/b@..", "a/b@../c", "a/b@/c", "a/b@c//d", "a--b/c", "~/a", "a/b?c", "a/b#c", "a/%2e",
        ];
        for text in wrong {
            assert!(text.parse::<HubName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_snapshot_of_a_cache_has_the_name_of_its_model() {
        let path = format!("/home/ann/hub/models--org--some-model/snapshots/{COMMIT}");
        let name = HubName::of_snapshot(Path::new(&path)).unwrap();
        assert_eq!(name.to_string(), format!("org/some-model@{COMMIT}"));
        for path in ["runs/fomaml", "models--a--b/snapshots/main", &format!("a/b/{COMMIT}")] {
            assert_eq!(HubName::of_snapshot(Path::new(path)), None, "{path}");
        }
    }
}
