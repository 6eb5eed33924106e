"""Lets PyTorch be imported without the CUDA libraries, which weigh 2 GB and which a CPU never calls.

    python3 stub_libraries.py PACKAGES

PACKAGES is a folder with an installed `torch`. Its libraries name those of CUDA, so the loader wants each of them. Those
that are missing get an empty one in their place, next to PyTorch's own, whose functions end the program if they are called
all the same. Needs `readelf` and a C compiler.
"""

import re
import subprocess
import sys
from pathlib import Path

# The functions of each library begin with its name in one of these forms.
PREFIXES = {
    "cublas": r"cublas(?!Lt)",
    "cublasLt": r"cublasLt",
    "cudnn": r"cudnn",
    "cufft": r"cufft",
    "cufile": r"cuFile",
    "curand": r"curand",
    "cusolver": r"cusolver",
    "cusparse": r"cusparse(?!Lt)",
    "cusparseLt": r"cusparseLt",
    "nccl": r"nccl",
    "nvrtc": r"nvrtc",
    "nvshmem_host": r"nvshmem",
}


def main(packages: Path) -> None:
    folder = packages / "torch" / "lib"
    needed, undefined = set(), set()
    for library in folder.glob("*.so"):
        text = subprocess.run(
            ["readelf", "--dynamic", "--dyn-syms", "--wide", library], capture_output=True, text=True, check=True
        ).stdout
        needed |= set(re.findall(r"\(NEEDED\).*\[(.*)\]", text))
        rows = (line.split() for line in text.splitlines())
        undefined |= {row[7].split("@")[0] for row in rows if len(row) > 7 and row[6] == "UND"}
    for name in sorted(needed):
        found = re.fullmatch(r"lib(\w+)\.so\.\d+", name)
        if not found or found[1] not in PREFIXES or any((packages / "nvidia").rglob(name)):
            continue
        functions = sorted(symbol for symbol in undefined if re.match(PREFIXES[found[1]], symbol))
        source = "#include <stdlib.h>\n" + "".join(f"void {function}(void) {{ abort(); }}\n" for function in functions)
        command = ["cc", "-x", "c", "-", "-shared", "-fPIC", "-o", folder / name, f"-Wl,-soname,{name}"]
        subprocess.run(command, input=source, text=True, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
