//! The rows of a Parquet file, within the limits on what it may decompress to.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};

use super::column::{Cell, Column};
use super::footer::{MAGIC, is_shallow};
use super::kind::Kind;
use super::names::{Names, class_names};
use super::pages::{is_of_levels, is_read, promised_bytes};
use crate::data::foreign;
use crate::data::intake::columns::columns_of;
use crate::data::intake::encoding::Limit;
use crate::data::intake::problem::{Place, Problem};
use crate::data::intake::record::{Fields, subject};

/// What a row counts beside its texts: the lengths of three strings.
const ROW_BYTES: usize = 12;

/// Whether a file is Parquet, or is to be by its name.
pub(in crate::data) fn is_parquet(path: &Path, content: &[u8]) -> bool {
    let has_ending = |ending: &std::ffi::OsStr| ending.eq_ignore_ascii_case("parquet");
    content.starts_with(MAGIC) || path.extension().is_some_and(has_ending)
}

/// Gives the text, label and domain of every row to `take`.
///
/// # Errors
/// What keeps the file, or the rest of it, from being read.
pub(in crate::data::intake) fn for_each_row(
    content: &[u8],
    fields: Fields,
    limit: Limit,
    mut take: impl FnMut(Place, [Cell; 3]),
) -> Result<(), Problem> {
    let file = Arc::new(Bytes::copy_from_slice(content));
    let table = Table::open(&file, fields)?;
    let groups = table.metadata.row_groups();
    // All of them before the first row: what is refused is refused early.
    groups.iter().try_for_each(|group| table.check_group(&file, group, limit))?;
    let (mut num_rows, mut num_bytes) = (0, 0);
    for group in groups {
        let num_before = num_rows;
        let mut columns = table.columns(&file, group)?;
        loop {
            let mut batches = Vec::with_capacity(columns.len());
            for column in &mut columns {
                batches.push(call(num_rows, || column.batch())?.into_iter());
            }
            let count = batches[0].len();
            if batches.iter().any(|batch| batch.len() != count) {
                return Err(damaged(num_rows, "its columns differ in length"));
            }
            if count == 0 {
                break;
            }
            for _ in 0..count {
                num_rows += 1;
                let mut next = |column: Option<usize>| match column {
                    // One by one: a page can hold a long string once for all of its rows.
                    Some(column) => columns[column]
                        .cell(batches[column].next().expect("a batch has this length")),
                    None => Ok(fields.file_domain.expect("only it may be missing").to_owned()),
                };
                let cells = table.batch_of_field().map(&mut next);
                num_bytes += ROW_BYTES + cells.iter().flatten().map(String::len).sum::<usize>();
                limit.check(num_bytes)?;
                take(Place::Record(num_rows), cells);
            }
        }
        if i64::try_from(num_rows - num_before) != Ok(group.num_rows()) {
            return Err(damaged(num_rows, "a group has fewer rows than it says"));
        }
    }
    Ok(())
}

/// What calling the parquet crate returns.
fn call<T>(
    num_rows: usize,
    call: impl FnOnce() -> parquet::errors::Result<T>,
) -> Result<T, Problem> {
    foreign::call("parquet", call).map_err(|reason| damaged(num_rows, &reason))
}

fn damaged(num_rows: usize, reason: &str) -> Problem {
    let subject = match num_rows {
        0 => String::new(),
        _ => format!("after record {num_rows}"),
    };
    Problem::new(Place::File, subject, format!("not a whole Parquet file: {reason}"))
}

/// A file with the columns of its fields found.
struct Table {
    metadata: ParquetMetaData,
    names: Names,
    /// For each field, the column.
    columns: [Option<FieldColumn>; 3],
}

/// The column of a field.
struct FieldColumn {
    /// Its position among the columns that hold values.
    position: usize,
    name: String,
    kind: Kind,
}

