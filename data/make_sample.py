#!/usr/bin/env python3
"""Makes data/sample.json, eight domains of human-rated English, out of the vaderSentiment 3.3.2 source archive.

    python3 data/make_sample.py vaderSentiment-3.3.2.tar.gz

`.ci/setup sample` fetches the archive and calls this. It writes two files, in the dataset.json form:

    data/sample.json        eight domains; the three low-resource ones are cut to 120 texts each
    data/sample_test.json   what was cut from those three: labelled texts that no training and no
                            adaptation sees, for `metabert eval --test-data data/sample_test.json`

The same archive gives the same bytes on every machine. Needs nothing but Python's standard library (3.8 or later).
"""

import argparse
import hashlib
import html
import io
import json
import os
import sys
import tarfile
from collections import Counter
from pathlib import Path

SNIPPETS = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"

# A file's stem -> its domain; None: the review number decides (PRODUCTS).
SOURCES = {
    "tweets": "tweets",
    "movieReviewSnippets": "movie_reviews",
    "nytEditorialSnippets": "editorials",
    "amazonReviewSnippets": None,
}

# The Amazon snippets are the customer reviews of Hu & Liu 2004, five products one after the other; an id reads
# `review_sentence`, and the file does not name the product. Each boundary was read off the texts on both sides:
#   1-98     Apex AD2600 DVD player     1: "troubleshooting ad-2500 and ad-2600"; 96: "great budget player"
#   99-142   Canon G3                   99: "i recently purchased the canon powershot g3"; 142: "the canon g3 improves"
#   143-175  Nikon Coolpix 4300         143: "the best 4mp compact digital available"; 145: "i bought a nikon coolpix 4300"
#   176-215  Nokia 6610                 176: "excellent phone, excellent service"; 196: "nokia 6610 great for games"
#   216-309  Creative Nomad Jukebox     216: "a quick update to the new zen nx"; 309: "piece of junk"
# 143 and 144 name no brand; a compact with "12 optional scene modes" and a 16 MB card is the Coolpix 4300 (175 counts the
# same twelve), while the G3 comes with 32 MB (132). Nine numbers (120-124, 290, 291, 293, 294) stand for no review.
PRODUCTS = [
    (98, "dvd_player"),
    (142, "canon_camera"),
    (175, "nikon_camera"),
    (215, "phone"),
    (309, "mp3_player"),
]

# A text's rating is the mean of about twenty people's, from -4 to 4. Within half a point of zero it says no clear side.
NEUTRAL_BELOW = 0.5

# The three are products, so that the other domains hold something akin (two cameras) and something foreign (tweets,
# films, politics). 120 texts leave 40 to score on beside the usual 80 to adapt on; sample_test.json holds the rest.
LOW_RESOURCE = ("dvd_player", "mp3_player", "phone")
LOW_RESOURCE_EXAMPLES = 120


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("archive", type=Path, help="vaderSentiment-3.3.2.tar.gz")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into (default: data)")
    args = parser.parse_args()

    examples = without_repeats(read_examples(args.archive))
    sample, test = cut_low_resource(examples)
    write(args.out / "sample.json", sample)
    write(args.out / "sample_test.json", test)
    print_table(sample, test)


def read_examples(archive):
    """Every text with a clear side, in file order: {"text", "label", "domain", "id"}."""
    examples = []
    with tarfile.open(archive) as outer, tarfile.open(fileobj=io.BytesIO(outer.extractfile(SNIPPETS).read())) as inner:
        for stem, domain in SOURCES.items():
            member = inner.extractfile(f"hutto_ICWSM_2014/{stem}_GroundTruth.txt")
            for line in member.read().decode("utf-8").split("\r\n"):
                if not line:
                    continue
                snippet_id, rating, text = line.split("\t", 2)
                rating = float(rating)
                # The tweets and the Amazon snippets hold &amp; and the like.
                text = " ".join(html.unescape(text).split())
                if abs(rating) < NEUTRAL_BELOW or not text:
                    continue
                examples.append({
                    "text": text,
                    "label": "positive" if rating > 0 else "negative",
                    "domain": domain or product(int(snippet_id.split("_")[0])),
                    "id": f"{stem}:{snippet_id}",
                })
    return examples


def product(review):
    return next(domain for last, domain in PRODUCTS if review <= last)


def without_repeats(examples):
    """Keeps the first of a text's copies, and none where its copies differ in domain or label. Case does not count."""
    meanings = {}
    for example in examples:
        meanings.setdefault(example["text"].casefold(), set()).add((example["domain"], example["label"]))
    seen = set()
    kept = []
    for example in examples:
        key = example["text"].casefold()
        if len(meanings[key]) == 1 and key not in seen:
            seen.add(key)
            kept.append(example)
    return kept


def cut_low_resource(examples):
    """(sample, test): in the low-resource domains the texts with the smallest SHA-256 stay, the others become the test."""
    # A hash, not `random`: the choice depends on the texts alone, never on a Python version.
    sample, test = [], []
    kept_by_domain = {}
    for domain in LOW_RESOURCE:
        ids = [e["id"] for e in sorted((e for e in examples if e["domain"] == domain), key=text_hash)]
        kept_by_domain[domain] = set(ids[:LOW_RESOURCE_EXAMPLES])
    for example in examples:
        kept = kept_by_domain.get(example["domain"])
        (sample if kept is None or example["id"] in kept else test).append(example)
    return sample, test


def text_hash(example):
    return hashlib.sha256(example["text"].encode("utf-8")).hexdigest()


def write(path, examples):
    """Writes a JSON array, one record a line; under a temporary name first, so that half a file is never left."""
    temporary = path.with_name(path.name + ".tmp")
    lines = ",\n".join(json.dumps(example, ensure_ascii=False) for example in examples)
    temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    os.replace(temporary, path)


def print_table(sample, test):
    domains = sorted({e["domain"] for e in sample}, key=lambda d: (d in LOW_RESOURCE, d))
    print(f"{'domain':<14} {'examples':>8} {'positive':>8} {'words':>6}  {'test':>5}")
    for domain in domains:
        texts = [e for e in sample if e["domain"] == domain]
        positive = Counter(e["label"] for e in texts)["positive"] / len(texts)
        words = sum(len(e["text"].split()) for e in texts) / len(texts)
        test_count = sum(e["domain"] == domain for e in test)
        note = "  low-resource" if domain in LOW_RESOURCE else ""
        print(f"{domain:<14} {len(texts):>8,} {positive:>8.1%} {words:>6.1f}  {test_count or '-':>5}{note}")
    print(f"{'all':<14} {len(sample):>8,} {'':>8} {'':>6}  {len(test):>5,}")


if __name__ == "__main__":
    sys.exit(main())
