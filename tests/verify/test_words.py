"""A verification in words."""

import orjson

from evolute.verify import in_words

TRIAL = {
    "tests": 2, "checks": 3, "runs": 26, "trivial": 12, "accepted": [], "mutants": 12, "survivors": ["line 2: x"],
    "branches": 5, "taken": 4, "together": False, "seconds": 0.413, "mutation_score": 11 / 12, "coverage": 0.8,
}  # fmt: skip


def note(**fields):
    plain = {"verified": True, "reason": "", "evidence": {}, "repairs": 0, "tests": "", "trial": TRIAL}
    return orjson.dumps(plain | fields).decode()


def test_what_was_verified_says_by_what():
    assert in_words(note()) == (
        "verified: 2 tests with 3 assertions, 12 of 12 trivial programs rejected, 11 of 12 mutants rejected, "
        "4 of 5 branches reached; 26 runs in 0.41 s"
    )
    assert in_words(note(repairs=1)).startswith("verified after 1 repair: ")


def test_what_was_not_says_why():
    evidence = {"outcome": "failed", "detail": "line 3: AssertionError"}
    said = in_words(
        note(verified=False, reason="tests-failed", evidence=evidence, repairs=2, trial=TRIAL | {"runs": 1})
    )
    assert said.startswith(
        "not verified after 2 repairs: tests-failed (outcome: failed; detail: line 3: AssertionError)"
    )
    assert said.endswith("1 run in 0.41 s")
    broken = in_words(note(verified=False, reason="tests-failed", evidence=evidence, trial=TRIAL | {"runs": 0}))
    assert broken == "not verified: tests-failed (outcome: failed; detail: line 3: AssertionError)"
    missing = in_words(note(verified=False, reason="not-python", evidence={"languages": ["c"]}, trial=None))
    assert missing == "not verified: not-python (languages: c)"


def test_a_long_error_is_cut():
    assert len(in_words(note(verified=False, reason="tests-failed", evidence={"detail": "x" * 9999}, trial=None))) < 400


def test_where_nothing_was_to_be_verified_nothing_is_said():
    assert in_words("") == ""
