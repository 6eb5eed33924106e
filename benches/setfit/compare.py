"""Scores metabert, SetFit and an untrained encoder on the same draws of support and query texts, and prints their F1.

    PYTHONPATH="$(.ci/setup setfit --path)" python3 benches/setfit/compare.py \\
        --checkpoint RUN --data DATA.json --domains banking,travel --per-label 1,2,5 --out runs/setfit

`metabert data episodes --evaluation` names the draws, `metabert eval` adapts the checkpoint to each of them, and peers.py
does the same with the other two. `make bench-setfit` calls this; benches/README.md says how to read the table.

DATA is an array of {"text", "label", "domain"}. --out keeps every number. Called again with the same --out, this program
takes the peers' draws that are already there and runs metabert anew. --draws and --eval name files that `metabert data
episodes --evaluation` and `metabert eval --json` wrote before; then metabert does not run.

Needs the packages of `.ci/setup setfit` for peers.py, itself nothing but Python's standard library (3.9 or later).

Exit codes: 0 done; 1 a program failed, or they did not score the same texts; 2 usage.
"""

import argparse
import importlib.metadata
import json
import shlex
import sys
from pathlib import Path
from statistics import mean

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from programs import Child, Failure, cores, describe_machine, parse_lines, read_records, say
from scores import macro_f1, paired_difference

METABERT = "metabert"
PEERS = {"setfit": "SetFit", "prototypes": "untrained"}
ALL_DOMAINS = "all domains"


# --- running --------------------------------------------------------------------------------------------------------


def run_metabert(args) -> tuple[list[dict], list[dict]]:
    """The draws, and what `eval` reports of them, with its seconds: those of the whole process, a draw."""
    domains = [part for domain in args.domains for part in ("--domain", domain)]
    settings = ["--data", args.data, *domains, "--episodes", args.episodes, "--seed", args.seed]
    settings += ["--set", "evaluate.query=all"]
    # `eval` reads the file as the run did: so must the list of draws.
    stored = args.checkpoint / "config.toml"
    as_trained = ["--config", stored] if stored.is_file() else []
    sizes = ",".join(map(str, args.per_label))
    command = [args.metabert, "data", "episodes", "--evaluation", *as_trained, *settings, "--support-per-label", sizes]
    draws, results = parse_lines(Child(*command).stdout), []
    for per_label in args.per_label:
        say(f"metabert: {per_label} texts a label, {args.episodes} draws each of {', '.join(args.domains)}")
        child = Child(
            args.metabert, "eval", "--checkpoint", args.checkpoint, *settings, "--support-per-label", per_label, "--json",
            "--max-length", args.max_length, "--threads", args.threads, "--device", "cpu",
        )  # fmt: skip
        seconds = child.seconds / (args.episodes * len(args.domains))
        results += [row | {"seconds": seconds} for row in json.loads(child.stdout)["results"]]
    return draws, results


def name_labels(draws: list[dict], records: list[dict]) -> None:
    """metabert leaves the labels out where all domains have the same ones; every label has a support text."""
    for draw in draws:
        draw.setdefault("labels", sorted({str(records[position]["label"]) for position in draw["support"]}))


def run_peers(args, draws: list[dict]) -> list[dict]:
    """A line for each draw and peer."""
    draws_file = args.out / "draws.jsonl"
    draws_file.write_text("".join(json.dumps(draw) + "\n" for draw in draws), encoding="utf-8")
    child = Child(
        sys.executable, HERE / "peers.py", "--data", args.data, "--model", args.model, "--draws", draws_file,
        "--results", args.out / "peers.jsonl", "--max-length", args.max_length, "--threads", args.threads,
        shows_progress=True,
    )  # fmt: skip
    return parse_lines(child.stdout)


# --- scores ---------------------------------------------------------------------------------------------------------

# By program, then by number of texts a label and domain: {"macro_f1", "by_draw": [F1], "num_scored", "seconds"}.
Scores = dict[str, dict[tuple[int, str], dict]]


def scores_of(draws: list[dict], results: list[dict], lines: list[dict]) -> Scores:
    scores = {program: {} for program in (METABERT, *PEERS)}
    first = results[0]["checkpoint"]
    # The row over all domains has no draws.
    mine = [row for row in results if row["checkpoint"] == first and "draws" in row]
    reported = {(row["support_per_label"], row["domain"]): row for row in mine}
    for cell in dict.fromkeys(cell_of(draw) for draw in draws):
        queries = [len(draw["query"]) for draw in draws if cell_of(draw) == cell]
        row = reported.get(cell)
        if row is None or len(row["draws"]) != len(queries) or any(row["num_scored"] != count for count in queries):
            raise Failure(f"`eval` did not score the draws of {cell[1]} with {cell[0]} texts a label")
        scores[METABERT][cell] = {
            "macro_f1": row["macro_f1"]["mean"],
            "by_draw": [draw["macro_f1"] for draw in row["draws"]],
            "num_scored": row["num_scored"],
            "seconds": row.get("seconds"),
        }
        for peer in PEERS:
            of_peer = [line for line in lines if line["peer"] == peer and (line["per_label"], line["domain"]) == cell]
            of_peer.sort(key=lambda line: line["index"])
            scores[peer][cell] = {
                "macro_f1": macro_f1([line["confusion"] for line in of_peer]),
                "by_draw": [line["macro_f1"] for line in of_peer],
                "num_scored": row["num_scored"],
                "seconds": mean(line["seconds"] for line in of_peer),
            }
    return scores


def cell_of(draw: dict) -> tuple[int, str]:
    return len(draw["support"]) // len(draw["labels"]), draw["domain"]


