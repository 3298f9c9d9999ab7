"""Try, once for each pool, what no program may do: a protection is believed when it was seen to hold."""

from __future__ import annotations

from evolute.errors import SandboxError
from evolute.sandbox.outcomes import Outcome, Ran

PROBE = """
import os
def works(action):
    try:
        action()
    except (OSError, ImportError):
        return False
    return True
def connect():
    import _socket
    _socket.socket()
def leave_folder():
    with open("/evolute-probe", "w"): pass
found = {
    "runs as root": os.getuid() == 0,
    "can start processes": works(os.fork),
    "can open sockets": works(connect),
    "sees other processes": os.path.exists("/proc/1"),
    "sees the system's files": os.path.exists("/etc/passwd"),
    "can write outside its folder": works(leave_folder),
    "has its starter's environment": "SHELL" in os.environ or "USER" in os.environ,
}
print(", ".join(name for name, seen in found.items() if seen))
"""


def check_probe(ran: Ran) -> None:
    """Read what `PROBE` found.

    Raises:
        SandboxError: it did not run, or found a protection missing.
    """
    if ran.outcome is not Outcome.PASSED:
        raise SandboxError(f"the sandbox does not run a program: {ran.outcome}: {ran.detail} {ran.output.strip()!r}")
    found = ran.output.strip()
    if found:
        raise SandboxError(f"the sandbox does not hold here: a program in it {found}")
