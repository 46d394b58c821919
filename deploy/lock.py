"""Write the two locks beside this file: `requirements.lock`, and `cuda.lock` with torch for NVIDIA GPUs.

    pip install uv && python deploy/lock.py [constraints.txt]

Every file is known by its hash. The image for CPUs takes torch from PyTorch's own index, by version.
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WITH_TORCH = re.compile(r"(torch|torchvision|triton|nvidia-|cuda-)")


def main() -> None:
    """Write both."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--python-version=3.11"]
    command += ["--python-platform=x86_64-unknown-linux-gnu"]
    command += [f"--constraints={name}" for name in sys.argv[1:]]
    command.append(str(HERE.parent / "requirements.txt"))
    whole = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    packages = re.findall(r"^[a-z0-9].*(?:\n .*)*\n", whole, re.MULTILINE)
    for name, wanted in (("requirements.lock", False), ("cuda.lock", True)):
        kept = [one for one in packages if bool(WITH_TORCH.match(one)) is wanted]
        (HERE / name).write_text("".join(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
