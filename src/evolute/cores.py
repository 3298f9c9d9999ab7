"""How much of the machine is ours."""

from __future__ import annotations

import os
import sys


def usable_cores() -> int:
    """The cores this process may use, which in a container is fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
