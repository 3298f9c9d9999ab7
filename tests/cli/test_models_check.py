import json
import subprocess
import sys

import pytest

from evolute.cli.models import lines, to_json
from evolute.models.probe import Report
from evolute.recipe import Price


def run(*arguments):
    command = [sys.executable, "-m", "evolute", "models", "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_check_fits_on_a_screen_and_speaks_json(server):
    shown = run("--base-url", server, "--model", "m")
    assert shown.returncode == 0
    assert len(shown.stdout.splitlines()) <= 24
    assert "json_schema: honoured" in shown.stdout
    assert "measuring speed" in shown.stderr
    found = json.loads(run(server, "--json").stdout)
    assert found["model"] == "m"
    assert found["constraints"]["grammar"] == "honoured"


def test_an_unknown_model_is_one_message_and_a_status(server):
    failed = run(server, "nobody")
    assert failed.returncode == 3
    assert "It offers: m" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_an_unknown_price_is_said_to_be_unknown():
    report = Report("http://h/v1", "m", "chat")
    assert "unknown" in dict(lines(report))["price"]
    report.price = Price(input=0.15, output=0.6)
    assert dict(lines(report))["price"] == "$0.15 in, $0.6 out per million tokens"
    assert json.loads(to_json(report))["price"]["output"] == 0.6


@pytest.mark.parametrize(
    ("constraints", "best"),
    [
        ({"json_schema": "honoured", "grammar": "honoured"}, "auto"),
        ({"json_schema": "ignored", "grammar": "honoured"}, "grammar"),
        ({"json_schema": "ignored", "grammar": "refused"}, "none"),
    ],
)
def test_the_recipe_line_names_what_works(constraints, best):
    report = Report("http://h/v1", "m", "chat", constraints=constraints)
    assert dict(lines(report))["in a recipe"] == f"constrain: {best}"
