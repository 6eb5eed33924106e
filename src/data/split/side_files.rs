//! Writes the sides of a split as labelled files of their own.
//!
//! Each file has the form that [`Dataset::read`] takes, and appears whole or not at all.

use std::fs;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::sides::{Side, Split};
use crate::data::intake::Dataset;
use crate::data::written::{Written, write_array};
use crate::files::atomic::AtomicFile;

/// Writes `meta_train.json`, `meta_dev.json` and `low_resource.json` into `out_dir`, and returns their paths.
///
/// Labels are written as their names. A side without domains gets an empty array, so that no file of an earlier
/// split is left.
///
/// # Errors
/// Any error of the file system.
pub fn write_sides(dataset: &Dataset, split: &Split, out_dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(out_dir)?;
    let mut paths = Vec::with_capacity(Side::ALL.len());
    for side in Side::ALL {
        let path = out_dir.join(format!("{}.json", side.to_string().replace('-', "_")));
        let reviews = dataset.reviews.iter().filter(|review| split.side_of(review.domain) == side);
        let mut file = BufWriter::new(AtomicFile::create(&path)?);
        let records = reviews.map(|review| {
            let label = dataset.label_name(review.label);
            Written { text: &review.text, label, domain: dataset.domain_name(review.domain) }
        });
        write_array(&mut file, records)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.commit()?;
        paths.push(path);
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::intake::tests::dataset_of_sizes;

    #[test]
    fn the_sides_hold_every_review_once_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let dataset = dataset_of_sizes(&[("a & \\u00e9", 4), ("b", 3), ("c", 2)]);
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
        let paths = write_sides(&dataset_of_sizes(&[("a", 4), ("b", 3)]), &split, directory.path())
            .unwrap();
        assert_eq!(fs::read_to_string(&paths[1]).unwrap(), "[\n]\n");
    }
}
