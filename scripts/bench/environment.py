"""Environment of the peers, .bench-venv, made once and separate from that of the project."""

if __name__ == "__main__":
    raise SystemExit("environment.py is a part of run.py, and does nothing by itself")

import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".bench-venv"
PYTHON = FOLDER / "bin" / "python"

# One pip command each, so that what cannot be had takes nothing else with it; torch first: the others leave it as it is.
PEERS = (
    ("torch==2.13.0", "numpy>=2", "opencv-python-headless>=4.10"),
    ("albumentations==2.0.8",),
    ("kornia>=0.8",),
    ("pandas>=2",),
    ("polars>=1",),
    ("augmax>=0.4", "jax>=0.10"),
)
_SHOWN = ("torch", "albumentations", "kornia", "augmax", "opencv-python-headless", "pandas", "polars", "numpy")


def make() -> None:
    """Make the environment unless it was made from this very list; what cannot be installed is printed."""
    asked, done = "\n".join(" ".join(packages) for packages in PEERS), FOLDER / "requirements.txt"
    if done.is_file() and done.read_text() == asked:
        return
    print(f"{FOLDER.name}: installing the peers, once (about 1.5 GB)", flush=True)
    subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True)
    for packages in PEERS:
        pip = [PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile"]
        ran = subprocess.run([*pip, *packages], capture_output=True, text=True)
        if ran.returncode:
            reason = next((line for line in ran.stderr.splitlines()[::-1] if line.startswith("ERROR")), "pip failed")
            print(f"  cannot be had: {' '.join(packages)} ({reason[:160]})", flush=True)
    done.write_text(asked)


def versions() -> dict[str, str]:
    """The peers that are there, with their versions; a version of torch names its build."""
    folders = [str(p) for p in (FOLDER / "lib").glob("python*/site-packages")]
    found = {d.metadata["Name"].lower(): d.version for d in metadata.distributions(path=folders)}
    return {name: found[name] for name in _SHOWN if name in found}
