"""All commands by one name: `jaxmarks train ...` is `python scripts/train.py ...`.

jaxmarks --help
jaxmarks train --data drawn:600:68 --name try --model resnet18 --size 64 --batch 16 --steps 150
"""

import ast
import runpy
import sys
from pathlib import Path

from pipelines.io import guesses

FOLDER = Path(__file__).parent


def commands() -> dict[str, str]:
    """{command: what it does, a line}, of each script beside this one."""
    found = sorted(path for path in FOLDER.glob("*.py") if path.name[0] != "_")
    return {path.stem: _first_line(path) for path in found}


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def main() -> None:
    """Run the command that the first argument names, on the others."""
    known, asked = commands(), sys.argv[1] if len(sys.argv) > 1 else "--help"
    if asked in ("-h", "--help"):
        width = max(map(len, known))
        lines = [f"    {name:{width}}  {about}" for name, about in known.items()]
        print("\n".join(["jaxmarks COMMAND ..., each with a --help of its own:", "", *lines]))
    elif asked in known:
        sys.argv[:2] = [f"jaxmarks {asked}"]
        runpy.run_module(f"{__package__}.{asked}", run_name="__main__")
    else:
        hint = guesses.word(asked, known)
        print(f"error: {asked} is no command{hint}; jaxmarks --help lists them", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
