"""Says how fast meta-training would be on many processes, from the episode times of a run and the speed of links.

    python3 benches/scaling/simulate.py --run runs/fomaml --parameters 22.7e6

Every outer step deals its episodes out to the processes, as `metabert train` does. The step lasts as long as the slowest
process computes, then as long as the exchange of the sums, then as long as the outer optimizer. Episode times are drawn
from those of the run; benches/README.md says what is assumed beside that.

Needs nothing but Python's standard library (3.9 or later). Exit codes: 0 done; 1 nothing to simulate from; 2 usage.
"""

import argparse
import heapq
import json
import random
import sys
from dataclasses import dataclass
from math import log2
from pathlib import Path
from statistics import mean, stdev

BYTES_PER_NUMBER = 4
STEPS = 100
# Blocks of neighbouring episodes that a process gets, each of which travels as one sum.
BLOCKS = 2


@dataclass
class Cluster:
    """Processes and what joins them: GB/s that each can send at once inside a machine, through the host or from GPU to GPU; GB/s
    that a machine can send to others; and seconds to the first byte."""

    name: str
    processes: int
    per_machine: int
    inside: float
    gpu_to_gpu: float
    between: float
    latency: float

    def link(self) -> float:
        """Bytes a second that a process sends to the others: over the slowest link on the way, which the processes of a
        machine share."""
        if self.processes <= self.per_machine:
            return self.inside * 1e9
        return min(self.inside, self.between / self.per_machine) * 1e9


CLUSTERS = [
    Cluster("2 on one machine", 2, 2, 0.2, 20.0, 0.0, 20e-6),
    Cluster("8 in one machine", 8, 8, 4.0, 200.0, 0.0, 20e-6),
    Cluster("64, 8 a machine, 100 GbE", 64, 8, 4.0, 200.0, 12.5, 40e-6),
    Cluster("1,024, 8 a machine, 100 GbE", 1024, 8, 4.0, 200.0, 12.5, 40e-6),
]


def episode_seconds(run: Path) -> list[float]:
    """The seconds of each outer step of a run, by episode."""
    events = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [event for event in events if event["event"] == "outer_step"]
    # The first steps of a process warm up.
    return [60.0 / event["episodes_per_min"] for event in steps[2:]]


def exchange_seconds(cluster: Cluster, parameters: float, sums: int, over: str) -> float:
    """The seconds that the sums of a step travel."""
    return nccl_seconds(cluster, parameters) if over == "nccl" else gloo_seconds(cluster, parameters, sums)


def nccl_seconds(cluster: Cluster, parameters: float) -> float:
    """The GPUs of a machine add up one sum each, the machines those of their GPUs, and all get the result: twice the
    parameters sent, less the own share, once inside and once between machines, in rounds that double what has been reached."""
    inside = min(cluster.processes, cluster.per_machine)
    machines = cluster.processes // inside
    sent = lambda members: 2 * parameters * BYTES_PER_NUMBER * (members - 1) / members
    seconds = sent(inside) / (cluster.gpu_to_gpu * 1e9) + 2 * log2(cluster.processes) * cluster.latency
    return seconds if machines == 1 else seconds + sent(machines) / (cluster.between * 1e9)


def gloo_seconds(cluster: Cluster, parameters: float, sums: int) -> float:
    """Each process deals `sums` sums out by shards and gets all shards of the mean: (sums + 1) times the parameters sent, in
    two rounds of messages to every other process."""
    others = cluster.processes - 1
    sent = (sums + 1) * parameters * BYTES_PER_NUMBER * others / cluster.processes
    return sent / cluster.link() + 2 * others * cluster.latency


def sums_of(episodes: int) -> int:
    """How many sums a process sends of so many episodes."""
    return min(episodes, BLOCKS)


def slowest_seconds(times: list[float], processes: int) -> float:
    """How long the process computes that gets most of episodes of these times, as src/train/deal.rs deals them out: blocks of
    neighbours, the longest first, each to the process that has least so far."""
    fitting = max(1, len(times) // (BLOCKS * processes))
    size = 1 << (fitting.bit_length() - 1)
    blocks = sorted((sum(times[first : first + size]) for first in range(0, len(times), size)), reverse=True)
    loads = [0.0] * processes
    for block in blocks:
        heapq.heapreplace(loads, loads[0] + block)
    return max(loads)


def step_seconds(cluster: Cluster, episodes: int, times: list[float], scale: float, args) -> float:
    """The mean length of an outer step with `episodes` episodes for each process."""
    numbers = random.Random(f"{cluster.name} {episodes}")
    draw = lambda: numbers.choices(times, k=episodes * cluster.processes)
    slowest = mean(slowest_seconds(draw(), cluster.processes) for _ in range(STEPS)) * scale
    return slowest + exchange_seconds(cluster, args.parameters, sums_of(episodes), args.over) + args.outer_seconds


def row(cluster: Cluster, episodes: int, times: list[float], scale: float, args) -> str:
    step = step_seconds(cluster, episodes, times, scale, args)
    alone = episodes * mean(times) * scale + args.outer_seconds / cluster.processes
    speedup = cluster.processes * alone / step
    exchange = exchange_seconds(cluster, args.parameters, sums_of(episodes), args.over)
    return (
        f"| {cluster.name} | {episodes} | {60 * cluster.processes * episodes / step:,.0f} | {speedup:,.1f} "
        f"| {speedup / cluster.processes:.0%} | {exchange / step:.0%} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="a run of one process")
    parser.add_argument("--parameters", type=float, required=True, help="parameters of its model that are trained")
    parser.add_argument("--episode-seconds", type=float, help="assume this mean for an episode, with the spread of the run")
    parser.add_argument("--outer-seconds", type=float, default=0.05, help="what every process does once in an outer step")
    parser.add_argument("--over", choices=["gloo", "nccl"], default="gloo", help="what moves the sums")
    parser.add_argument("--episodes", default="1,2,8", help="episodes of a process in an outer step, a list")
    args = parser.parse_args()
    try:
        times = episode_seconds(args.run)
    except (OSError, KeyError, ValueError) as error:
        print(f"{args.run}: {error}", file=sys.stderr)
        return 1
    if len(times) < 20:
        print(f"{args.run}: expected at least 22 outer steps, found {len(times) + 2}", file=sys.stderr)
        return 1
    scale = args.episode_seconds / mean(times) if args.episode_seconds else 1.0
    spread = stdev(times) / mean(times)
    print(f"{len(times)} outer steps of {args.run}: {mean(times):.2f} s an episode, standard deviation {spread:.0%}")
    if args.episode_seconds:
        print(f"taken as {args.episode_seconds} s an episode")
    print(f"{args.parameters:,.0f} parameters over {args.over}, {args.outer_seconds} s for the outer optimizer\n")
    print("| processes | episodes each | episodes/min | times one process | of ideal | exchange |")
    print("|---|---|---|---|---|---|")
    for cluster in CLUSTERS:
        for episodes in map(int, args.episodes.split(",")):
            print(row(cluster, episodes, times, scale, args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
