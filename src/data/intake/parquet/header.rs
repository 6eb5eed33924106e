//! The headers of Parquet's pages, as far as they say how large the pages are.
//!
//! The parquet crate believes a header, and sets memory aside for what it promises; so it is read here first.

use super::thrift::{I16, I32, I64, Thrift};

/// The sizes in the header of a page, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PageSizes {
    /// The header itself.
    pub(super) header: u64,
    /// The page in memory; the largest, should several be given.
    pub(super) uncompressed: u64,
    /// The page in the file.
    pub(super) compressed: u64,
}

/// The sizes in the page header that `bytes` begin with; `None` where they begin with none.
pub(super) fn page_sizes(bytes: &[u8]) -> Option<PageSizes> {
    let mut thrift = Thrift::new(bytes);
    let mut sizes = PageSizes::default();
    let mut id = 0;
    while let Some(kind) = thrift.field(&mut id)? {
        match (id, kind) {
            (2, I16 | I32 | I64) => {
                sizes.uncompressed = sizes.uncompressed.max(thrift.number()?.try_into().ok()?);
            }
            (3, I16 | I32 | I64) => sizes.compressed = thrift.number()?.try_into().ok()?,
            _ => thrift.skip(kind)?,
        }
    }
    sizes.header = (bytes.len() - thrift.num_left()) as u64;
    Some(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_past_everything_else() {
        // Type 0, 300 bytes uncompressed, 70 compressed; a struct with a string, a list of two and a truth; an empty map.
        let header = [
            0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x8c, 0x01, 0x2c, 0x18, 0x02, b'h', b'i', 0x19,
            0x25, 0x02, 0x04, 0x11, 0x00, 0x1b, 0x00, 0x00,
        ];
        let sizes = PageSizes { header: 22, uncompressed: 300, compressed: 70 };
        assert_eq!(page_sizes(&[&header[..], b"data"].concat()), Some(sizes));
        for length in 0..header.len() {
            assert_eq!(page_sizes(&header[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_size_that_is_given_twice_counts_as_the_larger() {
        // The second header of field 2 gives its number in full, instead of the distance from the field before it.
        let header = [0x25, 0x80, 0x01, 0x05, 0x04, 0x02, 0x00];
        assert_eq!(page_sizes(&header).map(|it| it.uncompressed), Some(64));
    }

    #[test]
    fn depth_and_counts_without_end_are_no_header() {
        assert_eq!(page_sizes(&[0x1c; 100_000]), None);
        // A list of 2^60 truths.
        let endless = [0x19, 0xf1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 0x01];
        assert_eq!(page_sizes(&endless), None);
    }
}
