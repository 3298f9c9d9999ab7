"""What all tests share: a clean environment, and a real server in a process of its own."""

import os
import subprocess
import sys

import orjson
import pytest


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    """No key and no proxy of the machine's reaches a test."""
    for name in list(os.environ):
        if name.endswith("_API_KEY") or name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def seeds_file(tmp_path):
    """Writes so many seeds as JSONL; every third has a response."""

    def write(count, name="seeds.jsonl"):
        path = tmp_path / name
        rows = [
            {"instruction": f"Explain how a class of {n + 2} pupils can share {n + 7} apples fairly."}
            | ({"output": f"Give each pupil a fair part, {n}."} if n % 3 == 0 else {})
            for n in range(count)
        ]
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        return path

    return write


@pytest.fixture
def evolute_command():
    """Runs the command line as a user would, in a process."""

    def run(*arguments, **options):
        command = [sys.executable, "-m", "evolute", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)

    return run
