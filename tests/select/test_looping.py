"""Small models loop: no rule may go back and forth in what they say. One such row would hold up a whole selection."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("detect_secrets", reason="personal data and secrets need the select extra")
PROGRAM = Path(__file__).with_name("looping.py")
LIMIT = 120
"""Seconds for all texts together, where nothing grows: some 30 on a free processor."""


@pytest.mark.slow
def test_the_cost_of_a_looping_text_grows_with_its_length_alone():
    """Apart from this process: an exponential pattern would not come back, and cannot be interrupted."""
    with subprocess.Popen([sys.executable, PROGRAM], stdout=subprocess.PIPE, text=True, cwd=PROGRAM.parent) as program:
        try:
            told, _ = program.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            program.kill()
            told, _ = program.communicate()
            pytest.fail(f"still busy after {LIMIT} s with {told.splitlines()[-1]}")
    assert program.returncode == 0
    grown = told.partition("grown:\n")[2].splitlines()
    assert grown == []
