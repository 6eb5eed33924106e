//! Successive halving (Jamieson and Talwalkar 2016): all candidates are scored on few draws, the better half on twice as many,
//! and so on.

/// How many candidates are scored on how many draws, round by round, until few are left.
#[derive(Clone, Copy, Debug)]
pub struct Halving {
    /// Draws of the first round.
    pub first_draws: u64,
    /// Rounds at most.
    pub max_rounds: usize,
}

impl Halving {
    /// The draws on which all rounds together score, if none is known before and the search is not cut short.
    pub fn num_draws(&self, num_candidates: usize) -> u64 {
        let (mut left, mut draws) = (num_candidates as u64, 0);
        for round in 0..self.max_rounds {
            draws += left * (self.first_draws << round);
            if left == 1 {
                break;
            }
            left = left.div_ceil(2);
        }
        draws
    }

    /// The candidate with the lowest score of the last round, with that score. `score` gives that of a candidate on so many
    /// draws; `None` ends the search, and the best of the last round that ended is found.
    ///
    /// # Errors
    /// The first error of `score`.
    pub fn best<E>(
        &self,
        num_candidates: usize,
        mut score: impl FnMut(usize, u64) -> Result<Option<f64>, E>,
    ) -> Result<Option<Winner>, E> {
        let mut left: Vec<usize> = (0..num_candidates).collect();
        let mut winner = None;
        for round in 0..self.max_rounds {
            let draws = self.first_draws << round;
            let mut scored = Vec::with_capacity(left.len());
            for &candidate in &left {
                match score(candidate, draws)? {
                    Some(found) => scored.push((found, candidate)),
                    None => return Ok(winner),
                }
            }
            // Stable: of equals the earlier one stays.
            scored.sort_by(|a, b| a.0.total_cmp(&b.0));
            winner = scored.first().map(|&(score, candidate)| Winner { candidate, score, draws });
            if left.len() == 1 {
                break;
            }
            left =
                scored[..left.len().div_ceil(2)].iter().map(|&(_, candidate)| candidate).collect();
        }
        Ok(winner)
    }
}

/// The best candidate of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Winner {
    /// Its number.
    pub candidate: usize,
    /// Its score.
    pub score: f64,
    /// The draws that it was scored on.
    pub draws: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALVING: Halving = Halving { first_draws: 2, max_rounds: 3 };

    /// The calls of a search in which candidate `n` scores `n` on up to 4 draws, and 0 on more if it is candidate 1.
    fn search(num_candidates: usize, max_calls: usize) -> (Option<Winner>, Vec<(usize, u64)>) {
        let mut calls = Vec::new();
        let score = |candidate: usize, draws: u64| {
            if calls.len() == max_calls {
                return Ok::<_, ()>(None);
            }
            calls.push((candidate, draws));
            Ok(Some(if draws > 4 && candidate == 1 { -1.0 } else { candidate as f64 }))
        };
        (HALVING.best(num_candidates, score).unwrap(), calls)
    }

    #[test]
    fn each_round_scores_the_better_half_on_twice_the_draws() {
        let (winner, calls) = search(5, usize::MAX);
        let first = (0..5).map(|candidate| (candidate, 2));
        let others = [(0, 4), (1, 4), (2, 4), (0, 8), (1, 8)];
        assert_eq!(calls, first.chain(others).collect::<Vec<_>>());
        assert_eq!(winner, Some(Winner { candidate: 1, score: -1.0, draws: 8 }));
        let total = |candidates| HALVING.num_draws(candidates);
        assert_eq!(total(5), calls.iter().map(|(_, draws)| draws).sum::<u64>());
        assert_eq!(total(1), 2);
    }

    #[test]
    fn an_end_on_the_way_takes_the_best_of_the_last_whole_round() {
        let (winner, _) = search(5, 9);
        assert_eq!(winner, Some(Winner { candidate: 0, score: 0.0, draws: 4 }));
        assert_eq!(search(5, 3).0, None);
    }

    #[test]
    fn one_candidate_needs_one_round() {
        assert_eq!(search(1, usize::MAX).1, [(0, 2)]);
    }
}
