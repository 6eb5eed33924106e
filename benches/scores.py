"""Macro F1 of pooled counts, and the interval of paired differences."""

import random
from statistics import mean

RESAMPLES = 2000


def macro_f1(confusions: list[list[list[int]]]) -> float:
    """Of the summed counts, a row for each true label: the mean F1 of the labels that occur among truths or answers."""
    labels = range(len(confusions[0]))
    counts = [[sum(confusion[truth][answer] for confusion in confusions) for answer in labels] for truth in labels]
    occurrences = [sum(counts[label]) + sum(row[label] for row in counts) for label in labels]
    return mean(2 * counts[label][label] / occurrences[label] for label in labels if occurrences[label] > 0)


def paired_difference(domains: list[list[float]]) -> dict:
    """The mean over domains of the mean over their draws' differences, and its 95 % interval.

    The bootstrap draws domains with replacement, then draws within each. A single difference has no interval.
    """
    found = {"mean": mean(mean(draws) for draws in domains), "low": None, "high": None}
    if sum(len(draws) for draws in domains) > 1:
        chance = random.Random(0)
        resample = lambda items: chance.choices(items, k=len(items))
        means = sorted(mean(mean(resample(draws)) for draws in resample(domains)) for _ in range(RESAMPLES))
        found |= {"low": means[int(0.025 * RESAMPLES)], "high": means[int(0.975 * RESAMPLES) - 1]}
    return found
