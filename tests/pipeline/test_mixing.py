"""Mixing by what the rows do not have."""

import pytest

from evolute import api
from evolute.errors import InputError

SCRIPTED = {"models.default.api": "scripted", "models.default.model": "scripted"}


def test_a_mixture_by_difficulty_needs_marks(tmp_path, seeds_file):
    api.evolve(str(seeds_file(4)), out=tmp_path / "run", recipe="wizardlm", settings=SCRIPTED | {"evolve.rounds": 1})
    by = {"select.mixture": {"by": "difficulty", "rows": 3}}
    with pytest.raises(InputError, match=r"no row that passed has a mark: set select\.grade\.difficulty to true"):
        api.select(tmp_path / "run", settings=by)
    assert api.select(tmp_path / "run", settings=by | {"select.grade.difficulty": True}).kept == 3