# --- printing -------------------------------------------------------------------------------------------------------


def print_header(args) -> dict:
    try:
        python = {name: importlib.metadata.version(name) for name in ("setfit", "sentence-transformers", "torch")}
    except importlib.metadata.PackageNotFoundError as error:
        wanted = 'PYTHONPATH="$(.ci/setup setfit --path)"'
        raise Failure(f"this Python has no package {error.name}: run with {wanted}") from error
    versions = {METABERT: Child(args.metabert, "--version").stdout.split()[-1]} | python
    machine = describe_machine("cpu")
    print(f"# {', '.join(f'{name} {version}' for name, version in versions.items())}\n")
    print(f"- machine: {machine}\n- threads: {args.threads}")
    print(f"- texts: {args.data}, cut to {args.max_length} wordpieces; the peers' encoder: {args.model}")
    print(f"- command: {shlex.join(sys.argv)}\n", flush=True)
    return {"machine": machine, "versions": versions}


def print_table(scores: Scores) -> list[dict]:
    names = {METABERT: METABERT, **PEERS}
    titles = [f"{name} F1" for name in names.values()] + [f"{name} s" for name in names.values()]
    titles += [f"metabert - {name}" for name in PEERS.values()]
    print(f"| a label | {'domain':<16} | texts | {' | '.join(titles)} |")
    print(f"|---:|---|---:|{'---:|' * len(titles)}")
    rows = []
    cells = list(scores[METABERT])
    for per_label in dict.fromkeys(per_label for per_label, _ in cells):
        same_size = [cell for cell in cells if cell[0] == per_label]
        blocks = [(domain, [(per_label, domain)]) for _, domain in same_size]
        for domain, block in blocks if len(blocks) == 1 else [*blocks, (ALL_DOMAINS, same_size)]:
            row = {"per_label": per_label, "domain": domain}
            row["num_scored"] = sum(scores[METABERT][cell]["num_scored"] for cell in block)
            for name in names:
                of_name = [scores[name][cell] for cell in block]
                seconds = [score["seconds"] for score in of_name]
                row[name] = {
                    "macro_f1": mean(score["macro_f1"] for score in of_name),
                    "seconds": None if None in seconds else mean(seconds),
                }
            for peer in PEERS:
                pairs = [zip(scores[METABERT][cell]["by_draw"], scores[peer][cell]["by_draw"]) for cell in block]
                differences = [[ours - theirs for ours, theirs in domain] for domain in pairs]
                row[peer]["metabert_minus_this"] = paired_difference(differences)
            rows.append(row)
            print(line_of(row, names), flush=True)
    return rows


def line_of(row: dict, names: dict) -> str:
    parts = [f"{row['per_label']:>7}", f"{row['domain']:<16}", f"{row['num_scored']:>5}"]
    parts += [f"{row[name]['macro_f1']:.3f}" for name in names]
    parts += ["-" if row[name]["seconds"] is None else f"{row[name]['seconds']:.1f}" for name in names]
    for peer in PEERS:
        found = row[peer]["metabert_minus_this"]
        interval = "" if found["low"] is None else f" ({found['low']:+.3f} to {found['high']:+.3f})"
        parts.append(f"{found['mean']:+.3f}{interval}")
    return f"| {' | '.join(parts)} |"


# --- command line ---------------------------------------------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    count = lambda text: int(text) if int(text) > 0 else parser.error(f"expected a number above 0, found {text}")
    parser.add_argument("--metabert", default="target/release/metabert", help="the program (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, help="what metabert adapts: a run or a model directory")
    parser.add_argument("--data", type=Path, default=Path("data/sample.json"), help="default: %(default)s")
    parser.add_argument("--domains", help="the domains to score, separated by commas; none may have been trained on")
    parser.add_argument("--per-label", default="1,2,5", help="support texts of every label (default: %(default)s)")
    parser.add_argument("--episodes", type=count, default=10, help="draws for each domain (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: %(default)s)")
    parser.add_argument("--draws", type=Path, help="read the draws from this file")
    parser.add_argument("--eval", type=Path, help="read metabert's scores from this file")
    parser.add_argument("--model", type=Path, default=Path("data/models/minilm-l6"), help="default: %(default)s")
    parser.add_argument("--max-length", type=count, default=256, help="wordpieces of a text (default: %(default)s)")
    parser.add_argument("--threads", type=count, default=cores(), help="default: one a core")
    parser.add_argument("--out", type=Path, default=Path("runs/setfit"), help="default: %(default)s")
    args = parser.parse_args()
    if (args.draws is None) != (args.eval is None):
        parser.error("--draws and --eval go together")
    if args.draws is None and not (args.checkpoint and args.domains):
        parser.error("expected --checkpoint and --domains, or --draws and --eval")
    args.domains = [domain.strip() for domain in (args.domains or "").split(",")]
    args.per_label = [count(size) for size in args.per_label.split(",")]
    return args


def compare(args) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    records = read_records(args.data)
    result = print_header(args) | {"command": sys.argv}
    if args.draws is None:
        draws, results = run_metabert(args)
    else:
        draws = parse_lines(args.draws.read_text(encoding="utf-8"))
        results = json.loads(args.eval.read_text(encoding="utf-8"))["results"]
    name_labels(draws, records)
    lines = run_peers(args, draws)
    result["rows"] = print_table(scores_of(draws, results, lines))
    result |= {"eval": results, "peers": lines}
    (args.out / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    try:
        compare(parse_arguments())
    except (Failure, OSError) as failure:
        say(f"compare: error: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
