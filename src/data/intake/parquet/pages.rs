//! The pages of a column chunk, handed to the parquet crate only if they hold what they promise.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::header::page_sizes;

/// How many bytes the pages of a chunk promise to be in memory.
///
/// # Errors
/// A header that is none, or pages that the file is too short for.
pub(super) fn promised_bytes(file: &Bytes, chunk: &ColumnChunkMetaData) -> Result<u64> {
    let (start, length) = chunk.byte_range();
    let damaged = || ParquetError::General("a damaged page header".to_owned());
    let end = start.checked_add(length).filter(|&end| end <= file.len() as u64);
    let end = end.ok_or_else(damaged)?;
    let (mut at, mut promised) = (start, 0);
    while at < end {
        let sizes = page_sizes(&file[at as usize..end as usize]).ok_or_else(damaged)?;
        at = at.saturating_add(sizes.header).saturating_add(sizes.compressed);
        promised = sizes.uncompressed.saturating_add(promised);
    }
    Ok(promised)
}

/// Pages that are checked one by one.
pub(super) struct CheckedPages {
    pages: SerializedPageReader<Bytes>,
}

impl CheckedPages {
    /// The pages of a chunk of `num_rows` rows.
    ///
    /// # Errors
    /// A codec that is not built in.
    pub(super) fn new(
        file: &Arc<Bytes>,
        chunk: &ColumnChunkMetaData,
        num_rows: usize,
    ) -> Result<Self> {
        let pages = SerializedPageReader::new(Arc::clone(file), chunk, num_rows, None)?;
        Ok(Self { pages })
    }
}

/// Whether values in this encoding are read. Of the others, the parquet crate sets memory aside for as many as a page promises,
/// and that is written nowhere else.
pub(super) fn is_read(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::PLAIN | Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY)
}

/// Whether levels are in this encoding, which a chunk lists beside those of its values.
#[expect(deprecated, reason = "older files have BIT_PACKED")]
pub(super) fn is_of_levels(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::RLE | Encoding::BIT_PACKED)
}

/// Refuses what would set memory aside for values that are not there.
fn checked(page: Page) -> Result<Page> {
    /// The fewest bytes that a value of a dictionary takes: the length of a string, or a number of 32 bits.
    const LEAST_BYTES: usize = 4;
    let problem = match &page {
        Page::DictionaryPage { buf, num_values, .. } => {
            let is_plausible = *num_values as usize <= buf.len() / LEAST_BYTES;
            (!is_plausible).then(|| "a dictionary of more values than bytes".to_owned())
        }
        Page::DataPage { encoding, .. } | Page::DataPageV2 { encoding, .. } => {
            (!is_read(*encoding)).then(|| format!("a page in the encoding {encoding}"))
        }
    };
    problem.map_or(Ok(page), |problem| Err(ParquetError::General(problem)))
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.pages.get_next_page()?.map(checked).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_holds_what_it_promises() {
        let page = |num_values| {
            let (buf, encoding) = (Bytes::from_static(&[0; 8]), Encoding::PLAIN);
            checked(Page::DictionaryPage { buf, num_values, encoding, is_sorted: false })
        };
        assert!(page(2).is_ok());
        let error = page(3).unwrap_err().to_string();
        assert_eq!(error, "Parquet error: a dictionary of more values than bytes");
    }
}
