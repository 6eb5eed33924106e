"""What users would pick instead of metabert for few labelled texts, on given draws. compare.py calls this; by itself:

    PYTHONPATH="$(.ci/setup setfit --path)" python3 benches/setfit/peers.py \\
        --data DATA.json --model DIR --draws DRAWS.jsonl --results RESULTS.jsonl

setfit: SetFit with its defaults. One epoch of contrastive training at 2e-5 in batches of 16, over all pairs of support texts
with different labels and as many with the same label (sampling strategy "oversampling"); then scikit-learn's logistic
regression on the embeddings.
prototypes: the encoder as it is. A text gets the label whose support texts have the nearest mean embedding, by cosine.
Both embed a text as the mean over its wordpieces, scaled to length 1.

DATA is an array of {"text", "label", "domain"}. A line of DRAWS is one draw, its texts named by their positions in DATA:
{"index": 0, "domain": "banking", "labels": ["balance", "rate"], "support": [17, 4], "query": [8, 9]}. Prints a JSON object for
each draw and peer, and adds it to RESULTS as soon as it is known; what RESULTS holds already is not computed again. `seconds`
are those of training and predicting, `fit_seconds` those of training: importing, loading and reading are not timed.
"""

import argparse
import copy
import hashlib
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import datasets
import numpy
import setfit
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from sklearn.linear_model import LogisticRegression
from transformers import ProgressCallback

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from programs import Failure, parse_lines, say
from scores import macro_f1


Answer = tuple[list[int], float, float]  # labels, the seconds until texts can be predicted, the seconds of both


def run_setfit(encoder: SentenceTransformer, support: tuple, texts: list[str], seed: int) -> Answer:
    """The labels that SetFit gives to the texts after training on the support set."""
    model = setfit.SetFitModel(model_body=copy.deepcopy(encoder), model_head=LogisticRegression())
    with tempfile.TemporaryDirectory() as directory:
        # None of `quiet` changes what is learned. The seed is that of dropout and of the order of the pairs.
        quiet = {"report_to": "none", "save_strategy": "no", "logging_strategy": "no", "show_progress_bar": False}
        trainer = setfit.Trainer(
            model=model,
            args=setfit.TrainingArguments(output_dir=directory, seed=seed, **quiet),
            train_dataset=datasets.Dataset.from_dict({"text": support[0], "label": support[1]}),
        )
        trainer.remove_callback(ProgressCallback)
        started = time.perf_counter()
        trainer.train()
        fitted = time.perf_counter()
        predicted = model.predict(texts, show_progress_bar=False)
        return predicted.tolist(), fitted - started, time.perf_counter() - started


def run_prototypes(encoder: SentenceTransformer, support: tuple, texts: list[str], seed: int) -> Answer:
    """The labels of the nearest prototypes. Nothing is drawn, so the seed has no effect."""
    started = time.perf_counter()
    embedded = encoder.encode(support[0], show_progress_bar=False)
    labels = numpy.array(support[1])
    prototypes = numpy.stack([embedded[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    prototypes /= numpy.linalg.norm(prototypes, axis=1, keepdims=True)
    fitted = time.perf_counter()
    predicted = (encoder.encode(texts, show_progress_bar=False) @ prototypes.T).argmax(axis=1)
    return predicted.tolist(), fitted - started, time.perf_counter() - started


PEERS = {"setfit": run_setfit, "prototypes": run_prototypes}


class Draw:
    """A line of DRAWS, with its texts, and its labels as numbers."""

    def __init__(self, line: dict, records: list[dict]):
        self.index, self.domain, self.labels = line["index"], line["domain"], line["labels"]
        self.support, self.query = (self.read(line, side, records) for side in ("support", "query"))
        counts = [self.support[1].count(label) for label in range(len(self.labels))]
        if min(counts) != max(counts) or min(counts) == 0:
            raise Failure(f"draw {self.index} of {self.domain}: expected as many texts of every label, found {counts}")
        self.per_label = counts[0]

    def read(self, line: dict, side: str, records: list[dict]) -> tuple[list[str], list[int]]:
        chosen = [records[position] for position in line[side]]
        for record in chosen:
            if record["domain"] != self.domain:
                raise Failure(f"draw {self.index}: a {side} text is of {record['domain']}, expected {self.domain}")
        return [record["text"] for record in chosen], [self.labels.index(str(record["label"])) for record in chosen]

    def key(self, *settings) -> str:
        """Equal for equal work."""
        work = [settings, self.index, self.labels, self.support, self.query]
        return hashlib.sha256(json.dumps(work).encode()).hexdigest()

    def score(self, predicted: list[int]) -> dict:
        """The counts, a row for each true label, and what follows from them."""
        confusion = numpy.zeros((len(self.labels), len(self.labels)), dtype=int)
        numpy.add.at(confusion, (self.query[1], predicted), 1)
        named = {"domain": self.domain, "per_label": self.per_label, "index": self.index}
        return named | {
            "accuracy": float(confusion.trace() / confusion.sum()),
            "macro_f1": macro_f1([confusion.tolist()]),
            "confusion": confusion.tolist(),
        }


def load_encoder(model: Path, max_length: int) -> SentenceTransformer:
    transformer = Transformer(str(model), max_seq_length=max_length)
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")
    return SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu")


def read_lines(path: Path) -> list[dict]:
    return parse_lines(path.read_text(encoding="utf-8"))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="the encoder, a Hugging Face directory")
    parser.add_argument("--draws", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True, help="lines are added to this file")
    parser.add_argument("--max-length", type=int, default=256, help="wordpieces of a text (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: %(default)s")
    return parser.parse_args()


def run_all(args) -> None:
    torch.set_num_threads(args.threads)
    datasets.disable_progress_bars()
    setfit.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", message=".*pin_memory")  # SetFit asks for it, without a GPU too
    records = json.loads(args.data.read_text(encoding="utf-8"))
    draws = [Draw(line, records) for line in read_lines(args.draws)]
    known = {line["key"]: line for line in read_lines(args.results)} if args.results.exists() else {}
    encoder_sha256 = hashlib.sha256((args.model / "model.safetensors").read_bytes()).hexdigest()
    encoder = load_encoder(args.model, args.max_length)
    for draw in draws:
        for peer, run in PEERS.items():
            key = draw.key(peer, encoder_sha256, args.max_length, args.threads)
            if key not in known:
                predicted, fit_seconds, seconds = run(encoder, draw.support, draw.query[0], draw.index)
                timed = {"fit_seconds": fit_seconds, "seconds": seconds}
                known[key] = {"key": key, "peer": peer, **timed, **draw.score(predicted)}
                with args.results.open("a", encoding="utf-8") as results:
                    results.write(json.dumps(known[key]) + "\n")
            print(json.dumps(known[key]))
            done = f"draw {draw.index} of {draw.domain}, {draw.per_label} texts a label"
            say(f"{peer}: {done}: F1 {known[key]['macro_f1']:.3f}, {known[key]['seconds']:.1f} s")


def main() -> int:
    try:
        run_all(parse_arguments())
    except Failure as failure:
        say(f"peers: error: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
