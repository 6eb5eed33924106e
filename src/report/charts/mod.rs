//! Charts as SVG: from numbers to one `<svg>` element each.
//!
//! Knows no run and no evaluation.

pub mod axis;
pub mod bars;
pub mod curves;
pub mod heat_map;
pub mod intervals;
pub mod svg;
