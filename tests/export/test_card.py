"""The dataset card: what it says, that the hub's library reads it, and that no text of others takes effect in it."""

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evolute.export import CardFacts, dataset_card, export_folder
from evolute.export.card import known_limits, unchanged
from evolute.records import Row

FACTS = CardFacts(
    name="Little questions",
    license="cc-by-4.0",
    seed_license="CC0",
    languages=("en", "no"),
    version="0.1.0",
    recipe_name="wizardlm",
    recipe="rounds: 2\nrespond: all\n",
    models=(("evolver", "big-model"), ("responder", "small_model")),
    model_terms={"big-model": "output may train other models"},
    sources=("seeds.jsonl",),
    seeds=100,
    unfinished=3,
    by_round=((1, 80, 20), (2, 60, 20)),
    dropped={"too-short": 10, "near-duplicate": 30},
    selection_dropped={"contaminated": 2},
    calls=400,
    prompt_tokens=12_345,
    completion_tokens=6_789,
    cost=1.25,
    corpora_checked=("GSM8K", "MBPP"),
    corpora_not_checked=("MMLU",),
    splits={"train": 95, "validation": 5},
    files="*.parquet",
)

SNAPSHOT = """\
---
pretty_name: Little questions
license: cc-by-4.0
language:
- en
- 'no'
task_categories:
- text-generation
size_categories:
- n<1K
tags:
- synthetic
- instruction-tuning
- evol-instruct
- evolute
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
  - split: validation
    path: data/validation-*.parquet
---

# Little questions

Made with Evolute 0.1.0 by Evol-Instruct, after the recipe wizardlm: language models rewrote seed instructions into \
harder or rarer ones, round by round, and answered them; what failed a check was dropped, with its reason. **All but \
the seeds is synthetic**; round 0 is the seeds, with their own responses or a model's.

Seeds: 100, from seeds.jsonl.

## Load

```python
from datasets import load_dataset

train = load_dataset("path/to/this/folder", split="train")
```

| split | rows |
| --- | --- |
| train | 95 |
| validation | 5 |

The splits share no seed and no conversation: the hash of a seed's place decides for all of its rows.

## Models and cost

| role | model | terms |
| --- | --- | --- |
| evolver | big-model | output may train other models |
| responder | small\\_model | not stated |

The provider's terms or the model's license may restrict what its output may be used for, training other models \
included. Whoever uses this dataset must check them; nothing here has done so.

Cost: $1.25; 400 calls, 12,345 tokens in and 6,789 out.

## What was kept, and why the rest was not

| round | kept | dropped |
| --- | --- | --- |
| 1 | 80 | 20 |
| 2 | 60 | 20 |

In evolution:

| reason | dropped |
| --- | --- |
| near-duplicate | 30 |
| too-short | 10 |

In selection:

| reason | dropped |
| --- | --- |
| contaminated | 2 |

## Licenses

- this dataset: cc-by-4.0
- the seeds: CC0

## Contamination with benchmarks

- checked against: GSM8K, MBPP
- **not** checked against: MMLU

## Known limits

- No person has checked the responses; they may be wrong, biased or unsafe.
- 3 of 100 seeds were not finished at the time.
- How far the judging model agrees with people was not measured.
- The terms of the models are not stated.

## Recipe

```yaml
rounds: 2
respond: all
```

## Citation
"""


def test_the_card():
    assert dataset_card(FACTS).startswith(SNAPSHOT)


def test_a_card_of_nothing_claims_nothing():
    card = dataset_card(CardFacts())
    assert "license: unknown" in card
    for said in (
        "models are not stated",
        "number of seeds is not stated",
        "Cost: not known",
        "checked against: nothing",
        "this dataset: not stated",
        "the seeds: not stated",
        "No contamination check was made",
    ):
        assert said in card


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unfinished": 0}, "not finished"),
        ({"judge_validation": "0.8 on 300"}, "was not measured"),
        ({"model_terms": {"big-model": "x", "small_model": "y"}}, "terms of the models are not stated"),
    ],
)
def test_a_limit_goes_with_its_cause(change, said):
    assert any(said in limit for limit in known_limits(FACTS))
    assert not any(said in limit for limit in known_limits(replace(FACTS, **change)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"small_model": "SmolLM2"}, "SmolLM2 is a very small model"),
        ({"bad_rows": 7}, "7 rows of the sources could not be read"),
        ({"unanswered": 4}, "4 rows have no response"),
        ({"selection_dropped": None}, "Near duplicates and low quality were not looked for"),
        ({"corpora_checked": ()}, "No contamination check was made"),
        ({"seed_license": ""}, "license of the seeds is not stated"),
        ({"limits": ("All is *in* French.",)}, r"All is \*in\* French."),
    ],
)
def test_a_limit_comes_with_its_cause(change, said):
    assert not any(said in limit for limit in known_limits(FACTS))
    assert any(said in limit for limit in known_limits(replace(FACTS, **change)))


