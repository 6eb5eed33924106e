//! Reads small files, and refuses large ones: parsed, a file takes many times its size.
//!
//! Knows no format.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The content of a file of at most `most_mib` MiB.
///
/// # Errors
/// Any error of the file system, and a longer file; no more of it is read.
pub fn read(path: &Path, most_mib: u64) -> io::Result<Vec<u8>> {
    let most = most_mib << 20;
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("expected at most {most_mib} MiB, found more")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        assert_eq!(read(&path, 1).unwrap().len(), 1 << 20);
        std::fs::write(&path, vec![7; (1 << 20) + 1]).unwrap();
        let error = read(&path, 1).unwrap_err().to_string();
        assert_eq!(error, "expected at most 1 MiB, found more");
    }
}
