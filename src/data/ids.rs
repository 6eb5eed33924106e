//! The numbers that name examples, domains and labels.

/// A review's position in [`super::Dataset::reviews`].
pub type ExampleId = u32;
/// A domain's position in [`super::Dataset::domains`].
pub type DomainId = u32;
/// A label's position in [`super::Dataset::labels`].
pub type LabelId = u32;
