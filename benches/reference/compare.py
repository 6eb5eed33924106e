"""Runs metabert and the Python programs beside this file in turn, on the same texts, and prints who did how much.

    PYTHONPATH="$(.ci/setup python --path)" python3 benches/reference/compare.py --data DATA.json

Training: reference.py and `metabert train` take one outer step over the same episodes, which `metabert data episodes`
names. Labelling: pipeline.py and `metabert predict` label the same texts with the same model. `make bench-reference`
calls this; benches/README.md says how to read the table.

DATA is an array of {"text", "label", "domain"}. Needs PyTorch and transformers for its children, itself nothing but
Python's standard library (3.9 or later). Writes nothing but temporary files and what --json names.

Exit codes: 0 done; 1 a program failed, or the two do not do the same; 2 usage.
"""

import argparse
import importlib.metadata
import json
import shlex
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from programs import Child, Failure, cores, describe_machine, parse_lines, read_records, say

REFERENCE = "reference"
# Scores computed in another order differ in their last digits: a text that stands on the edge may fall either way.
LEAST_AGREEMENT = 0.999


# --- training -------------------------------------------------------------------------------------------------------


def compare_training(args, records: list[dict], temporary: Path) -> dict:
    # The same settings choose the same domains to learn from, and so the same episodes. Without meta-dev domains there
    # is nothing to evaluate at the end.
    common = ["--data", args.data, "--set", f"preset=reference-{args.algo}", "--set", "data.meta_dev_count=0"]

    def episodes_of(alternation: int) -> tuple[list, Path, list[dict]]:
        """Other episodes in every alternation: how long texts are differs from domain to domain."""
        settings = [*common, "--seed", alternation]
        listed = Child(args.metabert, "data", "episodes", *settings, "--count", args.episodes).stdout
        episodes = parse_lines(listed)
        check_episodes(episodes, records, args.episodes)
        path = temporary / f"episodes-{alternation}.jsonl"
        path.write_text(listed, encoding="utf-8")
        return settings, path, episodes

    def metabert(precision: str, alternation: int) -> dict:
        settings, _, episodes = episodes_of(alternation)
        run_dir = temporary / f"run-{alternation}-{precision}"
        outer = ["--steps", 1, "--meta-batch", args.episodes, "--eval-every", 0, "--checkpoint-every", 0]
        child = Child(
            args.metabert, "train", *settings, *outer, "--model", args.model, "--run-dir", run_dir,
            "--inner-epochs", args.inner_epochs, *shared(args), "--precision", precision,
        )  # fmt: skip
        events = parse_lines((run_dir / "events.jsonl").read_text(encoding="utf-8"))
        step = next(event for event in events if event["event"] == "outer_step")
        if step["domains"] != [episode["domain"] for episode in episodes]:
            raise Failure(f"`train` took episodes of {step['domains']}, not those that `data episodes` lists")
        return measured(child, step["episodes_per_min"], step["elapsed_s"], query_accuracy=step["query_accuracy"])

    def reference(alternation: int) -> dict:
        _, episodes_file, _ = episodes_of(alternation)
        child = Child(
            sys.executable, HERE / "reference.py", "--data", args.data, "--model", args.model,
            "--episodes", episodes_file, "--meta-batch", args.episodes, "--algo", args.algo,
            "--inner-epochs", args.inner_epochs, *shared(args),
        )  # fmt: skip
        found = json.loads(child.stdout)
        return measured(child, found["episodes_per_min"], found["seconds"], query_accuracy=found["query_accuracy"])

    _, _, episodes = episodes_of(0)
    texts = f"{len(episodes[0]['support'])} + {len(episodes[0]['query'])} texts an episode"
    print(f"\n## Training: {args.algo}, {texts}, episodes: {args.episodes}, inner epochs: {args.inner_epochs}\n")
    return alternate(args, metabert, reference, "episodes/min", {"query_accuracy": ("query accuracy", "{:.3f}")})


def check_episodes(episodes: list[dict], records: list[dict], count: int) -> None:
    """That the positions mean to this program what they mean to metabert."""
    if len(episodes) != count:
        raise Failure(f"`data episodes` printed {len(episodes)} episodes of {count}")
    for episode in episodes:
        for position in episode["support"] + episode["query"]:
            if position >= len(records) or records[position]["domain"] != episode["domain"]:
                raise Failure(f"episode {episode['index']}: text {position} is not of domain {episode['domain']}")


