"""Description of the machine of a benchmark, and operation counts of networks."""

if __name__ == "__main__":
    raise SystemExit("machine.py is a part of run.py, and does nothing by itself")

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

FLAGS = ("avx2", "avx512f", "amx_bf16", "amx_tile")
_DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


def describe() -> dict[str, Any]:
    """Processor, cores, how busy it is now, instruction sets of note, and our versions."""
    info = Path("/proc/cpuinfo")
    lines = [line.partition(":") for line in info.read_text().splitlines()] if info.is_file() else []
    known = {name.strip(): value.strip() for name, _, value in lines}
    packages = ("jaxmarks", "jax", "jaxlib", "numpy", "opencv-python-headless")
    return {
        "processor": known.get("model name", platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "flags": [flag for flag in FLAGS if flag in known.get("flags", "").split()],
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in packages},
    }


def flops(name: str, size: int) -> float:
    """Operations (a multiplication and an addition are two) of a ResNet's convolutions for one image, forward."""

    def half(side: int) -> int:
        return -(-side // 2)

    side, before, total = half(size), 64, 0
    total += side**2 * 49 * 3 * 64
    side = half(side)
    for stage, depth in enumerate(_DEPTHS[name]):
        width = 64 * 2**stage
        after = 4 * width if name == "resnet50" else width
        for index in range(depth):
            stride = 2 if stage and not index else 1
            into, side = side, half(side) if stride == 2 else side
            if name == "resnet50":
                total += into**2 * before * width + side**2 * (9 * width * width + width * after)
            else:
                total += side**2 * 9 * (before * width + width * width)
            total += side**2 * before * after * (stride > 1 or before != after)
            before = after
    return 2.0 * total
