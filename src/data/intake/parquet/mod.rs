//! The rows of a Parquet file: a record a row, from three of its columns.
//!
//! Knows what Parquet files hold; what a record must be, its neighbours know. Who may import whom:
//!
//! ```text
//! thrift   -
//! kind     -
//! names    -
//! header   thrift
//! footer   thrift
//! pages    header
//! column   kind pages
//! rows     column footer kind names pages
//! ```

mod column;
mod footer;
mod header;
mod kind;
mod names;
mod pages;
mod rows;
mod thrift;

pub(super) use rows::for_each_row;
pub(in crate::data) use rows::is_parquet;
