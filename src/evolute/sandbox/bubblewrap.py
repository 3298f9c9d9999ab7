"""How a process is shut in: the command line of bubblewrap, and which Python it starts."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from evolute.errors import InputError, SandboxUnavailable

NOBODY = "65534"
_SYSTEM_PYTHON = "/usr/bin/python3"
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0",
    # Libraries of linear algebra start a thread for each core, each with a stack of its own.
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python for the sandbox: its executable, and the folder (if outside /usr) that must be seen for it to start."""

    executable: str
    prefix: str = ""


def choose_python(wanted: str | None) -> Interpreter:
    """The Python asked for; else the one that Evolute runs on; else the system's, where nobody else can read the first.

    Raises:
        InputError: there is no such file.
        SandboxUnavailable: no Python can be read by an unprivileged user.
    """
    if wanted is not None:
        found = shutil.which(wanted)
        if found is None:
            raise InputError(f"the sandbox's Python {wanted!r} is no program: give the path of one")
        return _interpreter(os.path.realpath(found))
    own = _interpreter(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    if os.getuid() != 0 or _readable_by_all(own.executable):
        return own
    if os.access(_SYSTEM_PYTHON, os.X_OK):
        return _interpreter(os.path.realpath(_SYSTEM_PYTHON))
    raise SandboxUnavailable(
        f"programs run as an unprivileged user, who cannot read {own.executable}, and there is no {_SYSTEM_PYTHON}. "
        "Install one with: apt-get install python3, or run Evolute as an ordinary user"
    )


def _interpreter(executable: str) -> Interpreter:
    prefix = str(Path(executable).parent.parent)
    return Interpreter(executable, "" if prefix.startswith("/usr") or prefix == "/" else prefix)


def _readable_by_all(path: str) -> bool:
    return Path(path).stat().st_mode & 0o5 == 0o5 and all(folder.stat().st_mode & 0o1 for folder in Path(path).parents)


def command(interpreter: Interpreter, files: int, seccomp: int, packages: tuple[str, ...]) -> list[str]:
    """The command that shuts one Python in; `seccomp` is the descriptor to read the filter from.

    Raises:
        SandboxUnavailable: bubblewrap, or what else it needs, is not installed.
    """
    return [
        *_unprivileged(), _bubblewrap(),
        "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
        "--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox",
        "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv",
        *(part for name, value in _ENVIRONMENT.items() for part in ("--setenv", name, value)),
        *_system(), *(("--ro-bind", interpreter.prefix, interpreter.prefix) if interpreter.prefix else ()),
        *(part for path in packages for part in ("--ro-bind", path, f"/packages/{Path(path).name}")),
        "--dev-bind", "/dev/null", "/dev/null",
        "--size", str(files), "--tmpfs", "/tmp", "--chdir", "/tmp",
        "--remount-ro", "/",  # bubblewrap's own root is a folder in memory, which could be filled
        "--seccomp", str(seccomp), "--", interpreter.executable,
    ]  # fmt: skip


@cache
def _unprivileged() -> tuple[str, ...]:
    """No limit on processes binds root, and root's files are root's: so root becomes nobody first."""
    if os.getuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise SandboxUnavailable(
            "as root, programs are run as nobody, by setpriv, which is missing. Install it with: apt-get install "
            "util-linux, or run Evolute as an ordinary user"
        )
    return (setpriv, "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--no-new-privs")


@cache
def _bubblewrap() -> str:
    if sys.platform != "linux":
        raise SandboxUnavailable(
            f"programs that models write are only run on Linux, shut in by bubblewrap; this is {sys.platform}. Run "
            "Evolute in a Linux machine, virtual machine or WSL 2, or take the risk with --unsafe-sandbox"
        )
    found = shutil.which("bwrap")
    if found is None:
        raise SandboxUnavailable(
            "bubblewrap is missing, and no untrusted program is run without it. Install it with: apt-get install "
            "bubblewrap (Debian, Ubuntu) or dnf install bubblewrap (Fedora)"
        )
    return found


@cache
def _system() -> tuple[str, ...]:
    """The system's programs and libraries, read-only; of /etc, only where the libraries are."""
    said = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "lib", "lib32", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            said += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            said += ["--ro-bind", str(path), str(path)]
    if Path("/etc/ld.so.cache").exists():
        said += ["--ro-bind", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    return tuple(said)
