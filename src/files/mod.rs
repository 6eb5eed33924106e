//! Files that are written whole or not at all, and read up to a size.

pub mod atomic;
pub mod limited;
