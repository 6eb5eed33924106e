"""Meta-training of BERT as the well-known Python script does it, in PyTorch and transformers: what metabert is held
against. compare.py calls this; by itself:

    reference.py --data DATA.json --model DIR --episodes EPISODES.jsonl [--algo reptile] [--inner-epochs 1]

DATA is an array of {"text", "label", "domain"}. A line of EPISODES is one episode, its texts named by their positions
in DATA: {"index": 0, "domain": "books", "support": [17, 4], "query": [8]}. Prints one JSON object: how many episodes
and inner steps, and how long they took. Importing, loading and reading are not timed.

Written from a description of that script's behaviour; it shares no code with it nor with metabert.
"""

import argparse
import copy
import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# That the head is a fresh one goes without saying here.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers
from torch.utils.data import DataLoader, Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

LEARNING_RATE = 5e-5  # inside and outside
INNER_BATCH = 12


class Texts(Dataset):
    """Labelled texts, each tokenised whenever it is read, and padded to `max_length` however short it is."""

    def __init__(self, records: list[dict], label_ids: dict[str, int], tokenizer, max_length: int):
        self.records, self.label_ids, self.tokenizer, self.max_length = records, label_ids, tokenizer, max_length

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, position: int) -> dict[str, torch.Tensor]:
        record = self.records[position]
        encoded = self.tokenizer(record["text"], max_length=self.max_length, padding="max_length", truncation=True)
        item = encoded | {"labels": self.label_ids[record["label"]]}
        return {name: torch.tensor(value) for name, value in item.items()}


def adapt(model, support: Texts, epochs: int, device: str):
    """A copy of the model, trained on the support texts in shuffled minibatches; and how many steps that took."""
    fast = copy.deepcopy(model)
    optimizer = torch.optim.Adam(fast.parameters(), lr=LEARNING_RATE)  # fresh moments for every episode
    fast.train()
    steps = 0
    for _ in range(epochs):
        for batch in DataLoader(support, batch_size=INNER_BATCH, shuffle=True):
            loss = fast(**on(device, batch)).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            steps += 1
    return fast, steps


def fomaml(model, fast, query: dict[str, torch.Tensor]):
    """The gradient of the query loss at the adapted weights, dropout still on; and the query's logits."""
    output = fast(**query)
    output.loss.backward()
    return [parameter.grad for parameter in fast.parameters()], output.logits


@torch.no_grad()
def reptile(model, fast, query: dict[str, torch.Tensor]):
    """The way from the adapted weights back to the initial ones; the query's logits are for the log only."""
    fast.eval()
    logits = fast(**query).logits
    return [theta - phi for theta, phi in zip(model.parameters(), fast.parameters())], logits


ALGORITHMS = {"fomaml": fomaml, "reptile": reptile}


def outer_step(model, optimizer, episodes: list[tuple[Texts, Texts]], args) -> tuple[int, list[float]]:
    """One step of the model against the mean meta-gradient of the episodes; the inner steps and the accuracies."""
    total = [torch.zeros_like(parameter) for parameter in model.parameters()]
    steps, accuracies = 0, []
    for support, query_texts in episodes:
        fast, inner_steps = adapt(model, support, args.inner_epochs, args.device)
        query = on(args.device, next(iter(DataLoader(query_texts, batch_size=len(query_texts)))))
        gradient, logits = ALGORITHMS[args.algo](model, fast, query)
        for sum_, part in zip(total, gradient):
            sum_ += part
        steps += inner_steps
        accuracies.append((logits.argmax(dim=1) == query["labels"]).float().mean().item())
    for parameter, sum_ in zip(model.parameters(), total):
        parameter.grad = sum_ / len(episodes)
    optimizer.step()
    optimizer.zero_grad()
    return steps, accuracies


def on(device: str, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in batch.items()}


def clock(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def peak_rss_mib() -> float:
    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="array of {text, label, domain}")
    parser.add_argument("--model", type=Path, required=True, help="model directory to start from")
    parser.add_argument("--episodes", type=Path, required=True, help="JSONL, one episode a line")
    parser.add_argument("--algo", choices=ALGORITHMS, default="fomaml")
    parser.add_argument("--inner-epochs", type=int, default=10)
    parser.add_argument("--meta-batch", type=int, default=2, help="episodes of an outer step (default: 2)")
    parser.add_argument("--max-length", type=int, default=256, help="wordpieces of a text (default: 256)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 for what PyTorch chooses")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    records = json.loads(args.data.read_text(encoding="utf-8"))
    labels = sorted({record["label"] for record in records})
    label_ids = {label: id_ for id_, label in enumerate(labels)}
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(
        args.model, num_labels=len(labels), dtype=torch.float32
    ).to(args.device)

    def texts(positions: list[int]) -> Texts:
        return Texts([records[position] for position in positions], label_ids, tokenizer, args.max_length)

    lines = [json.loads(line) for line in args.episodes.read_text(encoding="utf-8").split("\n") if line.strip()]
    episodes = [(texts(line["support"]), texts(line["query"])) for line in lines]

    started = clock(args.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)  # keeps its moments
    steps, accuracies = 0, []
    for first in range(0, len(episodes), args.meta_batch):
        taken, of_step = outer_step(model, optimizer, episodes[first : first + args.meta_batch], args)
        steps += taken
        accuracies += of_step
    seconds = clock(args.device) - started

    result = {
        "episodes": len(episodes),
        "gradient_steps": steps,
        "seconds": seconds,
        "episodes_per_min": len(episodes) / seconds * 60,
        "query_accuracy": sum(accuracies) / len(accuracies),
        "peak_rss_mib": peak_rss_mib(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
