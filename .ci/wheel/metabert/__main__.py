"""Starts metabert's binary with the libtorch of the installed torch.

The binary's run path names the torch beside this package. It needs exactly the release that this package requires, so that is
checked first, from the package's metadata: importing torch would take seconds.
"""

import os
import sys
from importlib import metadata
from pathlib import Path

BINARY = Path(__file__).parent / "bin" / "metabert"


def main() -> None:
    folder = libtorch_folder()
    if folder != BINARY.parents[2] / "torch" / "lib":
        folders = [str(folder), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(folders)
    os.execv(BINARY, [str(BINARY), *sys.argv[1:]])


def libtorch_folder() -> Path:
    """The folder of the libtorch that the binary will load, of the right release."""
    required = required_release()
    torch = installed_torch()
    if torch is None:
        stop(f"expected torch {required} beside metabert, found none", required)
    # "+cpu" or "+cu130" names what it was built for, and either will do.
    if torch.version.partition("+")[0] != required:
        stop(f"expected torch {required} beside metabert, found {torch.version}", required)
    folder = Path(torch.locate_file("torch/lib"))
    if not (folder / "libtorch_cpu.so").is_file():
        stop(f"{folder}: expected libtorch_cpu.so of torch {required}, found none", required)
    return folder


def required_release() -> str:
    requirements = metadata.requires("metabert") or []
    return next(text.removeprefix("torch==") for text in requirements if text.startswith("torch=="))


def installed_torch() -> metadata.Distribution | None:
    """The torch that the run path leads to, else the first one on Python's path: such as that of a virtual environment's base."""
    beside = metadata.distributions(name="torch", path=[str(BINARY.parents[2])])
    return next(iter([*beside, *metadata.distributions(name="torch")]), None)


def stop(problem: str, required: str) -> None:
    sys.exit(f"error: {problem}; install it: {sys.executable} -m pip install torch=={required}")


if __name__ == "__main__":
    main()
