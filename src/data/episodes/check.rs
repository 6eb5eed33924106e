//! Whether domains are large enough for the episodes that are wanted of them.
//!
//! What passes here can be drawn: [`super::EpisodeSampler`] checks no label again.

use super::config::EpisodeConfig;
use super::pool::DomainPool;
use crate::data::ids::{DomainId, LabelId};
use crate::data::intake::Dataset;
use crate::data::intake::problem::{DataError, Place, Problem, Problems, quote};

/// Checks that every one of `domains` has the examples, and the labels, of an episode.
///
/// # Errors
/// Every domain that has fewer than `support + query` examples, with its count. Where every label of an episode needs
/// examples: each label that has too few, and each domain with too few labels or with more than the support set holds.
pub fn check_sizes(
    dataset: &Dataset,
    domains: &[DomainId],
    config: &EpisodeConfig,
) -> Result<(), DataError> {
    let mut problems = Problems::default();
    for pool in dataset.pools(domains) {
        let check = Check { dataset, config, pool: &pool };
        if !config.holds_every_label(&pool) {
            check.num_examples(0, &mut problems);
        } else if let Some(problem) = check.num_labels() {
            problems.push(problem);
        } else if check.labels(&mut problems) {
            // One of each label at least, where there is a query set at all.
            check.num_examples(check.num_drawn_labels() * check.spare(), &mut problems);
        }
    }
    problems.into_result(&dataset.path)
}

/// One domain and what is wanted of it.
struct Check<'a> {
    dataset: &'a Dataset,
    config: &'a EpisodeConfig,
    pool: &'a DomainPool,
}

