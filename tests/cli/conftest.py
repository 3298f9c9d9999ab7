"""What the tests of the command line share: a server in a process of its own."""

import subprocess
import sys

import pytest


@pytest.fixture
def server():
    """The address of a loopback server whose model is called m."""
    command = [sys.executable, "-m", "evolute.models.loopback", "--model", "m"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
