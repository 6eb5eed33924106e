//! From a labelled file to episodes: read, split by domain, tokenise once, pick by index.
//!
//! Nothing here knows a model, and only `batch` knows what a tensor is. Who may import whom:
//!
//! ```text
//! ids, config  -
//! intake       ids
//! split        config ids intake
//! tokens       ids intake
//! episodes     ids intake
//! stats        ids intake split tokens
//! unlabelled   intake
//! ```

mod config;
mod episodes;
mod ids;
mod intake;
mod split;
mod stats;
mod tokens;
pub mod unlabelled;

pub use config::{CrossSideDuplicates, DataConfig, SingleLabelDomains};
pub use episodes::{
    DomainLaw, DomainPool, Episode, EpisodeConfig, EpisodeSampler, ExampleLaw, Minibatches, folds,
    num_minibatches,
};
pub use ids::{DomainId, ExampleId, LabelId};
pub use intake::{DataError, Dataset, MAX_TEXT_BYTES, Place, Problem, Review};
pub use split::{
    Settled, Side, Split, check_sizes, keep_sides_apart, named_domain, settle, settle_domains,
    write_sides,
};
pub use stats::{DataStats, DomainStats, LengthStats, render_table, stats};
pub use tokens::{Corpus, Encoding, TextTokenizer, TokenSubset, TokenizerError, batch};
