"""Runs the programs that a benchmark compares, and describes the machine under them."""

import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STDERR_LINES = 20


class Failure(Exception):
    """A program that failed, or two that do not do the same."""


class Child:
    """A program that has run to its end: what it printed, how long it took as a whole, and its largest size.

    Its standard error is shown if it fails; with `shows_progress` it appears as it is written.
    """

    def __init__(self, *command, shows_progress: bool = False):
        command = [str(part) for part in command]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            started = time.perf_counter()
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=None if shows_progress else err
                )
            except OSError as error:
                raise Failure(f"{command[0]}: {error.strerror}") from error
            try:
                # Says of this child alone how large it became; resource.getrusage knows the largest of all only.
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                process.wait()
                raise
            self.seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            self.stdout = out.read().decode(errors="replace")
            if process.returncode != 0:
                tail = "\n".join(err.read().decode(errors="replace").splitlines()[-STDERR_LINES:])
                raise Failure(f"exit code {process.returncode} from: {shlex.join(command)}\n{tail}")
        # Linux counts in KiB, macOS in bytes.
        self.peak_mib = usage.ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def parse_lines(text: str) -> list[dict]:
    # Only "\n" ends a line of JSONL; splitlines would also cut at U+2028 inside a text.
    return [json.loads(line) for line in text.split("\n") if line]


def read_records(path: Path) -> list[dict]:
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failure(f"{path}: {error}") from error
    if not isinstance(records, list):
        raise Failure(f"{path}: expected an array of records")
    return records


def describe_machine(device: str) -> str:
    name, flags = platform.processor() or platform.machine(), set()
    try:
        lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
        found = {key.strip(): value.strip() for key, _, value in lines}
        name, flags = found.get("model name", name), set(found.get("flags", "").split())
    except OSError:
        pass  # not Linux
    # Which of them a processor has decides what bf16 is worth.
    known = [flag if flag in flags else f"no {flag}" for flag in ("avx2", "avx512_bf16", "amx_bf16")]
    parts = [name, f"{cores()} cores", *known, f"load {os.getloadavg()[0]:.1f} before"]
    if device == "cuda":
        parts.append(Child("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").stdout.strip())
    return ", ".join(parts)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
