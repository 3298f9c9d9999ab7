"""What every process of a pool is started with, found and made once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from evolute.errors import SandboxUnavailable
from evolute.sandbox.bubblewrap import Interpreter, choose_python
from evolute.sandbox.seccomp import make_filter

_COMPILE = """
import marshal, sys
codes = []
for part in sys.stdin.buffer.read().decode().split("\\0"):
    name, source = part.split("\\1")
    codes.append((name, compile(source, name, "exec", dont_inherit=True, optimize=2)))
sys.stdout.buffer.write(b"%d.%d\\n" % sys.version_info[:2] + marshal.dumps(codes))
"""
_WORKER = ("values", "worker")


@dataclass(frozen=True, slots=True)
class Blueprint:
    """How a process of the sandbox is made.

    `worker` is the code it starts with, compiled for its own Python; `files` and `output` are bounds in bytes;
    `packages` are folders that it may import from, and `path` is where it finds them. Without `seccomp` (the filter of
    system calls) it is not shut in.
    """

    interpreter: Interpreter
    worker: bytes
    files: int
    output: int
    seccomp: bytes | None
    packages: tuple[str, ...] = ()
    path: tuple[str, ...] = ()


def draw(python: str | None, files: int, output: int, packages: Sequence[str], *, unsafe: bool) -> Blueprint:
    """Find the Python, the filter and the packages (those that fit its version), and compile the worker.

    Raises:
        InputError: the Python asked for does not exist.
        SandboxUnavailable: something is missing.
    """
    interpreter = choose_python(python)
    seccomp = None if unsafe else make_filter()
    sources = "\0".join(f"evolute.sandbox.inside.{name}\1{_source(name)}" for name in _WORKER)
    line = [interpreter.executable, "-I", "-S", "-c", _COMPILE]
    made = subprocess.run(line, input=sources.encode(), capture_output=True, check=False)
    if made.returncode:
        said = made.stderr.decode(errors="replace")[-300:]
        raise SandboxUnavailable(f"{interpreter.executable} cannot run the sandbox's worker: {said!r}")
    version, _, worker = made.stdout.partition(b"\n")
    folders: list[str] = []
    if version.decode() == f"{sys.version_info[0]}.{sys.version_info[1]}":
        folders = [str(folder) for name in packages for folder in _folders(name)]
    path = sorted({str(Path(folder).parent) for folder in folders}) if unsafe else ["/packages"]
    return Blueprint(interpreter, worker, files, output, seccomp, tuple(folders), tuple(path))


def _source(name: str) -> str:
    return (files("evolute.sandbox.inside") / f"{name}.py").read_text("utf-8")


def _folders(package: str) -> list[Path]:
    """The package's folder, and the one beside it with the libraries of its wheel."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent
    return [path for path in (folder, folder.parent / f"{package}.libs") if path.is_dir()]