EVIL = [
    "<script>alert(1)</script>",
    "a\n---\nlicense: mit\n",
    "a | b | c",
    "[click](https://x.example)",
    "![](https://x.example/pixel.png)",
    "```\n# free\n```",
    "x: [y, {z",
    "\x1b[2J\u202etxt",
    "=HYPERLINK(1)",
    "--> <!-- evolute card-1 00 -->",
]


def everywhere(text: str) -> CardFacts:
    return CardFacts(
        name=text, license=text, seed_license=text, languages=(text,), tags=(text,), version=text, method=text,
        recipe_name=text, recipe=text, models=((text, text),), model_terms={text: text}, small_model=text,
        sources=(text,), seeds=1, dropped={text: 1}, selection_dropped={text: 2}, corpora_checked=(text,),
        corpora_not_checked=(text,), judge_validation=text, limits=(text,), repository=text, validation=text,
        figures={text: text}, splits={"train": 1, "validation": 1},
    )  # fmt: skip


@given(st.sampled_from(EVIL) | st.text(max_size=60))
def test_no_text_takes_effect(text):
    card = dataset_card(everywhere(text))
    front, body = card.split("\n---\n", 1)
    meta = yaml.safe_load(front.removeprefix("---\n"))
    assert list(meta) == [key for key in ("pretty_name", "license", "license_name", "language", "task_categories",
                                          "size_categories", "tags", "configs") if key in meta]  # fmt: skip
    assert meta["license"] in ("other", "unknown", text.strip().lower())
    assert unchanged(card)
    outside = without_code(body)
    assert outside.count("<!--") == 1  # our own signature
    for mark in ("<script", "](https", "\x1b", "\u202e"):
        assert mark not in outside
    headings = [line for line in outside.splitlines() if line.startswith("#")]
    assert len(headings) == len(set(headings)) == 9 + bool(text.strip())  # an empty recipe has no section


def without_code(body: str) -> str:
    """The card without its fenced blocks, in which nothing takes effect."""
    kept, fence = [], ""
    for line in body.splitlines():
        run = line[: len(line) - len(line.lstrip("`"))]
        if not fence and len(run) >= 3:
            fence = run
        elif fence and line == fence:
            fence = ""
        elif not fence:
            kept.append(line)
    assert not fence
    return "\n".join(kept)


@pytest.mark.parametrize("text", EVIL)
def test_the_hubs_own_library_reads_it(text):
    hub = pytest.importorskip("huggingface_hub", reason="the extra `parquet` is not installed")
    data = hub.DatasetCard(dataset_card(everywhere(text))).data
    assert data.license == "other"
    assert [one["split"] for one in data.to_dict()["configs"][0]["data_files"]] == ["train", "validation"]


def test_a_changed_card_is_noticed():
    card = dataset_card(FACTS)
    assert unchanged(card)
    assert not unchanged(card.replace("Little", "Large"))
    assert not unchanged(card + "More.\n")
    assert not unchanged("# Mine\n")


def test_figures_lie_in_the_folder_and_on_the_card(tmp_path):
    (tmp_path / "length-by-round.png").write_bytes(b"\x89PNG")
    row = Row("s1-a", "", "s1-a", 0, "", "Add.", "", "5", "", (), "", "", "", "seeds.jsonl", 3)
    facts = replace(CardFacts(), figures={"length-by-round.png": "Length by round"})
    export_folder([row], "rows", tmp_path / "s", container="jsonl", facts=facts,
                  figures=[tmp_path / "length-by-round.png"])  # fmt: skip
    assert (tmp_path / "s" / "figures" / "length-by-round.png").read_bytes() == b"\x89PNG"
    assert "![Length by round](<figures/length-by-round.png>)" in (tmp_path / "s" / "README.md").read_text()
