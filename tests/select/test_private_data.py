"""Personal data and secrets: what counts as one, how it is masked, and that the order is the text's."""

import base64
import os
import subprocess
import sys

import pytest
from faults import row

from evolute.records import Reason
from evolute.select.quality import quality

pytest.importorskip("detect_secrets", reason="personal data and secrets need the select extra")

# Put together here, so that nobody's scanner takes this file for a leak.
GITHUB = ("ghp_" + "t7Rk2Qw9Zx4Lm8Vb3Nc6Hd1Js5Fg0PyAeUiO", "ghp_" + "Zq8Lw3Xv6Tn1Rb9Kc4Mf7Hs2Jd5Gp0YyEaUiO")
GITLAB = "glpat-" + "q7Zk3Mv8Tr2Wb6Hl9Xc1"
GITLAB_JOB = "glcbt-4f_" + "q7Zk3Mv8Tr2Wb6Hl9Xc1"
STRIPE = ("sk_" + "live_" + "9fKq27ZrTwX4mBvN8cLdH3sJ", "rk_" + "live_" + "3mQz81HtRwY6nCvP5bKfJ9xD")
AWS = "wJ4lrXUt7nFEMIzK7MDqENGbPxRfiCYzQ8RbVk2T"
NPM = "npm_" + "r8Kq3Zt7Wb2Xv9Lm4Nc6Hd1Js5Fg0PyAeUiO"
JSON = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3NDgxOTAifQ."


def found(text):
    hits = quality([row("Why does this fail?", text)], languages=False).hits
    return [(hit.evidence["kind"], hit.evidence["count"], hit.evidence["masked"]) for hit in hits]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{GITHUB[0]} and {GITHUB[1]}, then {GITHUB[0]}", ("GitHub Token", 2, "ghp… (40 characters)")),
        (f"clone with {GITLAB}", ("GitLab Token", 1, "glp… (26 characters)")),
        (f"run with {GITLAB_JOB}", ("GitLab Token", 1, "glc… (29 characters)")),
        (f"aws_secret_key = '{AWS}'", ("AWS Access Key", 1, "wJ4… (40 characters)")),
        (f"//registry.npmjs.org/:_authToken={NPM}", ("NPM tokens", 1, "npm… (40 characters)")),
        ("postgres://anton:Vx93kQzLr7@db.harbourline.net/boats", ("Basic Auth Credentials", 1, "… (10 characters)")),
        (f"Bearer {JSON}{'q7Zk3Mv8Tr2Wb6Hl9Xc1'}", ("JSON Web Token", 1, "eyJ… (44 characters)")),
    ],
)
def test_a_secret_is_counted_and_masked_as_a_whole(text, expected):
    assert found(text) == [expected]


@pytest.mark.parametrize(
    "text", ["ghp_" + "X" * 36, "ghp_" + "your_token_goes_here_and_is_of_length" + "x" * 3, "glpat-" + "x" * 20]
)
def test_a_placeholder_of_a_token_is_none(text):
    assert found(f"export TOKEN={text} and go on") == []


def test_a_token_of_a_thousand_arrays_is_read_to_no_end():
    deep = base64.urlsafe_b64encode(('{"a":' * 9_000).encode()).decode().rstrip("=")
    assert found(f"Bearer {JSON.partition('.')[0]}.{deep}") == []


SCRIPT = """
import sys
sys.path.insert(0, "tests/select")
from test_private_data import GITHUB, STRIPE
from faults import row
from evolute.select.quality import quality
text = " ".join((*STRIPE, *GITHUB, *(f"https://u{n}:{p}@h.net" for n, p in enumerate(("Vx93kQzLr7b", "Ty61mWnBs4")))))
print([(hit.reason.value, dict(hit.evidence)) for hit in quality([row(text, text)], languages=False).hits])
"""


def test_the_same_row_gives_the_same_evidence_in_every_process():
    told = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "2", "3")
    }  # fmt: skip
    assert len(told) == 1
    assert Reason.SECRET.value in told.pop()
