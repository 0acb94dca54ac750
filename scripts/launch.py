"""Run a command in several processes on this machine, as one run.

    python scripts/launch.py --processes 2 train --data PATH --name mine --shards 4
    python scripts/launch.py --processes 4 --restarts 3 train --data PATH --name mine --shards 4
    python scripts/launch.py --processes 2 --devices 2 train --data drawn:600:68 --name try --model resnet18 --size 64

Each process is started with --coordinator, --processes and --process; the lines that it prints have its number before them.
Ctrl-C and SIGTERM reach all: training saves at one step that they agree on, and the same command resumes. Where a process is
lost, it is named, and the others end within --grace seconds; --restarts starts all of them again, which resume from the
newest checkpoint. The exit code is that of the process that ended first with another than 0. On several machines a scheduler
does this: BUILD.md.
"""

import os
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from pipelines.io import console, failures, guesses, launching

_COMMANDS = ("train", "predict", "evaluate", "rank", "prepare")  # that take part in several processes
_AGAIN = (failures.AGAIN, 128 + 6, 128 + 9, 128 + 15)  # lost, or ended from outside: starting again may help
_SOON = 5.0  # seconds: what is lost so early will be lost again
_FOLDER = Path(__file__).parent


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    parser.add_argument("--processes", type=int, required=True, help="number of processes, 1 to 64")
    parser.add_argument("--devices", type=int, default=0, help="CPU devices of each process; 0: as JAX has them")
    parser.add_argument(
        "--grace",
        type=float,
        default=30.0,
        help="seconds that the others have to end once one is lost (default: %(default)g)",
    )
    parser.add_argument(
        "--restarts", type=int, default=0, help="how often all are started again after a loss (default: %(default)s)"
    )
    parser.add_argument("command", metavar="COMMAND", help=f"one of {', '.join(_COMMANDS)}; all after it are its flags")
    parser.add_argument("flags", nargs="...", metavar="FLAGS", help="flags of the command")
    return parser


console.begin(__name__, arguments)


def main() -> int:
    flags = arguments().parse_args()
    if flags.command not in _COMMANDS:
        raise ValueError(
            f"{flags.command}: expected one of {', '.join(_COMMANDS)}{guesses.word(flags.command, _COMMANDS)}"
        )
    if not (1 <= flags.processes <= 64 and 0 <= flags.devices <= 64):
        raise ValueError(
            f"--processes must lie in 1..64 and --devices in 0..64, got {flags.processes}, {flags.devices}"
        )
    if not (0 <= flags.grace <= 1e6 and flags.restarts >= 0):
        raise ValueError("--grace and --restarts must be 0 or more")
    env = dict(os.environ)
    if flags.devices:
        env["XLA_FLAGS"] = f"{env.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={flags.devices}".strip()
    for left in range(flags.restarts, -1, -1):
        began = time.monotonic()
        ended = launching.run(commands(flags), [env] * flags.processes, flags.grace, tell)
        soon = time.monotonic() - began < _SOON
        if ended.lost is None or ended.asked or ended.code not in _AGAIN or not left or soon:
            return ended.code
        print(f"starting all {flags.processes} processes again, {left - 1} more times after this", file=sys.stderr)
    raise AssertionError("the last try returns")


def tell(line: str, *, error: bool) -> None:
    """Print a line at once."""
    print(line, file=sys.stderr if error else sys.stdout, flush=True)


def commands(flags) -> list[list[str]]:
    """The command line of each process."""
    script, address = str(_FOLDER / f"{flags.command}.py"), f"127.0.0.1:{launching.free_port()}"
    several = ["--coordinator", address, "--processes", str(flags.processes)]
    return [[sys.executable, script, *flags.flags, *several, "--process", str(n)] for n in range(flags.processes)]


if __name__ == "__main__":
    console.run(main)