impl Table {
    fn open(file: &Arc<Bytes>, fields: Fields) -> Result<Self, Problem> {
        if !file.starts_with(MAGIC) {
            let expected = "a Parquet file, which begins with PAR1";
            return Err(Problem::expected(Place::File, "", expected, "other bytes"));
        }
        if !is_shallow(file) {
            return Err(damaged(0, "its end, which describes the columns, is missing or damaged"));
        }
        let metadata = call(0, || ParquetMetaDataReader::new().parse_and_finish(&**file))?;
        let schema = metadata.file_metadata().schema_descr();
        let roots = schema.root_schema().get_fields();
        let names: Vec<&str> = roots.iter().map(|root| root.name()).collect();
        let found = columns_of(&names, Place::File, fields)?;
        let class_names = class_names(metadata.file_metadata().key_value_metadata());
        let class_names = class_names.map_err(|reason| {
            let message = format!("expected label names in the metadata \"huggingface\": {reason}");
            Problem::new(Place::File, "", message)
        })?;
        let mut columns = [const { None }; 3];
        for (number, (column, root)) in columns.iter_mut().zip(found).enumerate() {
            let Some(root) = root else { continue };
            let name = names[root].to_owned();
            let mut leaves = 0..schema.num_columns();
            let position = leaves.find(|&leaf| schema.get_column_root_idx(leaf) == root);
            let kind = position.ok_or("a group of columns, none of them with values");
            let kind = kind.and_then(|position| Kind::of(&schema.column(position)));
            let has_names = class_names.contains_key(&name);
            let (expected, takes_integers) = match number {
                1 => ("a column of strings or integers", true),
                2 => ("a column of strings, or of integers with names", has_names),
                _ => ("a column of strings", false),
            };
            *column = Some(match (kind, position) {
                (Ok(kind), Some(position)) if kind == Kind::Strings || takes_integers => {
                    FieldColumn { position, name, kind }
                }
                (kind, _) => {
                    let found =
                        format!("one of {}", kind.map_or_else(|words| words, Kind::in_words));
                    return Err(Problem::expected(Place::File, subject(&name), expected, found));
                }
            });
        }
        Ok(Self { names: class_names, metadata, columns })
    }

    /// Refuses a group of rows that is compressed in an unknown way, or promises to be too large.
    fn check_group(
        &self,
        file: &Bytes,
        group: &RowGroupMetaData,
        limit: Limit,
    ) -> Result<(), Problem> {
        for FieldColumn { position, name, .. } in self.columns.iter().flatten() {
            let chunk = group.column(*position);
            let refuse = |expected, found: String, fix| {
                let problem = Problem::expected(Place::File, subject(name), expected, found);
                Err(problem.with_fix(fix))
            };
            match chunk.compression() {
                Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) => {}
                other => {
                    let found = format!("{other:?}").split('(').take(1).collect();
                    let expected = "the codec snappy or zstd, or none";
                    return refuse(expected, found, "write the file with another codec");
                }
            }
            if let Some(other) = chunk.encodings().find(|&it| !is_read(it) && !is_of_levels(it)) {
                let (expected, found) = ("the encoding PLAIN or RLE_DICTIONARY", other.to_string());
                return refuse(expected, found, "write the file as pandas does by default");
            }
            let promised = call(0, || promised_bytes(file, chunk))?;
            limit.check(usize::try_from(promised).unwrap_or(usize::MAX))?;
        }
        Ok(())
    }

    /// The columns of a group of rows, in the order of the fields that have one.
    fn columns(
        &self,
        file: &Arc<Bytes>,
        group: &RowGroupMetaData,
    ) -> Result<Vec<Column<'_>>, Problem> {
        let columns = self.columns.iter().flatten();
        let columns = columns.map(|FieldColumn { position, name, kind }| {
            let names = self.names.get(name).map(Vec::as_slice);
            let num_rows = usize::try_from(group.num_rows()).unwrap_or(0);
            call(0, || Column::open(file, group.column(*position), num_rows, *kind, names))
        });
        columns.collect()
    }

    /// For each field, its place among the columns that are read.
    fn batch_of_field(&self) -> [Option<usize>; 3] {
        let mut next = 0..;
        [0, 1, 2].map(|field| self.columns[field].as_ref().and_then(|_| next.next()))
    }
}
