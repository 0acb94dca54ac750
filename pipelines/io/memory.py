"""Free memory of this machine and of the group of processes that this one is limited with."""

import os
from pathlib import Path

_GROUPS = (  # limit and use of a control group, versions 2 and 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def free() -> int:
    """Return the bytes that may be taken without pushing others out: the least of what the system and the control group
    say; where neither says anything, half of the machine's memory."""
    found = [value for value in (_available(), *(_left(*paths) for paths in _GROUPS)) if value is not None]
    return min(found) if found else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _available() -> int | None:
    """MemAvailable of /proc/meminfo; None where there is no such file or line."""
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _left(limit: str, used: str) -> int | None:
    """What a control group may still take; None where it has no limit."""
    texts = _text(limit).strip(), _text(used).strip()
    return max(int(texts[0]) - int(texts[1]), 0) if all(text.isdigit() for text in texts) else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