impl Check<'_> {
    fn about(&self) -> String {
        format!("domain {}", quote(&self.pool.name))
    }

    /// The labels of an episode.
    fn num_drawn_labels(&self) -> usize {
        self.config.num_labels(self.pool)
    }

    /// Examples of each label that the query set needs.
    fn spare(&self) -> usize {
        usize::from(self.config.query > 0)
    }

    /// Too few labels to choose between or to draw, or more than the smallest support set has texts.
    fn num_labels(&self) -> Option<Problem> {
        let (found, drawn) = (self.pool.labels.len(), self.num_drawn_labels());
        let problem = |expected: String, found: String| {
            Problem::expected(Place::File, self.about(), expected, found)
        };
        if found < 2 {
            let names = self.pool.labels.names(&self.dataset.labels);
            let found =
                names.first().map_or("none".to_owned(), |name| format!("only {}", quote(name)));
            let fix = "label more of it, or set data.single_label_domains = \"drop\"";
            return Some(problem("texts of at least two labels".to_owned(), found).with_fix(fix));
        }
        if found < drawn {
            let expected = format!("at least {drawn} labels (episode.ways)");
            let fix = format!("lower episode.ways to {found}, or set it to 0 for all labels");
            return Some(problem(expected, found.to_string()).with_fix(fix));
        }
        let support = self.config.support_sizes().min();
        if !self.config.counts_by_label() && support < drawn {
            let expected = format!("a support set of at least {drawn} texts, one for each label");
            let fix =
                format!("raise --support to {drawn}, or count by label with --support-per-label");
            let fix = match self.config.ways {
                0 => format!("{fix}; episode.ways draws fewer labels to train on"),
                _ => fix,
            };
            return Some(problem(expected, support.to_string()).with_fix(fix));
        }
        None
    }

    /// Reports the labels with too few examples, and returns whether there are none.
    fn labels(&self, problems: &mut Problems) -> bool {
        let (config, spare) = (self.config, self.spare());
        let support = match config.counts_by_label() {
            true => config.support_per_label.max(),
            false => 1,
        };
        let size = |label: &LabelId| self.pool.examples_of(*label).len();
        let is_small = |label: &LabelId| size(label) < support.saturating_add(spare);
        let small = self.pool.labels.ids().iter().copied().filter(is_small);
        let small: Vec<LabelId> = small.collect();
        for label in &small {
            let expected = match spare {
                0 => format!("at least {support} texts (support)"),
                _ => format!("at least {support} + {spare} texts (support + query)"),
            };
            let (found, most) = (size(label), size(label).saturating_sub(spare));
            let lower = (most > 0).then(|| format!("lower --support-per-label to {most}"));
            let leave_out = self.dataset.label_sets_differ.then(|| {
                let least = support.saturating_add(spare);
                format!("leave it out with data.min_texts_per_label = {least}")
            });
            let fix = match found {
                0 => "label texts with it, or set data.label_sets = \"domain\"".to_owned(),
                _ => {
                    let more = Some("label more texts with it".to_owned());
                    [lower, more, leave_out].into_iter().flatten().collect::<Vec<_>>().join(", or ")
                }
            };
            let name = quote(self.dataset.label_name(*label));
            let about = format!("{}, label {name}", self.about());
            let problem = Problem::expected(Place::File, about, expected, size(label));
            problems.push(problem.with_fix(fix));
        }
        small.is_empty()
    }

    /// Reports a domain with too few examples in all for the largest support set and a query set of `least_query` or more.
    fn num_examples(&self, least_query: usize, problems: &mut Problems) {
        let Self { config, pool, .. } = *self;
        let query = config.query.max(least_query);
        let drawn = self.num_drawn_labels();
        let support = config.num_support(config.support_sizes().max(), drawn);
        // Of all labels, or of the smallest that can be drawn.
        let mut sizes: Vec<usize> = pool.examples_by_label.iter().map(Vec::len).collect();
        sizes.retain(|&size| size > 0);
        sizes.sort_unstable();
        let is_part = config.ways > 0 && drawn < sizes.len();
        let size: usize = if is_part { sizes[..drawn].iter().sum() } else { sizes.iter().sum() };
        let unlabelled = config.unlabelled;
        if size >= support.saturating_add(query).saturating_add(unlabelled) {
            return;
        }
        let of_labels =
            if is_part { format!(" in any {drawn} of its labels") } else { String::new() };
        let lower = match config.counts_by_label() {
            true => "lower --support-per-label or --query, or add examples",
            false => "lower --support or --query, or add examples",
        };
        let (expected, fix) = match size.checked_sub(support) {
            _ if unlabelled > 0 && size >= support.saturating_add(query) => (
                format!(
                    "at least {support} + {query} + {unlabelled} examples{of_labels} (support + query + \
                     evaluate.unlabelled)"
                ),
                "lower evaluate.unlabelled, or add examples".to_owned(),
            ),
            most => {
                let fix = match most {
                    Some(most) if most >= least_query.max(1) => {
                        format!("lower --query to {most} or add examples")
                    }
                    _ => lower.to_owned(),
                };
                let sum = format!("{support} + {query} examples{of_labels} (support + query)");
                (format!("at least {sum}"), fix)
            }
        };
        let problem = Problem::expected(Place::File, self.about(), expected, size);
        problems.push(problem.with_fix(fix));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::intake::tests::{dataset, dataset_of_sizes};

    fn config(support: usize, query: usize) -> EpisodeConfig {
        EpisodeConfig { support: support.into(), query, ..EpisodeConfig::default() }
    }

    fn by_label(support_per_label: usize, query: usize) -> EpisodeConfig {
        EpisodeConfig { support_per_label: support_per_label.into(), ..config(80, query) }
    }

    /// A dataset whose domains have so many texts of each label, given as domain, label and number.
    fn own(sizes: &[(&str, &str, usize)]) -> Dataset {
        let numbers = sizes.iter().flat_map(|&(domain, label, size)| {
            (0..size).map(move |number| (domain, label, format!("{domain} {label} {number}")))
        });
        let texts: Vec<_> = numbers.collect();
        let records: Vec<_> =
            texts.iter().map(|(domain, label, text)| [*domain, *label, text.as_str()]).collect();
        Dataset { label_sets_differ: true, ..dataset(&records) }
    }

    fn three() -> Dataset {
        own(&[
            ("bank", "card", 5),
            ("bank", "loan", 2),
            ("bank", "rate", 9),
            ("travel", "visa", 6),
            ("travel", "loan", 6),
            ("work", "pay", 7),
        ])
    }

    /// The problems of a domain without the name of the file.
    fn found(dataset: &Dataset, domain: DomainId, config: &EpisodeConfig) -> Vec<String> {
        match check_sizes(dataset, &[domain], config) {
            Ok(()) => Vec::new(),
            Err(error) => error.problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn domains_too_small_for_an_episode_are_named_with_their_count() {
        let sizes = [("books", 9), ("cars", 2), ("dvd", 8), ("music", 7), ("office", 3)];
        let dataset = dataset_of_sizes(&sizes);
        assert_eq!(check_sizes(&dataset, &[0, 2], &config(6, 2)), Ok(()));
        let text = check_sizes(&dataset, &[0, 1, 4], &config(2, 2)).unwrap_err().to_string();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "d.jsonl: 2 problems",
                "  d.jsonl: domain \"cars\": expected at least 2 + 2 examples (support + query), \
                 found 2; lower --support or --query, or add examples",
                "  d.jsonl: domain \"office\": expected at least 2 + 2 examples (support + query), \
                 found 3; lower --query to 1 or add examples",
            ]
        );
        let unlabelled = EpisodeConfig { unlabelled: 4, ..config(3, 1) };
        assert_eq!(check_sizes(&dataset, &[0, 2], &unlabelled), Ok(()));
        assert_eq!(
            found(&dataset, 3, &unlabelled),
            [
                "domain \"music\": expected at least 3 + 1 + 4 examples (support + query + evaluate.unlabelled), found 7; \
              lower evaluate.unlabelled, or add examples"
            ]
        );
        let list =
            EpisodeConfig { support: serde_json::from_str("[2, 8]").unwrap(), ..config(2, 1) };
        assert_eq!(check_sizes(&dataset, &[0], &list), Ok(()));
        assert_eq!(check_sizes(&dataset, &[1, 2, 3], &list).unwrap_err().count, 3);
    }

    #[test]
    fn labels_with_too_few_texts_are_named_with_their_count() {
        assert_eq!(found(&three(), 0, &by_label(1, 3)), [""; 0]);
        assert_eq!(
            found(&three(), 0, &by_label(5, 3)),
            [
                "domain \"bank\", label \"card\": expected at least 5 + 1 texts (support + query), found 5; \
                 lower --support-per-label to 4, or label more texts with it, or leave it out with \
                 data.min_texts_per_label = 6",
                "domain \"bank\", label \"loan\": expected at least 5 + 1 texts (support + query), found 2; \
                 lower --support-per-label to 1, or label more texts with it, or leave it out with \
                 data.min_texts_per_label = 6",
            ]
        );
        let rare = own(&[("a", "x", 5), ("a", "y", 1)]);
        assert_eq!(
            found(&rare, 0, &config(2, 2)),
            [
                "domain \"a\", label \"y\": expected at least 1 + 1 texts (support + query), found 1; \
              label more texts with it, or leave it out with data.min_texts_per_label = 2"
            ]
        );
        assert_eq!(found(&rare, 0, &config(2, 0)), [""; 0], "nothing is scored on");
        assert_eq!(
            found(&rare, 0, &by_label(2, 0)),
            ["domain \"a\", label \"y\": expected at least 2 texts (support), found 1; \
              lower --support-per-label to 1, or label more texts with it, or leave it out with \
              data.min_texts_per_label = 2"]
        );
        // A domain that shares labels which it never uses.
        let shared = Dataset { label_sets_differ: false, ..three() };
        let absent = &found(&shared, 2, &by_label(1, 1))[0];
        let expected = "domain \"work\", label \"card\": expected at least 1 + 1 texts (support + query), \
                        found 0; label texts with it, or set data.label_sets = \"domain\"";
        assert_eq!(absent, expected);
    }

    #[test]
    fn a_support_set_has_room_for_every_label() {
        assert_eq!(found(&three(), 0, &config(3, 2)), [""; 0]);
        assert_eq!(
            found(&three(), 0, &config(2, 2)),
            [
                "domain \"bank\": expected a support set of at least 3 texts, one for each label, found 2; \
              raise --support to 3, or count by label with --support-per-label; episode.ways draws fewer \
              labels to train on"
            ]
        );
        assert_eq!(found(&three(), 0, &EpisodeConfig { ways: 2, ..config(2, 2) }), [""; 0]);
    }

    #[test]
    fn a_query_text_of_every_label_is_left() {
        // 16 texts: 13 to adapt to leave one of each label.
        assert_eq!(found(&three(), 0, &config(13, 1)), [""; 0]);
        assert_eq!(
            found(&three(), 0, &config(14, 1)),
            ["domain \"bank\": expected at least 14 + 3 examples (support + query), found 16; \
              lower --support or --query, or add examples"]
        );
        assert_eq!(
            found(&three(), 0, &config(10, 8)),
            ["domain \"bank\": expected at least 10 + 8 examples (support + query), found 16; \
              lower --query to 6 or add examples"]
        );
        assert_eq!(
            found(&three(), 0, &by_label(1, 14)),
            ["domain \"bank\": expected at least 3 + 14 examples (support + query), found 16; \
              lower --query to 13 or add examples"]
        );
        let ways = EpisodeConfig { ways: 2, ..config(4, 4) };
        assert_eq!(
            found(&three(), 0, &ways),
            [
                "domain \"bank\": expected at least 4 + 4 examples in any 2 of its labels (support + query), \
              found 7; lower --query to 3 or add examples"
            ]
        );
    }

    #[test]
    fn a_domain_has_two_labels_and_as_many_as_are_drawn() {
        let ways = EpisodeConfig { ways: 3, ..config(3, 1) };
        assert_eq!(found(&three(), 0, &ways), [""; 0]);
        assert_eq!(
            found(&three(), 1, &ways),
            ["domain \"travel\": expected at least 3 labels (episode.ways), found 2; \
              lower episode.ways to 2, or set it to 0 for all labels"]
        );
        assert_eq!(
            found(&three(), 2, &config(2, 1)),
            ["domain \"work\": expected texts of at least two labels, found only \"pay\"; \
              label more of it, or set data.single_label_domains = \"drop\""]
        );
        let error = check_sizes(&three(), &[0, 1, 2], &ways).unwrap_err();
        assert_eq!(error.count, 2, "all domains in one error: {error}");
    }
}
