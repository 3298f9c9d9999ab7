"""The picture of the loss."""

import math

import pytest

from evolute.errors import InputError
from evolute.train.curve import Point, draw_curve

pytest.importorskip("matplotlib")


def test_a_curve_is_a_picture(tmp_path) -> None:
    trained = [Point(step, 3 * math.exp(-step / 40), 1000 * step) for step in range(1, 101)]
    draw_curve(trained, [Point(50, 1.0), Point(100, 0.5)], tmp_path / "curve.png", title="a $b_ title")
    picture = (tmp_path / "curve.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    draw_curve(trained, [Point(50, 1.0), Point(100, 2.5)], tmp_path / "curve.png", title="a $b_ title")
    assert (tmp_path / "curve.png").read_bytes() != picture


@pytest.mark.parametrize("trained", [[Point(1, 2.0)], [Point(1, 2.0, 0), Point(2, math.nan, 8)], []])
def test_few_points_do(tmp_path, trained) -> None:
    draw_curve(trained, [Point(1, 2.0)], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5000


@pytest.mark.parametrize("trained", [[], [Point(1, math.inf)]])
def test_without_a_loss_there_is_no_picture(tmp_path, trained) -> None:
    with pytest.raises(InputError, match="no loss"):
        draw_curve(trained, [], tmp_path / "curve.png")
    assert not list(tmp_path.iterdir())
