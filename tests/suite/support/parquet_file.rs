//! Writes Parquet files for tests, with the parquet crate.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};

/// The values of a column.
#[derive(Clone, Debug)]
pub enum Values {
    Strings(Vec<Option<ByteArray>>),
    Int32(Vec<Option<i32>>),
    Int64(Vec<Option<i64>>),
    Doubles(Vec<Option<f64>>),
}

/// A column: its type and name as a schema has them, and its values.
pub type Column = (&'static str, Values);

/// A column of strings.
pub fn strings(values: &[&str]) -> Values {
    Values::Strings(values.iter().map(|&value| Some(value.into())).collect())
}

/// The columns of records with text, label and domain.
pub fn columns_of(records: &[Value]) -> Vec<Column> {
    let column = |field: &str| {
        let values: Vec<&str> =
            records.iter().map(|record| record[field].as_str().unwrap()).collect();
        strings(&values)
    };
    vec![
        ("binary text (UTF8)", column("text")),
        ("binary label (UTF8)", column("label")),
        ("binary domain (UTF8)", column("domain")),
    ]
}

/// The metadata in which `datasets` stores that a column has names for its integers.
pub fn class_label(column: &str, names: &[&str]) -> KeyValue {
    let feature = json!({"names": names, "_type": "ClassLabel"});
    let metadata = json!({"info": {"features": {column: feature}}}).to_string();
    KeyValue::new("huggingface".to_owned(), metadata)
}

/// Properties without statistics: a page may be a large one.
pub fn properties(compression: Compression) -> WriterPropertiesBuilder {
    WriterProperties::builder().set_compression(compression)
}

/// A file of columns that are optional, or all of whose values are there.
pub fn written(
    columns: &[Column],
    is_optional: bool,
    properties: WriterPropertiesBuilder,
) -> Vec<u8> {
    let repetition = if is_optional { "optional" } else { "required" };
    let fields = columns.iter().map(|(field, _)| format!("{repetition} {field};\n"));
    let schema = format!("message schema {{\n{}}}", fields.collect::<String>());
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (_, values) in columns {
        macro_rules! write {
            ($type:ty, $values:expr) => {{
                let mut column = group.next_column().unwrap().unwrap();
                let present: Vec<_> = $values.iter().flatten().cloned().collect();
                let levels: Vec<i16> =
                    $values.iter().map(|value| i16::from(value.is_some())).collect();
                let levels = is_optional.then_some(levels.as_slice());
                column.typed::<$type>().write_batch(&present, levels, None).unwrap();
                column.close().unwrap();
            }};
        }
        match values {
            Values::Strings(values) => write!(ByteArrayType, values),
            Values::Int32(values) => write!(Int32Type, values),
            Values::Int64(values) => write!(Int64Type, values),
            Values::Doubles(values) => write!(DoubleType, values),
        }
    }
    group.close().unwrap();
    writer.into_inner().unwrap()
}

/// How a file may be written.
pub fn any_properties(number: u8) -> WriterPropertiesBuilder {
    let codecs =
        [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())];
    let properties = properties(codecs[usize::from(number % 3)]);
    match number / 3 % 3 {
        0 => properties,
        1 => properties.set_dictionary_enabled(false).set_encoding(Encoding::PLAIN),
        _ => properties.set_data_page_row_count_limit(2).set_write_batch_size(1),
    }
}
