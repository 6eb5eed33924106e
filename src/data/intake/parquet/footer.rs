//! Where the description of a Parquet file is, and how deep its columns are in each other.
//!
//! The parquet crate reads columns inside columns by recursion: a small file of very deep ones would exhaust the stack, so depth is
//! looked at here first.

use super::thrift::{I16, I32, I64, LIST, STRUCT, Thrift};

/// What every Parquet file begins and ends with.
pub(super) const MAGIC: &[u8] = b"PAR1";
/// How deep columns may be in each other: lists of structs of lists are at six.
const MAX_DEPTH: usize = 100;
/// The length of the description and the magic bytes, at the end.
const TAIL_BYTES: usize = 8;

/// Whether a file ends in a description of columns that are not too deep in each other.
pub(super) fn is_shallow(file: &[u8]) -> bool {
    description(file).and_then(depth).is_some_and(|depth| depth <= MAX_DEPTH)
}

/// The bytes that describe the file.
fn description(file: &[u8]) -> Option<&[u8]> {
    let (file, tail) = file.split_at_checked(file.len().checked_sub(TAIL_BYTES)?)?;
    let (length, magic) = tail.split_first_chunk()?;
    let start = file.len().checked_sub(u32::from_le_bytes(*length) as usize)?;
    (magic == MAGIC).then(|| &file[start..])
}

/// The depth of the columns, which a list has in the order in which a reader meets them, each with the number of those in it.
fn depth(description: &[u8]) -> Option<usize> {
    let mut thrift = Thrift::new(description);
    let (mut id, mut deepest) = (0, 0);
    while let Some(kind) = thrift.field(&mut id)? {
        if (id, kind) != (2, LIST) {
            thrift.skip(kind)?;
            continue;
        }
        let (count, kind) = thrift.elements()?;
        if kind != STRUCT {
            return None;
        }
        // How many columns are still to come in each of those that are open.
        let mut open: Vec<u64> = Vec::new();
        for _ in 0..count {
            let num_children = num_children(&mut thrift)?;
            if let Some(last) = open.last_mut() {
                *last -= 1;
            }
            if num_children > 0 {
                open.push(num_children);
            }
            deepest = deepest.max(open.len());
            while open.last() == Some(&0) {
                open.pop();
            }
        }
    }
    Some(deepest)
}

/// How many columns are in the one that comes next.
fn num_children(thrift: &mut Thrift) -> Option<u64> {
    let (mut id, mut most) = (0, 0);
    while let Some(kind) = thrift.field(&mut id)? {
        match (id, kind) {
            (5, I16 | I32 | I64) => most = most.max(thrift.number()?.try_into().ok()?),
            _ => thrift.skip(kind)?,
        }
    }
    Some(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose columns have these numbers of columns in them.
    fn file(children: &[u8]) -> Vec<u8> {
        let mut file = vec![0x29, 0xfc];
        let mut count = children.len();
        while count > 0x7f {
            file.push(count as u8 | 0x80);
            count >>= 7;
        }
        file.push(count as u8);
        for children in children {
            file.extend([0x55, children << 1, 0x00]);
        }
        file.push(0);
        let length = file.len() as u32;
        [MAGIC, &file, &length.to_le_bytes(), MAGIC].concat()
    }

    #[test]
    fn columns_are_as_deep_as_they_are_inside_each_other() {
        for (children, expected) in
            [(&[2, 0, 0][..], 1), (&[2, 1, 0, 0], 2), (&[3, 2, 0, 1, 0, 0, 1, 0], 3)]
        {
            let file = file(children);
            assert_eq!(description(&file).and_then(depth), Some(expected), "{children:?}");
        }
        assert!(is_shallow(&file(&[1; 100])) && !is_shallow(&file(&[1; 101])));
        let file = file(&[2, 0, 0]);
        for length in 0..file.len() {
            assert!(!is_shallow(&file[..length]), "{length}");
        }
    }
}
