"""The figures that go onto a dataset's card: those of the report of the run as it stands, and no others."""

from functools import partial

import pytest
from report_runs import Hashing, evolved

from evolute import api
from evolute.errors import InputError
from evolute.pipeline.publishing import CAPTIONS, figures_of, publish_folder
from evolute.pipeline.reporting import report
from evolute.report.writing import FIGURE_NAMES

CHEAP = {"select.duplicates.near": None, "select.duplicates.semantic": None, "select.contamination.check": "ignore"}


@pytest.fixture
def grow(tmp_path):
    return partial(evolved, tmp_path)


def test_every_figure_has_a_caption_and_no_other_has():
    assert set(CAPTIONS) == {f"{name}.png" for name in FIGURE_NAMES}


def test_figures_of_an_earlier_state_are_not_published(grow):
    run = grow(4, evolve__rounds=1)
    assert figures_of(run) == []
    report(run, encoder=Hashing())
    assert {path.name for path in figures_of(run)} >= {"funnel.png", "difficulty.png"}

    grow(4, "Write one more instruction about rivers and their bridges.", evolve__rounds=1)
    assert figures_of(run) == [], "it evolved further"
    api.select(run, settings=CHEAP)
    publish_folder(run)
    assert not (run / "dataset" / "figures").exists()
    assert "figures/" not in (run / "dataset" / "README.md").read_text(encoding="utf-8")

    report(run, encoder=Hashing())
    (run / "figures" / "mine.png").write_bytes(b"")
    publish_folder(run)
    published = {path.name for path in (run / "dataset" / "figures").iterdir()}
    assert published == {path.name for path in figures_of(run)} >= {"funnel.png"}
    assert "mine.png" not in published

    api.select(run, settings=CHEAP | {"select.mixture.rows": 2})
    assert figures_of(run) == [], "the selection is another"
    api.select(run, settings=CHEAP | {"select.mixture.rows": None})
    assert figures_of(run), "the selection is the same again"


def test_a_report_that_fails_half_way_leaves_no_figures_for_a_card(grow):
    run = grow(3, evolve__rounds=1)
    report(run, encoder=Hashing())
    (run / "report.html").unlink()
    (run / "report.html").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        report(run, encoder=Hashing())
    assert figures_of(run) == []
