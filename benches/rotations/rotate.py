"""Trains and evaluates recipes on rotations of the large domains of a file, and compares them paired.

    python3 benches/rotations/rotate.py --data dataset.json --model data/models/minilm-l6 --out runs/rotations \\
        --recipe "default: --config configs/reviews.toml" --recipe "fomaml: --config configs/reviews.toml --algo fomaml"

The domains with more than 200 texts are dealt into groups. A rotation holds one group out, with the small domains, chooses
checkpoints on the next group, and trains on the rest: every large domain is held out once, with its natural label shares.
A recipe is a name and arguments of `metabert train`. `metabert eval` then scores each run on all other texts of the domains
held out. benches/README.md says how to read the table.

Runs and evaluations that are there already are not made anew: the same command continues an interrupted one.

Needs nothing but Python's standard library (3.9 or later). Exit codes: 0 done; 1 a program failed; 2 usage.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from statistics import mean

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from programs import Child, Failure, describe_machine, say
from scores import paired_difference


# --- running --------------------------------------------------------------------------------------------------------


def groups_of(args) -> tuple[list[list[str]], list[str]]:
    """The large domains in so many groups, and the small ones."""
    # Whether a domain is large, and not which ones `train` would choose to choose on.
    stats = Child(args.metabert, "data", "stats", "--data", args.data, "--set", "data.meta_dev_count=0", "--json")
    stats = json.loads(stats.stdout)
    of_side = lambda side: sorted(it["domain"] for it in stats["domains"] if it["side"] == side)
    large, small = of_side("meta-train"), of_side("low-resource")
    if len(large) < args.rotations:
        raise Failure(f"{args.data}: expected at least {args.rotations} domains that are not small, found {len(large)}")
    return [large[first :: args.rotations] for first in range(args.rotations)], small


def is_done(mark: Path, command: list) -> bool:
    """Whether the command has run to its end. Another one that has the same name is refused."""
    if not mark.exists():
        return False
    found = json.loads(mark.read_text(encoding="utf-8"))
    if found != [str(part) for part in command]:
        raise Failure(f"{mark}: made by other arguments; use another name or --out, or remove it with what it marks")
    return True


def mark_done(mark: Path, command: list) -> None:
    mark.write_text(json.dumps([str(part) for part in command]), encoding="utf-8")


def results_of(args, recipe: tuple[str, list[str]], rotation: int, seed: int) -> list[dict]:
    """The results of one run, which is made if it is not there, in the large domains held out and in the small ones."""
    groups, small = groups_of(args)
    name, settings = recipe
    run = args.out / f"{name}-rotation{rotation}-seed{seed}"
    sides = ["--set", f"data.low_resource={json.dumps(groups[rotation] + small)}"]
    sides += ["--set", f"data.meta_dev={json.dumps(groups[(rotation + 1) % len(groups)])}"]
    same = ["--data", args.data, "--threads", args.threads, "--quiet"]
    train = ["train", *settings, *same, *sides, "--model", args.model, "--seed", seed, "--run-dir", run]
    if not is_done(run.with_suffix(".done"), train):
        say(f"{run.name}: training")
        Child(args.metabert, *train, "--resume", "auto")
        mark_done(run.with_suffix(".done"), train)
    found = []
    for which, domains, support in (("large", groups[rotation], args.eval), ("small", small, args.small)):
        scores = args.out / f"{run.name}-{which}.json"
        if not domains or not support:
            continue
        named = [part for domain in domains for part in ("--domain", domain)]
        evaluate = ["eval", "--checkpoint", run, *same, *named, *shlex.split(support)]
        evaluate += ["--set", "evaluate.query=all", "--seed", seed, "--json"]
        if not is_done(scores.with_suffix(".done"), evaluate):
            say(f"{run.name}: evaluating in the {which} domains")
            scores.write_text(Child(args.metabert, *evaluate).stdout, encoding="utf-8")
            mark_done(scores.with_suffix(".done"), evaluate)
        results = json.loads(scores.read_text(encoding="utf-8"))["results"]
        found += [it for it in results if it["domain"] != "all" and it["checkpoint"] != "majority"]
    return found


# --- the table ------------------------------------------------------------------------------------------------------


def size_of(result: dict) -> str:
    return f"{result['support_per_label']} a label" if result["support"] is None else str(result["support"])


def cells(results: list[dict], score: str) -> dict[str, list[float]]:
    """The draws of each domain, those of all seeds one after the other."""
    found: dict[str, list[float]] = {}
    for result in results:
        found.setdefault(result["domain"], []).extend(draw[score] for draw in result["draws"])
    return found


def interval(difference: dict) -> str:
    text = f"{difference['mean']:+.4f}"
    return text if difference["low"] is None else f"{text} [{difference['low']:+.4f}, {difference['high']:+.4f}]"


def differences(first: dict[str, list[float]], second: dict[str, list[float]]) -> list[list[float]]:
    """Draw by draw, of the domains that both have."""
    return [[a - b for a, b in zip(first[name], second[name], strict=True)] for name in first if name in second]


def table(by_recipe: dict[str, list[dict]], domains: set[str]) -> list[str]:
    """The lines of the results in these domains."""
    titles = ["recipe", "support", "accuracy", "macro F1", "before adapting", "adapted - before", "worst domain"]
    titles += ["log loss", "calibration error"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    results = {name: [it for it in found if it["domain"] in domains] for name, found in by_recipe.items()}
    sizes = list(dict.fromkeys(size_of(it) for found in results.values() for it in found))
    compared = []
    for size in sizes:
        of_size = {name: [it for it in found if size_of(it) == size] for name, found in results.items()}
        of_size = {name: found for name, found in of_size.items() if found}
        for name, found in of_size.items():
            adapted, before = (cells(found, score) for score in ("macro_f1", "zero_step_macro_f1"))
            gains = differences(adapted, before)
            row = [
                name,
                size,
                f"{mean(it['accuracy']['mean'] for it in found):.4f}",
                f"{mean(it['macro_f1']['mean'] for it in found):.4f}",
                f"{mean(it['zero_step_macro_f1']['mean'] for it in found):.4f}",
                interval(paired_difference(gains)),
                f"{min(mean(gain) for gain in gains):+.4f}",
                f"{mean(it['log_loss'] for it in found):.4f}",
                f"{mean(it['calibration_error'] for it in found):.4f}",
            ]
            lines.append(f"| {' | '.join(row)} |")
        first, *others = of_size
        mine = cells(of_size[first], "macro_f1")
        for other in others:
            for score, what in (("macro_f1", "adapted"), ("zero_step_macro_f1", "before adapting")):
                gained = interval(paired_difference(differences(mine, cells(of_size[other], score))))
                compared.append(f"- {size}: {first} minus {other}, {what}: {gained}")
    return [*lines, "", *compared]


def report(args, by_recipe: dict[str, list[dict]]) -> str:
    groups, small = groups_of(args)
    rotations = ", ".join(map(str, args.only))
    lines = [f"- machine: {describe_machine('cpu')}", f"- rotations {rotations} of {len(groups)}, seeds {args.seeds}"]
    lines += [f"- {name}: `metabert train {shlex.join(settings)}`" for name, settings in args.recipe]
    large = {domain for rotation in args.only for domain in groups[rotation]}
    lines += ["", f"The {len(large)} large domains held out:", "", *table(by_recipe, large)]
    if small and args.small:
        lines += ["", f"The small ones, in every rotation: {', '.join(small)}:", "", *table(by_recipe, set(small))]
    return "\n".join(lines)


# --- the command line -----------------------------------------------------------------------------------------------


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def recipe(text: str) -> tuple[str, list[str]]:
    name, colon, settings = text.partition(":")
    if not colon or not name.strip().isidentifier():
        raise argparse.ArgumentTypeError(f'expected "NAME: ARGUMENTS OF TRAIN", found "{text}"')
    return name.strip(), shlex.split(settings)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data", required=True, help="the dataset")
    parser.add_argument("--model", required=True, help="the encoder to start from")
    parser.add_argument("--out", required=True, type=Path, help="where runs and results go")
    parser.add_argument(
        "--recipe", action="append", required=True, type=recipe,
        help='"NAME: ARGUMENTS OF TRAIN"; the first one is compared with the others',
    )  # fmt: skip
    parser.add_argument("--rotations", type=int, default=5, help="groups of large domains")
    parser.add_argument("--only", type=numbers, help="rotations to make, from 0; all by default")
    parser.add_argument("--seeds", type=numbers, default=[0], help="a run for each")
    parser.add_argument("--eval", default="--support-per-label 8,40", help="arguments of eval in the large domains")
    parser.add_argument("--small", default="", help="arguments of eval in the small domains; none, and these are left out")
    parser.add_argument("--threads", type=int, default=0, help="of metabert")
    parser.add_argument("--metabert", default="metabert", help="the program")
    args = parser.parse_args()
    if args.rotations < 3:
        parser.error("argument --rotations: expected at least 3: one to hold out, one to choose on, one to train on")
    args.only = args.only or list(range(args.rotations))
    if not all(0 <= rotation < args.rotations for rotation in args.only):
        parser.error(f"argument --only: expected rotations from 0 to {args.rotations - 1}")
    return args


def main() -> int:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    by_recipe: dict[str, list[dict]] = {name: [] for name, _ in args.recipe}
    try:
        for seed in args.seeds:
            for rotation in args.only:
                for found in args.recipe:
                    by_recipe[found[0]] += results_of(args, found, rotation, seed)
        text = report(args, by_recipe)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    print(text)
    (args.out / "result.md").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