# --- labelling ------------------------------------------------------------------------------------------------------


def compare_labelling(args, records: list[dict], temporary: Path) -> dict:
    run_dir = temporary / "none"
    Child(
        args.metabert, "train", "--algo", "none", "--data", args.data, "--model", args.model, "--run-dir", run_dir,
        "--set", "data.meta_dev_count=0", *shared(args),
    )  # fmt: skip
    model = run_dir / "checkpoints" / json.loads((run_dir / "latest.json").read_text())["checkpoint"]
    texts = [record["text"].replace("\n", " ").replace("\r", " ") for record in records]
    texts = [text for text in texts if text.strip()][: args.texts]
    texts_file = temporary / "texts.txt"
    texts_file.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    latest = {}

    def metabert(precision: str, alternation: int) -> dict:
        output = temporary / f"labels-{alternation}-{precision}.jsonl"
        child = Child(
            args.metabert, "predict", "--checkpoint", model, "--input", texts_file, "--output", output,
            "--quiet", *shared(args), "--precision", precision,
        )  # fmt: skip
        latest[precision] = parse_lines(output.read_text(encoding="utf-8"))
        return measured(child, len(texts) / child.seconds, child.seconds)

    def reference(alternation: int) -> dict:
        output = temporary / f"labels-{alternation}-{REFERENCE}.jsonl"
        child = Child(
            sys.executable, HERE / "pipeline.py", "--model", model, "--input", texts_file, "--output", output,
            *shared(args),
        )  # fmt: skip
        latest[REFERENCE] = parse_lines(output.read_text(encoding="utf-8"))
        found = json.loads(child.stdout)
        return measured(child, found["texts_per_s"], found["seconds"])

    print(f"\n## Labelling: {len(texts):,} texts\n")
    print("metabert's texts/s include starting and loading the model, the reference's do not.\n")
    result = alternate(args, metabert, reference, "texts/s", {})
    for precision in args.precision:
        agreement, difference = agree(latest[precision], latest[REFERENCE])
        result["summary"][precision] |= {"label_agreement": agreement, "largest_score_difference": difference}
        apart = f"scores at most {difference:.1e} apart"
        print(f"- metabert {precision}: the same label for {agreement:.2%} of the texts, {apart}")
    return result


def agree(ours: list[dict], theirs: list[dict]) -> tuple[float, float]:
    """The share of texts with the same label, and the largest distance between scores of one label."""
    if len(ours) != len(theirs):
        raise Failure(f"metabert labelled {len(ours)} texts, the reference {len(theirs)}")
    same = sum(our["label"] == their["label"] for our, their in zip(ours, theirs))
    distances = (abs(our["scores"][their["label"]] - their["score"]) for our, their in zip(ours, theirs))
    return same / len(theirs), max(distances)


# --- both -----------------------------------------------------------------------------------------------------------


def shared(args) -> list:
    """What every program is told alike."""
    return ["--max-length", args.max_length, "--threads", args.threads, "--device", args.device]


def measured(child: Child, rate: float, seconds: float, **more) -> dict:
    return {"rate": rate, "seconds": seconds, "process_s": child.seconds, "peak_rss_mib": child.peak_mib, **more}


def alternate(args, metabert, reference, unit: str, extra: dict) -> dict:
    """Measures every program `args.alternations` times, in turn; prints each, then the medians and their ratios."""
    columns = {"rate": (unit, "{:.2f}"), "ratio": ("ratio", "{:.2f}"), "peak_rss_mib": ("peak MiB", "{:.0f}")}
    columns |= {"process_s": ("process s", "{:.1f}")} | extra
    row("", "program", [title for title, _ in columns.values()])
    row("---", "---", ["---:"] * len(columns))
    programs = [*args.precision, REFERENCE]
    runs = {program: [] for program in programs}
    for alternation in range(1, args.alternations + 1):
        for program in programs:
            say(f"alternation {alternation} of {args.alternations}: {name_of(program)}")
            is_reference = program == REFERENCE
            runs[program].append(reference(alternation) if is_reference else metabert(program, alternation))
        for program in programs:
            runs[program][-1]["ratio"] = runs[program][-1]["rate"] / runs[REFERENCE][-1]["rate"]
            row(alternation, name_of(program), cells(columns, runs[program][-1]))
    medians = {program: {key: median(run[key] for run in runs[program]) for key in columns} for program in programs}
    for program in programs:
        row("median", name_of(program), cells(columns, medians[program]))
    print()
    summary = {}
    for program in args.precision:
        ratios = [run["ratio"] for run in runs[program]]
        memory = medians[program]["peak_rss_mib"] / medians[REFERENCE]["peak_rss_mib"]
        summary[program] = {"ratio": median(ratios), "ratios": ratios, "memory_ratio": memory}
        speed = f"{unit} {median(ratios):.2f} (median of {', '.join(f'{ratio:.2f}' for ratio in ratios)})"
        print(f"- metabert {program} / {REFERENCE}: {speed}, peak memory {memory:.2f}")
    return {"unit": unit, "runs": runs, "medians": medians, "summary": summary}


