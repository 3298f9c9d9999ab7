"""What of a recipe decides the evolution, and what does not."""

import pytest

from evolute.recipe import Recipe, assign, resolve


def fingerprint(**fields):
    data = Recipe().model_dump(mode="json")
    for path, value in fields.items():
        assign(data, path.split("__"), value)
    return resolve(data).fingerprint()


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "another"}, {"out": "elsewhere"}, {"seeds__files": ["a.jsonl"]}, {"seeds__limit": 3},
        {"select__duplicates__near": 0.9}, {"select__mixture__rows": 5}, {"select__grade__responses": 2},
        {"export__format": "alpaca"}, {"roles__grader__temperature": 1.0}, {"models__embedder": {"model": "e"}},
        {"models__default__base_url": "http://localhost:1/v1"}, {"models__default__concurrency": 3},
        {"models__default__price": {"input": 1, "output": 2}}, {"evolve__operation_folders": ["mine"]},
        {"verify__repairs": 5},  # where nothing is verified
        {"evolve__stop": {"command": "./score.sh {dataset}"}},  # it chooses among rounds, and no verdict depends on it
    ],
)  # fmt: skip
def test_what_does_not_decide_the_evolution_repeats_none_of_it(fields):
    assert fingerprint(**fields) == fingerprint()


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 1}, {"evolve__rounds": 3}, {"evolve__duplicates": True}, {"rules__contamination": 8},
        {"rules__min_words": 2}, {"roles__judge__temperature": 0.5}, {"models__default__model": "another"},
        {"models__default__extra_body": {"top_k": 1}}, {"verify__answers": True},
    ],
)  # fmt: skip
def test_what_decides_the_evolution_makes_another_one(fields):
    assert fingerprint(**fields) != fingerprint()


def test_how_answers_are_verified_decides_where_they_are():
    assert fingerprint(verify__answers=True, verify__repairs=5) != fingerprint(verify__answers=True)
