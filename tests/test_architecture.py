"""What no single module can hold true of itself: layers, imports, size, and that the documents tell the truth."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import evolute
from evolute import errors

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "evolute"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = Path(sysconfig.get_path("scripts"))

HEAVY = {
    "torch", "ray", "datasets", "pyarrow", "pandas", "numpy", "transformers", "xllamacpp", "genai_prices",
    "aiohttp", "fastapi", "starlette", "flask", "uvicorn", "gradio",
}  # fmt: skip
MOST_LINES = 400


def name_of(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


def test_imports_go_downwards_only():
    told = subprocess.run(
        [SCRIPTS / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


def imported_by(*arguments: str | Path) -> tuple[str, set[str]]:
    """What Python says on these arguments, and the names of the packages that it imports meanwhile."""
    command = [sys.executable, "-X", "importtime", *arguments]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in told.stderr.splitlines()}
    assert "evolute" in imported, "the import times could not be read"
    return told.stdout, imported


def test_help_imports_nothing_heavy():
    shown, imported = imported_by(SCRIPTS / "evolute", "--help")
    assert "evolve" in shown
    assert imported & HEAVY == set()


@pytest.mark.parametrize("command", ["runs", "export", "compare", "merge", "evolve"])
def test_commands_import_what_is_heavy_only_once_they_need_it(command):
    _, imported = imported_by("-c", f"import evolute.cli.{command}")
    assert imported & HEAVY == set()


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_every_module_says_what_it_is(module: Path):
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))


def test_modules_fit_in_the_head():
    lengths = {name_of(module): len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_the_error_tree_is_the_one_drawn():
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if branch := re.match(r"([│├└─ ]*)(\w+)(?: {2,}|$)", line):
            depth = len(branch[1]) // 4
            above[depth:] = [branch[2]]
            drawn[branch[2]] = above[depth - 1] if depth else "Exception"
    defined = {
        name: kind.__bases__[0].__name__
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__
    }
    assert drawn == defined


def annotated_tree() -> tuple[set[str], set[str]]:
    """The folders and the modules under `src/evolute/` that the README's tree names.

    A folder opens its line (`models/  the seam…`) and is nested by indentation; a module may stand anywhere in a line,
    and belongs to the folder that opens it, or else to the one above it.
    """
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    tree = next((block for block in blocks if "src/evolute/" in block), "")
    assert tree, "README.md has no fenced block with src/evolute/ in it"
    folders: set[str] = set()
    modules: set[str] = set()
    above: list[tuple[int, str]] = []
    for line in tree.splitlines():
        bare = re.sub(r"[│├└─]", " ", line)
        indent = len(bare) - len(bare.lstrip())
        while above and above[-1][0] >= indent:
            above.pop()
        if (opens := re.match(r"\s*([\w./-]+)/(?=\s|$)", bare)) and (above or opens[1] == "src/evolute"):
            above.append((indent, f"{above[-1][1]}/{opens[1]}" if above else opens[1]))
            folders.add(above[-1][1])
        if above:
            modules |= {f"{above[-1][1]}/{module}" for module in re.findall(r"(?<![\w/])\w+\.py\b", bare)}
    return folders, modules


def test_the_readme_lists_every_module():
    folders, modules = annotated_tree()
    relative = {module.relative_to(ROOT).as_posix() for module in MODULES}
    untold = {name for name in relative if name.endswith(("/__init__.py", "/__main__.py"))}
    assert relative - untold - modules == set(), "not in the README's tree"
    assert {Path(name).parent.as_posix() for name in relative} - folders == set(), "not in the README's tree"


def test_the_readme_lists_nothing_that_is_not_there():
    folders, modules = annotated_tree()
    assert {name for name in folders if not (ROOT / name).is_dir()} == set()
    assert {name for name in modules if not (ROOT / name).is_file()} == set()


def test_one_version_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    latest = re.search(r"^## \[?(\d[\w.]*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert latest, "CHANGELOG.md has no version heading (## 1.2.3)"
    assert latest[1] == project == evolute.__version__
