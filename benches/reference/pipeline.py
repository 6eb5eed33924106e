"""Labels texts as most Python programs do, with transformers.pipeline: what `metabert predict` is held against.
compare.py calls this; by itself:

    pipeline.py --model DIR --input TEXTS [--output PREDICTIONS.jsonl]

TEXTS holds one text a line; PREDICTIONS gets {"label", "score"} for each. Prints one JSON object: how many texts, and
how long they took. Importing, loading and reading are not timed.
"""

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers

TEXTS_A_BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--model", type=Path, required=True, help="model directory with a classification head")
    parser.add_argument("--input", type=Path, required=True, help="one text a line")
    parser.add_argument("--output", type=Path, help="write labels and scores to this file")
    parser.add_argument("--max-length", type=int, default=256, help="wordpieces of a text (default: 256)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 for what PyTorch chooses")
    args = parser.parse_args()
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    # Only "\n" ends a line; splitlines would also cut at U+2028 inside a text.
    texts = args.input.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    device = 0 if args.device == "cuda" else -1
    classify = transformers.pipeline(
        "text-classification", model=str(args.model), batch_size=TEXTS_A_BATCH, device=device
    )

    started = time.perf_counter()
    predictions = classify(texts, truncation=True, max_length=args.max_length)
    seconds = time.perf_counter() - started

    if args.output:
        lines = [json.dumps({"label": found["label"], "score": found["score"]}) + "\n" for found in predictions]
        args.output.write_text("".join(lines), encoding="utf-8")
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    result = {
        "texts": len(texts),
        "seconds": seconds,
        "texts_per_s": len(texts) / seconds,
        "peak_rss_mib": peak,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
