"""Packs the compiled program as a Python wheel.

    python3 .ci/wheel/build.py BINARY FOLDER

Writes the wheel into FOLDER and prints its path. Needs the packages that `.ci/setup wheel` installs.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Where torch is from metabert/bin, in whatever folder both are installed.
RUN_PATH = "$ORIGIN/../../torch/lib"


def main(binary: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source, built = Path(scratch, "source"), Path(scratch, "built")
        stage(binary, source)
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", built, cwd=source)
        (wheel,) = built.glob("*.whl")
        named = Path(scratch, "named")
        # Reads the versions of the symbols that the binary needs of glibc and libstdc++, and names the wheel after the
        # oldest system that has them. libtorch's libraries come with torch.
        run(
            *(sys.executable, "-m", "auditwheel", "repair", wheel, "--plat", "auto", "--only-plat"),
            *("--exclude", "libtorch*.so", "--exclude", "libc10*.so", "--wheel-dir", named),
        )
        (wheel,) = named.glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        print(shutil.copy(wheel, folder))


def stage(binary: Path, source: Path) -> None:
    """The package with all that it is made of."""
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("build.py", "__pycache__"))
    for name in ["Cargo.toml", "LICENSE", "README.md"]:
        shutil.copy(ROOT / name, source)
    packed = source / "metabert" / "bin" / "metabert"
    packed.parent.mkdir()
    shutil.copy(binary, packed)
    # DT_RPATH in the place of DT_RUNPATH: it comes before LD_LIBRARY_PATH, where another libtorch may be. The path to the
    # libtorch of this machine, where cargo's binary finds it, is overwritten.
    run("patchelf", "--force-rpath", "--set-rpath", RUN_PATH, packed)


def run(*command: object, **options: object) -> None:
    # The tools of `.ci/setup wheel` lie beside its packages.
    tools = [os.path.join(folder, "bin") for folder in sys.path]
    environment = os.environ | {"PATH": os.pathsep.join([*tools, os.environ["PATH"]])}
    done = subprocess.run(
        [str(word) for word in command], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
    )
    if done.returncode != 0:
        sys.exit(f"{done.stdout}error: {command[0]} failed, as above")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: build.py BINARY FOLDER")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
