//! The cache of the Hugging Face libraries, in their layout: `models--ORG--NAME/` with `refs/REVISION`, which holds a commit,
//! `snapshots/COMMIT/FILE`, a link to a blob, and `blobs/DIGEST`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::name::{HubName, is_commit};

/// A cache of models, which may not exist yet.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache that `HF_HUB_CACHE`, `HF_HOME` or `XDG_CACHE_HOME` name, or else `~/.cache/huggingface/hub`.
    pub fn from_environment() -> Self {
        Self { root: root(variable) }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a model, which may not exist.
    pub(super) fn folder(&self, name: &HubName) -> PathBuf {
        self.root.join(name.folder())
    }

    /// The directory with the files of a model at its revision; `None` where the cache has none.
    pub fn snapshot(&self, name: &HubName) -> Option<PathBuf> {
        let folder = self.folder(name);
        let revision = name.revision();
        let commit = match is_commit(revision) {
            true => revision.to_owned(),
            false => fs::read_to_string(folder.join("refs").join(revision)).ok()?.trim().to_owned(),
        };
        let snapshot = folder.join("snapshots").join(&commit);
        (is_commit(&commit) && snapshot.is_dir()).then_some(snapshot)
    }
}

/// The path that a variable of the environment names, whose `~` is the user's own folder.
pub(super) fn variable(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(name).filter(|value| !value.is_empty())?);
    let in_home = path.strip_prefix("~").ok().map(Path::to_owned);
    in_home.and_then(|rest| Some(Path::new(&env::var_os("HOME")?).join(rest))).or(Some(path))
}

/// The folder of the Hugging Face libraries for all that is not of one model.
pub(super) fn home(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    variable("HF_HOME").unwrap_or_else(|| {
        let user = || variable("HOME").unwrap_or_default().join(".cache");
        variable("XDG_CACHE_HOME").unwrap_or_else(user).join("huggingface")
    })
}

fn root(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let named = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"].into_iter().find_map(&variable);
    named.unwrap_or_else(|| home(variable).join("hub"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_variable_names_the_cache() {
        let mut set = vec![("HOME", "/home/ann")];
        let found = |set: &[(&str, &str)]| {
            let of = |name: &str| set.iter().find(|(it, _)| *it == name).map(|(_, it)| it.into());
            root(of).display().to_string()
        };
        assert_eq!(found(&set), "/home/ann/.cache/huggingface/hub");
        set.push(("XDG_CACHE_HOME", "/cache"));
        assert_eq!(found(&set), "/cache/huggingface/hub");
        set.push(("HF_HOME", "/hf"));
        assert_eq!(found(&set), "/hf/hub");
        set.push(("HUGGINGFACE_HUB_CACHE", "/old"));
        assert_eq!(found(&set), "/old");
        set.push(("HF_HUB_CACHE", "/models"));
        assert_eq!(found(&set), "/models");
    }

    #[test]
    fn a_revision_is_found_by_its_reference_and_a_commit_by_itself() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache { root: root.path().to_owned() };
        let snapshot = |text: &str| cache.snapshot(&text.parse().unwrap());
        assert_eq!(snapshot("org/model"), None);
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let folder = root.path().join("models--org--model");
        let expected = folder.join("snapshots").join(commit);
        fs::create_dir_all(&expected).unwrap();
        assert_eq!(snapshot(&format!("org/model@{commit}")), Some(expected.clone()));
        assert_eq!(snapshot("org/model"), None);
        fs::create_dir_all(folder.join("refs/refs/pr")).unwrap();
        for (name, content) in [("main", commit), ("refs/pr/3", commit), ("lost", "../../..")] {
            fs::write(folder.join("refs").join(name), content).unwrap();
        }
        assert_eq!(snapshot("org/model"), Some(expected.clone()));
        assert_eq!(snapshot("org/model@refs/pr/3"), Some(expected));
        assert_eq!(snapshot("org/model@lost"), None);
    }
}
