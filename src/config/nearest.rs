//! The known key that an unknown one was most likely meant to be.

use crate::names::nearest;

/// Names from other programs, with ours.
const ALIASES: [(&str, &str); 9] = [
    ("algorithm", "algo"),
    ("batch_size", "batch"),
    ("learning_rate", "lr"),
    ("max_grad_norm", "clip_norm"),
    ("max_seq_length", "max_length"),
    ("num_epochs", "epochs"),
    ("num_steps", "steps"),
    ("num_workers", "workers"),
    ("scheduler", "schedule"),
];

/// The key of `keys` nearest to `unknown`: the name after the last dot decides, then the whole key,
/// so that a key in the wrong section leads to its namesake.
pub(super) fn nearest_key<'a>(unknown: &str, keys: &'a [String]) -> &'a str {
    let spellings: Vec<(String, &str)> = keys.iter().flat_map(|key| spellings(key)).collect();
    let names = spellings.iter().map(|(name, _)| name.as_str());
    let name = nearest(last(unknown), names).expect("there are keys");
    let namesakes = spellings.iter().filter(|(other, _)| other == name).map(|(_, key)| *key);
    nearest(unknown, namesakes).expect("a spelling belongs to a key")
}

/// What a key may have been called: its name, the same in other programs, and the whole key in one word.
fn spellings(key: &str) -> impl Iterator<Item = (String, &str)> {
    let name = last(key);
    let aliases = ALIASES.iter().filter(move |(_, ours)| *ours == name).map(|(alias, _)| *alias);
    let spellings = [name.to_owned(), key.replace('.', "_")].into_iter();
    spellings.chain(aliases.map(str::to_owned)).map(move |name| (name, key))
}

fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}
