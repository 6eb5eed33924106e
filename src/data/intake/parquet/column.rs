//! The values of one column, as records take them.

use std::sync::Arc;

use bytes::Bytes;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;

use super::kind::Kind;
use super::pages::CheckedPages;

/// How many rows are in memory at once.
const BATCH: usize = 1_024;

/// A string that a record can take, or in words what was found instead.
pub(in crate::data::intake) type Cell = std::result::Result<String, String>;

/// A value as the file has it. A string shares its bytes with the page: it is cheap until it becomes a [`Cell`].
pub(super) enum Value {
    String(Option<ByteArray>),
    Whole(Option<i128>),
}

/// The values of a column in one group of rows.
pub(super) struct Column<'a> {
    values: Values,
    /// The level of a value that is not null.
    full_level: i16,
    /// The names of its integers.
    names: Option<&'a [String]>,
}

enum Values {
    Strings(ColumnReaderImpl<ByteArrayType>),
    Int32 { values: ColumnReaderImpl<Int32Type>, is_signed: bool },
    Int64 { values: ColumnReaderImpl<Int64Type>, is_signed: bool },
}

impl<'a> Column<'a> {
    /// The column in a chunk of `num_rows` rows.
    ///
    /// # Errors
    /// A codec that is not built in.
    pub(super) fn open(
        file: &Arc<Bytes>,
        chunk: &ColumnChunkMetaData,
        num_rows: usize,
        kind: Kind,
        names: Option<&'a [String]>,
    ) -> Result<Self> {
        let pages = Box::new(CheckedPages::new(file, chunk, num_rows)?);
        let description = chunk.column_descr_ptr();
        let full_level = description.max_def_level();
        let values = match kind {
            Kind::Strings => Values::Strings(ColumnReaderImpl::new(description, pages)),
            Kind::Int32 { is_signed } => {
                Values::Int32 { values: ColumnReaderImpl::new(description, pages), is_signed }
            }
            Kind::Int64 { is_signed } => {
                Values::Int64 { values: ColumnReaderImpl::new(description, pages), is_signed }
            }
        };
        Ok(Self { values, full_level, names })
    }

    /// The values of the next rows; none at the end.
    ///
    /// # Errors
    /// A damaged file.
    pub(super) fn batch(&mut self) -> Result<Vec<Value>> {
        let full_level = self.full_level;
        Ok(match &mut self.values {
            Values::Strings(values) => {
                read(values, full_level)?.into_iter().map(Value::String).collect()
            }
            Values::Int32 { values, is_signed } => {
                let widen = |value: i32| {
                    if *is_signed { value.into() } else { i128::from(value as u32) }
                };
                let values = read(values, full_level)?.into_iter();
                values.map(|value| Value::Whole(value.map(widen))).collect()
            }
            Values::Int64 { values, is_signed } => {
                let widen = |value: i64| {
                    if *is_signed { value.into() } else { i128::from(value as u64) }
                };
                let values = read(values, full_level)?.into_iter();
                values.map(|value| Value::Whole(value.map(widen))).collect()
            }
        })
    }

    /// What a record takes for a value of this column.
    pub(super) fn cell(&self, value: Value) -> Cell {
        match value {
            Value::String(value) => string(value),
            Value::Whole(value) => whole_number(value.ok_or("null")?, self.names),
        }
    }
}

/// The next values, nulls among them.
fn read<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    full_level: i16,
) -> Result<Vec<Option<T::T>>> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    reader.read_records(BATCH, Some(&mut levels), None, &mut values)?;
    if full_level == 0 {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    let missing = || ParquetError::General("a value is missing".to_owned());
    let of_level = |level: i16| match level == full_level {
        true => values.next().map(Some).ok_or_else(missing),
        false => Ok(None),
    };
    levels.into_iter().map(of_level).collect()
}

fn string(value: Option<ByteArray>) -> Cell {
    let value = value.ok_or("null")?;
    match std::str::from_utf8(value.data()) {
        Ok(text) if text.trim().is_empty() => Err("empty text".to_owned()),
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(format!("bytes that are not UTF-8, from offset {}", error.valid_up_to())),
    }
}

/// The name of an integer, or where there are no names its decimal notation.
fn whole_number(value: i128, names: Option<&[String]>) -> Cell {
    let Some(names) = names else { return Ok(value.to_string()) };
    let name = usize::try_from(value).ok().and_then(|value| names.get(value));
    let name = name.filter(|name| !name.trim().is_empty());
    name.cloned().ok_or_else(|| {
        format!("{value}, which is none of the {} numbers that the file names", names.len())
    })
}
