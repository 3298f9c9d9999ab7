"""Seeds from standard input, in a process as a user's shell starts it."""

import subprocess
import sys

import pytest

from evolute import api

SCRIPTED = ("--recipe", "wizardlm", "--api", "scripted", "--rounds", "1")


@pytest.mark.parametrize("command", ["evolve", "plan"])
def test_a_hyphen_is_standard_input(tmp_path, evolute_command, seeds_file, command):
    piped = seeds_file(3).read_text()
    ended = evolute_command(command, "-", "--out", tmp_path / "run", *SCRIPTED, input=piped)
    assert ended.returncode == 0, ended.stderr
    assert "standard input: JSON Lines" in ended.stderr
    assert api.status(tmp_path / "run").seeds == 3


@pytest.mark.parametrize("mistyped", [["--roundz=1"], ["--roundz", "1"], ["-x"], ["seeds.jsonl", "--roundz=1"]])
def test_a_mistyped_option_is_no_file(tmp_path, evolute_command, mistyped):
    ended = evolute_command("evolve", "--out", tmp_path / "run", *mistyped)
    assert ended.returncode == 2
    assert "Unknown option" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_a_process_ends_while_its_reader_still_waits_for_standard_input():
    waits = (
        "import threading\n"
        "from evolute.seeds import SeedReader\n"
        "begun = threading.Event()\n"
        "def read():\n"
        "    begun.set()\n"
        "    next(iter(SeedReader(['-'])))\n"
        "threading.Thread(target=read, daemon=True).start()\n"
        "begun.wait()\n"
        "threading.Event().wait(0.2)\n"  # the reader gets as far as it can: to its wait for input
    )
    with subprocess.Popen([sys.executable, "-c", waits], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.wait(timeout=60) == 0  # with the pipe still open
        assert process.stderr is not None
        assert process.stderr.read() == b""
