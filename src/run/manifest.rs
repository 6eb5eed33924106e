//! The sizes and hashes of a checkpoint's files: damage is found before anything is computed from
//! them. They detect damage, not tampering.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::directory::is_plain_name;

/// The file that lists the others of its directory. Other programs use the name `manifest.json`.
pub const MANIFEST_FILE: &str = "metabert_manifest.json";

/// A checkpoint whose files are not those that were written.
#[derive(Debug, Error)]
#[error("{path}: damaged: {}", problems.join("; "))]
pub struct Damage {
    /// The checkpoint.
    pub path: PathBuf,
    /// For each damaged file its name, what was expected and what was found.
    pub problems: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    files: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Size in bytes.
    size: u64,
    /// In hexadecimal digits.
    sha256: String,
}

/// Writes the manifest of the files in `dir` and its folders. Files that are added later are not verified.
///
/// # Errors
/// Any error of the file system.
pub fn write(dir: &Path) -> io::Result<()> {
    let mut files = BTreeMap::new();
    add_files(&mut files, dir, "")?;
    fs::write(dir.join(MANIFEST_FILE), serde_json::to_vec_pretty(&Manifest { files })?)
}

/// Adds the files of a folder, whose name within the manifest's directory is `prefix`.
fn add_files(files: &mut BTreeMap<String, Entry>, folder: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            add_files(files, &entry.path(), &format!("{name}/"))?;
        } else {
            let (size, sha256) = (metadata.len(), sha256_of(&entry.path())?);
            files.insert(name, Entry { size, sha256 });
        }
    }
    Ok(())
}

/// Checks that every file that the manifest in `dir` lists is there and unaltered.
///
/// # Errors
/// All damaged files in one error, which may be the manifest itself: without one, damage would pass
/// for a model.
pub fn verify(dir: &Path) -> Result<(), Damage> {
    let damaged = |problems| Err(Damage { path: dir.into(), problems });
    let files = match listed_files(&dir.join(MANIFEST_FILE)) {
        Ok(files) => files,
        Err(reason) => return damaged(vec![format!("{MANIFEST_FILE}: {reason}")]),
    };
    let problems: Vec<String> = files
        .iter()
        .filter_map(|(name, entry)| {
            let problem = difference(&dir.join(name), entry)?;
            Some(format!("{name}: {problem}"))
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { damaged(problems) }
}

/// The files in a manifest.
fn listed_files(path: &Path) -> Result<BTreeMap<String, Entry>, String> {
    let text = fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "expected a list of files, found no file".to_owned(),
        _ => format!("cannot be read: {error}"),
    })?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| format!("expected a list of files: {error}"))?;
    let is_inside = |name: &str| name.split('/').all(is_plain_name);
    match manifest.files.keys().find(|name| !is_inside(name)) {
        Some(name) => Err(format!("expected names of files in its folder, found \"{name}\"")),
        None => Ok(manifest.files),
    }
}

/// The difference between a file and its entry in the manifest.
fn difference(path: &Path, listed: &Entry) -> Option<String> {
    let size = match fs::metadata(path) {
        Ok(found) if found.is_file() => found.len(),
        Ok(_) => return Some("expected a file, found something else".into()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Some(format!("expected {} bytes, found no file", listed.size));
        }
        Err(error) => return Some(format!("cannot be read: {error}")),
    };
    if size != listed.size {
        return Some(format!("expected {} bytes, found {size}", listed.size));
    }
    match sha256_of(path) {
        Ok(found) if found == listed.sha256 => None,
        Ok(found) => Some(format!("expected SHA-256 {}, found {found}", listed.sha256)),
        Err(error) => Some(format!("cannot be read: {error}")),
    }
}

/// The SHA-256 of a file's bytes, in hexadecimal digits.
///
/// # Errors
/// A file that cannot be read.
pub fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "abc").unwrap();
        fs::write(dir.path().join("empty"), "").unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        fs::write(dir.path().join("folder/inner"), "abc").unwrap();
        write(dir.path()).unwrap();
        dir
    }

    fn problems(dir: &Path) -> Vec<String> {
        verify(dir).map_or_else(|damage| damage.problems, |()| Vec::new())
    }

    // printf abc | sha256sum; printf abd | sha256sum
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const ABD: &str = "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9";

    #[test]
    fn a_file_that_is_altered_cut_or_gone_is_named_with_what_was_expected() {
        let dir = listed();
        let path = dir.path();
        assert_eq!(problems(path), [] as [&str; 0]);
        fs::write(path.join("a"), "abd").unwrap();
        assert_eq!(problems(path), [format!("a: expected SHA-256 {ABC}, found {ABD}")]);
        fs::write(path.join("a"), "ab").unwrap();
        fs::remove_file(path.join("empty")).unwrap();
        assert_eq!(
            problems(path),
            ["a: expected 3 bytes, found 2", "empty: expected 0 bytes, found no file"]
        );
        fs::remove_file(path.join("a")).unwrap();
        fs::create_dir(path.join("a")).unwrap();
        fs::write(path.join("folder/inner"), "abcd").unwrap();
        assert_eq!(problems(path)[0], "a: expected a file, found something else");
        assert_eq!(problems(path)[2], "folder/inner: expected 3 bytes, found 4");
    }

    #[test]
    fn every_changed_bit_of_the_manifest_is_found() {
        let dir = listed();
        let manifest = dir.path().join(MANIFEST_FILE);
        let whole = fs::read(&manifest).unwrap();
        for position in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[position] ^= 1 << bit;
                fs::write(&manifest, &changed).unwrap();
                let text = String::from_utf8_lossy(&changed);
                assert!(verify(dir.path()).is_err(), "byte {position}, bit {bit}: {text}");
            }
        }
        for length in 0..whole.len() {
            fs::write(&manifest, &whole[..length]).unwrap();
            assert!(verify(dir.path()).is_err(), "cut after {length} bytes");
        }
    }

    #[test]
    fn a_manifest_cannot_lead_out_of_its_directory() {
        let dir = listed();
        for name in ["../a", "folder/../a", "/etc/hostname", "..", ".", "a/", ""] {
            let files = BTreeMap::from([(name.into(), Entry { size: 3, sha256: ABC.into() })]);
            let text = serde_json::to_vec(&Manifest { files }).unwrap();
            fs::write(dir.path().join(MANIFEST_FILE), text).unwrap();
            let found = problems(dir.path());
            assert!(found[0].contains(&format!("found \"{name}\"")), "{name}: {found:?}");
        }
    }

    #[test]
    fn only_the_files_in_the_manifest_are_verified() {
        let dir = listed();
        fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        assert_eq!(problems(dir.path()), [] as [&str; 0]);
    }

    #[test]
    fn nothing_is_intact_without_a_manifest() {
        let dir = listed();
        fs::remove_file(dir.path().join(MANIFEST_FILE)).unwrap();
        let expected = format!("{MANIFEST_FILE}: expected a list of files, found no file");
        assert_eq!(problems(dir.path()), [expected]);
    }
}
