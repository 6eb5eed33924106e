#!/usr/bin/env python3
"""Prints what `make demo` found: python3 .ci/demo_summary.py RUN ADAPTED."""

import json
import sys
from pathlib import Path


def main():
    run, adapted = (Path(argument) for argument in sys.argv[1:3])
    meta = accuracies(run / "eval.json")
    none = accuracies(run / "eval-none.json")
    width = max(len(domain) for domain in [*meta, "mean"])
    print(f"\nAccuracy after adapting to a low-resource domain\n\n{'domain':<{width}}  encoder alone  meta-trained")
    for domain, accuracy in meta.items():
        print(f"{domain:<{width}}  {none.get(domain, float('nan')):>13.1%}  {accuracy:>12.1%}")
    if len(meta) > 1:
        print(f"{'mean':<{width}}  {mean(none):>13.1%}  {mean(meta):>12.1%}")

    print(f"\nThree texts that {adapted} has never seen\n")
    for line in (adapted / "predictions.jsonl").read_text(encoding="utf-8").splitlines():
        prediction = json.loads(line)
        print(f"{prediction['label']:>8} {prediction['score']:.2f}  {prediction['text']}")

    print(f"""
{run}/               the run: configuration, events, checkpoints
{run}/eval.json      every number of the evaluation; eval-none.json: of the encoder alone
{adapted}/         the adapted model, as Hugging Face lays one out""")


def accuracies(path):
    """{domain: mean accuracy} from the output of `metabert eval --json`, in its order."""
    found = {}

    # Looks for the two keys wherever they stand, so that a new level around them breaks nothing.
    def walk(value):
        if isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, dict):
            accuracy = value.get("accuracy")
            if isinstance(accuracy, dict):
                accuracy = accuracy.get("mean")
            if isinstance(value.get("domain"), str) and isinstance(accuracy, (int, float)):
                found.setdefault(value["domain"], accuracy)
            else:
                for item in value.values():
                    walk(item)

    walk(json.loads(path.read_text(encoding="utf-8")))
    if not found:
        sys.exit(f'{path}: expected objects with "domain" and "accuracy", found none')
    return found


def mean(numbers):
    return sum(numbers.values()) / len(numbers) if numbers else float("nan")


if __name__ == "__main__":
    main()
