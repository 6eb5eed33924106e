//! What the values of a column are, as far as records can use them.

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::schema::types::ColumnDescriptor;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Strings.
    Strings,
    /// Whole numbers of 32 bits, or fewer.
    Int32 {
        /// Whether they may be below zero.
        is_signed: bool,
    },
    /// Whole numbers of 64 bits.
    Int64 {
        /// Whether they may be below zero.
        is_signed: bool,
    },
}

impl Kind {
    /// That of a column.
    ///
    /// # Errors
    /// In words, what the column holds, where it is neither strings nor integers.
    pub(super) fn of(column: &ColumnDescriptor) -> Result<Self, &'static str> {
        if column.path().parts().len() > 1 || column.max_rep_level() > 0 {
            return Err("lists or structs");
        }
        let (logical, converted) = (column.logical_type_ref(), column.converted_type());
        let whole = match (logical, converted) {
            (Some(LogicalType::Integer(integer)), _) => Some(integer.is_signed),
            (
                None,
                ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64,
            ) => Some(false),
            (
                None,
                ConvertedType::NONE
                | ConvertedType::INT_8
                | ConvertedType::INT_16
                | ConvertedType::INT_32
                | ConvertedType::INT_64,
            ) => Some(true),
            _ => None,
        };
        match (column.physical_type(), whole) {
            (Type::BYTE_ARRAY, _) => match (logical, converted) {
                (Some(LogicalType::String | LogicalType::Enum | LogicalType::Json), _)
                | (
                    None,
                    ConvertedType::NONE
                    | ConvertedType::UTF8
                    | ConvertedType::ENUM
                    | ConvertedType::JSON,
                ) => Ok(Self::Strings),
                _ => Err("decimals or other bytes"),
            },
            (Type::INT32, Some(is_signed)) => Ok(Self::Int32 { is_signed }),
            (Type::INT64, Some(is_signed)) => Ok(Self::Int64 { is_signed }),
            (Type::INT32 | Type::INT64 | Type::INT96, _) => Err("dates, times or decimals"),
            (Type::BOOLEAN, _) => Err("true and false"),
            (Type::FLOAT | Type::DOUBLE, _) => Err("floating-point numbers"),
            (Type::FIXED_LEN_BYTE_ARRAY, _) => Err("bytes of a fixed length"),
        }
    }

    /// In words.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Strings => "strings",
            Self::Int32 { .. } | Self::Int64 { .. } => "integers",
        }
    }
}
