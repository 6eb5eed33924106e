//! Stratified folds for cross-validation within one domain.

use super::pool::DomainPool;
use crate::data::ids::ExampleId;
use crate::seed;

/// Divides a domain into `k` folds, and returns for each one the examples outside it (to train on) and in it (to
/// test on), both in random order.
///
/// Every example is in exactly one fold, but for the only one of its label, which is trained on in all folds and tested on in
/// none: an adaptation that has not seen a label says nothing of it. The counts of each label, and the sizes, differ by at most
/// one between folds. With fewer than `k` examples some folds are empty.
///
/// # Panics
/// If `k` is less than 2.
pub fn folds(pool: &DomainPool, k: usize, seed: u64) -> Vec<(Vec<ExampleId>, Vec<ExampleId>)> {
    assert!(k >= 2, "cross-validation needs at least 2 folds, not {k}");
    let mut rng = seed::rng(seed, &format!("folds/{}", pool.name), 0);
    let mut tests = vec![Vec::new(); k];
    // One deal through all labels: each label starts where the last one stopped, which keeps the sizes level.
    let mut next = 0;
    let mut always_trained_on = Vec::new();
    for examples in &pool.examples_by_label {
        if !is_tested(examples) {
            always_trained_on.extend(examples);
            continue;
        }
        let mut examples = examples.clone();
        seed::shuffle(&mut rng, &mut examples);
        for example in examples {
            tests[next].push(example);
            next = (next + 1) % k;
        }
    }
    (0..k)
        .map(|fold| {
            let mut train: Vec<ExampleId> = tests
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != fold)
                .flat_map(|(_, test)| test)
                .chain(&always_trained_on)
                .copied()
                .collect();
            let mut test = tests[fold].clone();
            seed::shuffle(&mut rng, &mut train);
            seed::shuffle(&mut rng, &mut test);
            (train, test)
        })
        .collect()
}

impl DomainPool {
    /// How many of its examples [`folds`] tests on.
    pub fn num_tested_by_folds(&self) -> usize {
        let labels = self.examples_by_label.iter();
        labels.filter(|examples| is_tested(examples)).map(Vec::len).sum()
    }
}

/// Whether the examples of a label are tested on.
fn is_tested(examples: &[ExampleId]) -> bool {
    examples.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::labels::LabelSet;

    #[test]
    fn every_example_is_tested_on_once_and_folds_are_level() {
        for (sizes, k) in [
            (vec![7, 5], 5),
            (vec![80, 20], 4),
            (vec![2, 2, 9], 3),
            (vec![3], 2),
            (vec![100, 0, 33], 10),
        ] {
            let labels: Vec<u32> =
                (0..).zip(&sizes).flat_map(|(label, &size)| vec![label; size]).collect();
            let labelled = (0..).zip(labels.iter().copied());
            let pool = DomainPool::new(0, "d", sizes.len(), labelled);
            let folds = folds(&pool, k, 1);
            let mut tested: Vec<u32> = folds.iter().flat_map(|(_, test)| test.clone()).collect();
            tested.sort_unstable();
            assert_eq!(tested, (0..labels.len() as u32).collect::<Vec<_>>());
            for (train, test) in &folds {
                assert_eq!(train.len() + test.len(), labels.len());
                assert!(train.iter().all(|example| !test.contains(example)));
            }
            let spread =
                |counts: Vec<usize>| counts.iter().max().unwrap() - counts.iter().min().unwrap();
            assert!(spread(folds.iter().map(|(_, test)| test.len()).collect()) <= 1);
            for label in 0..sizes.len() as u32 {
                let count =
                    |test: &[u32]| test.iter().filter(|&&id| labels[id as usize] == label).count();
                assert!(
                    spread(folds.iter().map(|(_, test)| count(test)).collect()) <= 1,
                    "{sizes:?} {k} {label}"
                );
            }
        }
    }

    #[test]
    fn folds_depend_on_the_seed_and_the_name_only() {
        let pool = |name| DomainPool::new(0, name, 2, (0..40).map(|id| (id, id % 2)));
        assert_eq!(folds(&pool("a"), 4, 1), folds(&DomainPool { domain: 9, ..pool("a") }, 4, 1));
        assert_ne!(folds(&pool("a"), 4, 1), folds(&pool("a"), 4, 2));
        assert_ne!(folds(&pool("a"), 4, 1), folds(&pool("b"), 4, 1));
    }

    #[test]
    fn every_label_is_trained_on_in_each_fold() {
        for (sizes, k) in [(vec![1, 1, 9], 3), (vec![2, 3, 0, 4], 2), (vec![1, 2, 2, 2], 5)] {
            let labels: Vec<u32> =
                (0..).zip(&sizes).flat_map(|(label, &size)| vec![label; size]).collect();
            let labelled = (0..).zip(labels.iter().copied());
            let pool = DomainPool::new(0, "d", sizes.len(), labelled);
            let present = pool.clone().with_own_labels().labels;
            let mut tested = Vec::new();
            for (train, test) in folds(&pool, k, 1) {
                assert_eq!(train.len() + test.len(), labels.len());
                let trained: LabelSet = train.iter().map(|&id| labels[id as usize]).collect();
                assert_eq!(trained, present, "{sizes:?} {k}");
                tested.extend(test);
            }
            assert_eq!(tested.len(), pool.num_tested_by_folds());
            tested.sort_unstable();
            let has_others = |&id: &u32| sizes[labels[id as usize] as usize] > 1;
            let expected: Vec<u32> = (0..labels.len() as u32).filter(has_others).collect();
            assert_eq!(tested, expected, "{sizes:?} {k}");
        }
    }
}
