//! A digest of the draws of an evaluation: two with the same one adapt to the same texts and score the same.

use sha2::{Digest, Sha256};

use crate::data::{Dataset, DomainId, EpisodeSampler, ExampleId};

/// The SHA-256, in hexadecimal digits, of the positions in the dataset of every text of every draw: size by size, domain by
/// domain, draw by draw. Nothing adapts, and no process needs another one for it.
pub fn draws_sha256(
    dataset: &Dataset,
    domains: &[DomainId],
    samplers: &[EpisodeSampler],
    num_draws: u64,
) -> String {
    let mut hasher = Sha256::new();
    for sampler in samplers {
        for &domain in domains {
            let name = dataset.domain_name(domain);
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name);
            for draw in 0..num_draws {
                let episode = sampler.draw(domain, draw);
                for set in [&episode.support, &episode.query, &episode.unlabelled] {
                    // Lengths keep apart what ends one set and what starts the next.
                    hasher.update((set.len() as u64).to_le_bytes());
                    let position = |&id: &ExampleId| dataset.reviews[id as usize].position as u64;
                    set.iter().map(position).for_each(|it| hasher.update(it.to_le_bytes()));
                }
            }
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
