//! Writes the sides of a split as labelled files of their own.
//!
//! Each file has the form that [`Dataset::read`] takes, and appears whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::problem::{DataError, Place, Problem};
use super::split::{Side, Split};
use super::{Dataset, Review};

/// Writes `meta_train.json`, `meta_dev.json` and `low_resource.json` into `out_dir`, and returns their paths.
///
/// Labels are written as their names. A side without domains gets an empty array, so that no file of an earlier
/// split stays behind.
///
/// # Errors
/// The file that could not be written, with the reason.
pub fn write_sides(
    dataset: &Dataset,
    split: &Split,
    out_dir: &Path,
) -> Result<Vec<PathBuf>, DataError> {
    fs::create_dir_all(out_dir).map_err(|error| not_written(out_dir, &error))?;
    let mut paths = Vec::with_capacity(Side::ALL.len());
    for side in Side::ALL {
        let path = out_dir.join(format!("{}.json", side.to_string().replace('-', "_")));
        let reviews = dataset.reviews.iter().filter(|review| split.side_of(review.domain) == side);
        write_atomically(&path, |file| write_reviews(file, dataset, reviews))
            .map_err(|error| not_written(&path, &error))?;
        paths.push(path);
    }
    Ok(paths)
}

fn not_written(path: &Path, error: &io::Error) -> DataError {
    let message =
        format!("expected a place to write to, found: {}", error.to_string().to_lowercase());
    DataError::single(path, Problem::new(Place::File, "", message))
}

#[derive(Serialize)]
struct Record<'a> {
    text: &'a str,
    label: &'a str,
    domain: &'a str,
}

/// An array with a record a line: as easy to diff as JSONL.
fn write_reviews<'a>(
    file: &mut impl Write,
    dataset: &Dataset,
    reviews: impl Iterator<Item = &'a Review>,
) -> io::Result<()> {
    file.write_all(b"[")?;
    for (position, review) in reviews.enumerate() {
        file.write_all(if position == 0 { b"\n" } else { b",\n" })?;
        let (label, domain) =
            (dataset.label_name(review.label), dataset.domain_name(review.domain));
        serde_json::to_writer(&mut *file, &Record { text: &review.text, label, domain })?;
    }
    file.write_all(b"\n]\n")
}

/// A temporary name in the same directory, fsync, rename, fsync of the directory.
fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let outcome = (|| {
        let mut file = BufWriter::new(File::create(&temporary)?);
        write(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if outcome.is_err() {
        // The first error is the one to tell; a temporary file left behind does no harm.
        let _ = fs::remove_file(&temporary);
    }
    outcome?;
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::split::tests::dataset;
    use super::*;

    #[test]
    fn the_sides_hold_every_review_once_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let dataset = dataset(&[("a & \\u00e9", 4), ("b", 3), ("c", 2)]);
        let split = Split { meta_train: vec![0], meta_dev: vec![1], low_resource: vec![2] };
        let out_dir = directory.path().join("new/sides");
        let paths = write_sides(&dataset, &split, &out_dir).unwrap();
        let names: Vec<_> =
            paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["meta_train.json", "meta_dev.json", "low_resource.json"]);
        assert_eq!(fs::read_dir(&out_dir).unwrap().count(), 3, "a temporary file is left");

        let mut texts = Vec::new();
        for (path, domain) in paths.iter().zip(&dataset.domains) {
            let side = Dataset::read(path, &dataset.labels).unwrap();
            assert_eq!(side.domains, std::slice::from_ref(domain));
            texts.extend(side.reviews.into_iter().map(|review| (review.text, review.label)));
        }
        let expected: Vec<_> =
            dataset.reviews.iter().map(|review| (review.text.clone(), review.label)).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_side_without_domains_is_an_empty_array() {
        let directory = tempfile::tempdir().unwrap();
        let split = Split { meta_train: vec![0], meta_dev: vec![], low_resource: vec![1] };
        let paths = write_sides(&dataset(&[("a", 4), ("b", 3)]), &split, directory.path()).unwrap();
        assert_eq!(fs::read_to_string(&paths[1]).unwrap(), "[\n]\n");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let split = Split { meta_train: vec![0], meta_dev: vec![], low_resource: vec![1] };
        let out_dir = file.path().join("sides");
        let error = write_sides(&dataset(&[("a", 4), ("b", 3)]), &split, &out_dir).unwrap_err();
        assert_eq!(error.path, out_dir);
    }
}
