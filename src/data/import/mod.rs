//! The folders in which benchmarks of the field come, as one dataset.
//!
//! One file a benchmark; each says which layout it reads, and where that was published. Who may import whom:
//!
//! ```text
//! gathered      -
//! old_text      -
//! layout        gathered
//! sentiment     gathered layout old_text
//! fdu_mtl       gathered layout old_text
//! arsc          gathered layout old_text
//! clinc         gathered layout old_text
//! banking       gathered layout old_text
//! ```

mod arsc;
mod banking;
mod clinc;
mod fdu_mtl;
mod gathered;
mod layout;
mod old_text;
mod sentiment;

pub use gathered::Gathered;

use std::path::Path;

use super::intake::DataError;

/// A benchmark, with what only its layout has.
#[derive(Clone, Copy, Debug)]
pub enum Benchmark<'a> {
    /// Multi-Domain Sentiment Dataset.
    MultiDomainSentiment,
    /// FDU-MTL.
    FduMtl,
    /// Amazon Review Sentiment Classification.
    Arsc,
    /// CLINC150.
    Clinc {
        /// The file that lists the intents of every domain, where it is not beside the texts.
        domains: Option<&'a Path>,
    },
    /// BANKING77.
    Banking,
}

impl Benchmark<'_> {
    /// The parts that its texts come in; none where it is not in parts.
    pub fn parts(self) -> &'static [&'static str] {
        match self {
            Self::MultiDomainSentiment => &[],
            Self::FduMtl | Self::Banking => &["train", "test"],
            Self::Arsc => &["train", "dev", "test"],
            Self::Clinc { .. } => &["train", "val", "test"],
        }
    }

    /// Reads the texts of some of its parts.
    ///
    /// # Errors
    /// The first file that has not the layout of the benchmark, with the line, what was expected and what was found.
    pub fn read(self, path: &Path, parts: &[&str]) -> Result<Gathered, DataError> {
        let mut gathered = Gathered::default();
        match self {
            Self::MultiDomainSentiment => sentiment::read(path, &mut gathered)?,
            Self::FduMtl => fdu_mtl::read(path, parts, &mut gathered)?,
            Self::Arsc => arsc::read(path, parts, &mut gathered)?,
            Self::Clinc { domains } => clinc::read(path, parts, domains, &mut gathered)?,
            Self::Banking => banking::read(path, parts, &mut gathered)?,
        }
        Ok(gathered)
    }
}