def name_of(program: str) -> str:
    return program if program == REFERENCE else f"metabert {program}"


def cells(columns: dict, run: dict) -> list[str]:
    return [layout.format(run[key]) for key, (_, layout) in columns.items()]


def row(first, program: str, others: list[str]) -> None:
    print(f"| {first:<6} | {program:<13} | {' | '.join(f'{cell:>14}' for cell in others)} |", flush=True)


def print_header(args) -> dict:
    try:
        python = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    except importlib.metadata.PackageNotFoundError as error:
        wanted = 'PYTHONPATH="$(.ci/setup python --path)"'
        raise Failure(f"this Python has no package {error.name}: run with {wanted}") from error
    versions = {"metabert": Child(args.metabert, "--version").stdout.split()[-1]} | python
    machine = describe_machine(args.device)
    print(f"# {', '.join(f'{name} {version}' for name, version in versions.items())}\n")
    print(f"- machine: {machine}\n- threads: {args.threads}, device: {args.device}")
    print(f"- texts: {args.data}, cut to {args.max_length} wordpieces; model: {args.model}")
    print(f"- command: {shlex.join(sys.argv)}", flush=True)
    return {"machine": machine, "versions": versions}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    count = lambda text: int(text) if int(text) > 0 else parser.error(f"expected a number above 0, found {text}")
    parser.add_argument("--metabert", default="target/release/metabert", help="the program (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=Path("data/sample.json"), help="default: %(default)s")
    parser.add_argument("--model", type=Path, default=Path("data/models/minilm-l6"), help="default: %(default)s")
    parser.add_argument("--only", choices=["train", "predict", "all"], default="all", help="default: %(default)s")
    parser.add_argument("--alternations", type=count, default=3, help="default: %(default)s")
    parser.add_argument("--algo", choices=["fomaml", "reptile"], default="fomaml", help="default: %(default)s")
    parser.add_argument("--episodes", type=count, default=2, help="episodes of an alternation (default: %(default)s)")
    parser.add_argument("--inner-epochs", type=count, default=10, help="default: %(default)s")
    parser.add_argument("--texts", type=count, default=2000, help="texts to label (default: %(default)s)")
    parser.add_argument("--max-length", type=count, default=256, help="wordpieces of a text (default: %(default)s)")
    parser.add_argument("--precision", action="append", help="fp32, bf16 or both: fp32,bf16 (default: fp32)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="default: %(default)s")
    parser.add_argument("--threads", type=count, default=cores(), help="default: one a core")
    parser.add_argument("--json", type=Path, help="write every number to this file")
    args = parser.parse_args()
    args.precision = list(dict.fromkeys(name for part in args.precision or ["fp32"] for name in part.split(",")))
    for name in args.precision:
        if name not in ("fp32", "bf16"):
            parser.error(f"--precision: expected fp32 or bf16, found {name}")
    return args


def compare(args) -> None:
    records = read_records(args.data)
    result = print_header(args) | {"arguments": {key: value for key, value in vars(args).items()}}
    with tempfile.TemporaryDirectory() as temporary:
        if args.only != "predict":
            result["training"] = compare_training(args, records, Path(temporary))
        if args.only != "train":
            result["labelling"] = compare_labelling(args, records, Path(temporary))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2, default=str) + "\n", encoding="utf-8")
    # bf16 keeps three digits: texts near the edge do change sides with it.
    agreement = result.get("labelling", {"summary": {}})["summary"].get("fp32", {}).get("label_agreement", 1.0)
    if agreement < LEAST_AGREEMENT:
        raise Failure(f"expected the same label for {LEAST_AGREEMENT:.1%} of the texts, found {agreement:.2%}")


def main() -> int:
    try:
        compare(parse_arguments())
    except Failure as failure:
        say(f"compare: error: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
