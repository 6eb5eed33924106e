//! Models by their names on the Hugging Face Hub: the cache that every Hugging Face library shares, and downloads into it.
//!
//! Knows no model, only files. Nothing but [`Hub`] uses the network.

mod cache;
mod download;
mod error;
mod fetch;
mod name;
mod remote;

pub use cache::Cache;
pub use download::Progress;
pub use error::FetchError;
pub use fetch::Fetched;
pub use name::HubName;
pub use remote::{Hub, Listing, offline_variable};
