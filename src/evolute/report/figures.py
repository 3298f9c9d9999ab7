"""A page's figures as files beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from evolute.errors import InputError, MissingExtra
from evolute.files import replacing
from evolute.report.drawing import Drawing

FIGURES = "figures"
"""The folder's name."""


def write_figures(folder: Path, figures: Mapping[str, Drawing], names: Collection[str]) -> None:
    """Each figure as SVG and PNG; of `names`, all that an earlier page may have written, those that are no more go.

    Raises:
        InputError: the folder cannot be written.
        MissingExtra: matplotlib is not installed.
    """
    try:
        from evolute.report.raster import write_png

        folder.mkdir(exist_ok=True)
        for gone in set(names) - figures.keys():
            for suffix in ("svg", "png"):
                (folder / f"{gone}.{suffix}").unlink(missing_ok=True)
        for name, drawing in figures.items():
            with replacing(folder / f"{name}.svg") as file:
                file.write(drawing.svg(alone=True).encode())
            with replacing(folder / f"{name}.png") as file:
                write_png(drawing, file)
    except ImportError:
        raise MissingExtra("the figures", "report") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from error
