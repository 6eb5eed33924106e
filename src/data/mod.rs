//! From a labelled file to episodes: read, split by domain, tokenise once, pick by index.
//!
//! Nothing here knows a model, and only `batch` knows what a tensor is. Who may import whom:
//!
//! ```text
//! ids, fields  -
//! foreign      -
//! written      -
//! config       fields
//! intake       config fields foreign ids
//! labels       ids intake
//! split        config ids intake written
//! import       fields intake written
//! tokens       foreign ids intake
//! episodes     ids intake labels
//! stats        ids intake labels split tokens
//! unlabelled   intake
//! ```

mod config;
mod episodes;
mod fields;
mod foreign;
mod ids;
pub mod import;
mod intake;
mod labels;
mod split;
mod stats;
mod tokens;
pub mod unlabelled;
mod written;

pub(crate) use config::validate_label_lists;
pub use config::{CrossSideDuplicates, DataConfig, LabelSets, SingleLabelDomains};
pub use episodes::{
    DomainLaw, DomainPool, Episode, EpisodeConfig, EpisodeSampler, ExampleLaw, Minibatches,
    QuerySize, Sizes, check_sizes, folds, num_minibatches,
};
pub use fields::{EmptyTexts, FieldNames, RecordRules};
pub use ids::{DomainId, ExampleId, LabelId};
pub use intake::{
    DataError, Dataset, LabelRules, MAX_TEXT_BYTES, Place, Problem, Review, files_of, named_domain,
};
pub use labels::LabelSet;
pub use split::{
    Settled, Side, Split, keep_sides_apart, settle, settle_domains, without_gaps, write_sides,
};
pub use stats::{DataStats, DomainStats, LengthStats, render_table, stats};
pub use tokens::{Corpus, Encoding, TextTokenizer, TokenSubset, TokenizerError, batch};
