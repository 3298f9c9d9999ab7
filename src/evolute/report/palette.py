"""The report's colours: one table, from which the page, the SVG files and the PNG files take theirs.

A role is what a mark means, never what it looks like. No meaning rests on a colour alone: rounds have markers, lines
have dashes, cells have numbers, changes have <ins> and <del>.
"""

from __future__ import annotations

ROUND_ROLES = 6
"""Rounds that have a colour and a marker of their own; later ones share the last."""

# role: (on a light ground, on a dark one)
COLOURS = {
    "paper": ("#fcfbf8", "#16181c"),
    "card": ("#ffffff", "#1d2025"),
    "ink": ("#22211f", "#e9e7e2"),
    "muted": ("#66645f", "#a3a19b"),
    "grid": ("#e4e1da", "#34383f"),
    "accent": ("#1f6f78", "#63c3c9"),
    "gone": ("#b3472d", "#f08a6b"),
    "kept-ground": ("#ddefea", "#1d3d3a"),
    "gone-ground": ("#f8e3dc", "#47261e"),
    "seed": ("#c65d12", "#f4a259"),
    "r1": ("#3f9f8f", "#2fa294"),
    "r2": ("#2c87a3", "#4bb3d1"),
    "r3": ("#2b679f", "#6ea6ea"),
    "r4": ("#414694", "#9a9bf6"),
    "r5": ("#5b2f83", "#c095f3"),
    "r6": ("#451c55", "#e3a8ec"),
    "v0": ("#2b679f", "#5d95d6"),
    "v1": ("#1f7f78", "#46ada4"),
    "v2": ("#8a6410", "#c9a04a"),
    "v3": ("#a34a2f", "#dd8468"),
    "v4": ("#6a4795", "#a486cf"),
    "on-fill": ("#ffffff", "#101215"),
}

OPACITY = {"band-wide": 0.18, "band": 0.34, "ghost": 0.25, "soft": 0.55}
"""Roles that are the accent (bands) or another colour, seen through."""


def variables() -> str:
    """The colours as CSS custom properties, for light and for dark."""
    light, dark = ("".join(f"--{role}:{colours[column]};" for role, colours in COLOURS.items()) for column in (0, 1))
    return f":root{{color-scheme:light dark;{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def classes() -> str:
    """What the classes of a drawing's marks look like: `f-ROLE` fills with a colour, `s-ROLE` strokes with it."""
    fills = "".join(f".f-{role}{{fill:var(--{role})}}" for role in COLOURS)
    strokes = "".join(f".s-{role}{{stroke:var(--{role});fill:none}}" for role in COLOURS)
    seen_through = "".join(f".o-{role}{{opacity:{value}}}" for role, value in OPACITY.items())
    edge = ".e-paper{stroke:var(--paper);stroke-width:1px}"
    halo = ".halo{paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round}"
    return f"{fills}{strokes}{seen_through}{edge}{halo}"


def round_role(round_: int) -> str:
    """The role of a round's marks; 0 is the seeds."""
    return f"r{min(round_, ROUND_ROLES)}" if round_ else "seed"
