import io

import pytest
from rich.console import Console

from evolute.cli.tree import LineageView, NodeView, draw_lineage


def node(**changes) -> NodeView:
    fields = {
        "id": "i1-b", "parent": "s1-a", "round": 1, "attempt": 0, "operation": "deepening", "instruction": "Deeper.",
        "kept": True, "reason": "", "evidence": "", "response": "An answer.", "prompts": [],
    }  # fmt: skip
    return NodeView(**(fields | changes))


def lineage(*nodes: NodeView, **changes) -> LineageView:
    fields = {"seed_id": "s1-a", "instruction": "Add.", "source": "seeds.jsonl", "line": 3, "response": "5"}
    return LineageView(**(fields | changes), nodes=list(nodes))


def drawn(view: LineageView, *, width: int = 80, encoding: str = "utf-8", prompts: bool = False) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=width, color_system=None, markup=False).print(draw_lineage(view, prompts=prompts))
    file.flush()
    return file.buffer.getvalue().decode(encoding)


FULL = lineage(
    node(),
    node(
        id="i1-c", parent="i1-b", round=2, kept=False, instruction="Sure! Deeper.", response=None,
        reason="commentary", evidence='{"words":"Sure!","score":0.98765}',
    ),
    node(id="i1-d", parent="i1-b", round=2, attempt=1, operation="in-breadth", response=None),
    node(id="i1-e", parent="i1-d", round=3, instruction=None, kept=None, response=None),
)  # fmt: skip


def test_a_lineage_is_a_tree_of_what_came_of_what():
    assert drawn(FULL).splitlines() == [
        "● seed s1-a · seeds.jsonl:3",
        "Add.",
        "→ 5",
        "└── ✓ deepening · round 1 · i1-b",
        "    Deeper.",
        "    → An answer.",
        "    ├── ✗ deepening · round 2 · i1-c · dropped: commentary (words: Sure!, score:",
        "    │   0.988)",
        "    │   Sure! Deeper.",
        "    └── ✓ in-breadth · round 2, attempt 2 · i1-d",
        "        Deeper.",
        "        └── … deepening · round 3 · i1-e · pending",
    ]


def test_an_ascii_terminal_tells_the_same():
    said = drawn(FULL, encoding="ascii", width=100)
    assert said.isascii()
    assert "`-- + deepening - round 1 - i1-b" in said
    assert "x deepening - round 2 - i1-c - dropped: commentary (words: Sure!, score: 0.988)" in said
    assert "? deepening - round 3 - i1-e - pending" in said
    assert r"\u65e5" in drawn(lineage(instruction="日本"), encoding="ascii")


def test_long_texts_are_cut_but_for_the_full_view():
    words = " ".join(f"word{n}" for n in range(500))
    short = drawn(lineage(instruction=words, response=None)).splitlines()
    assert len(short) == 4
    assert short[-1].rstrip().endswith("…")
    assert all(len(row.rstrip()) <= 80 for row in short)
    whole = drawn(lineage(instruction=words, response=None), prompts=True)
    assert "word499" in whole
    assert drawn(lineage(instruction=words), encoding="ascii").splitlines()[3].rstrip().endswith("...")


def test_the_full_view_keeps_lines_and_shows_the_prompts():
    view = lineage(node(instruction="one\ntwo", prompts=[("evolver asked", "[user] Rewrite"), ("evolver said", "x")]))
    assert "one two" in drawn(view)
    assert "Rewrite" not in drawn(view)
    said = [row.strip(" │├└─›\n") for row in drawn(view, prompts=True).splitlines()]
    assert said[-6:] == ["two", "→ An answer.", "evolver asked", "[user] Rewrite", "evolver said", "x"]


@pytest.mark.parametrize("prompts", [False, True])
def test_what_models_and_users_wrote_is_shown_as_it_is_and_steers_nothing(prompts):
    evil = "\x1b]0;owned\x07\x1b[31m\u202e [red]not markup[/red] :smile:\x9b2J"
    view = lineage(
        node(instruction=evil, response=evil, prompts=[("said", evil)]),
        node(id="i1-c", kept=False, reason="refusal", evidence=f'{{"words": "{evil!s}"}}'),
        instruction=evil,
        source=evil,
    )
    said = drawn(view, width=200, prompts=prompts)
    assert not set(said) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert "[red]not markup[/red] :smile:" in said


def test_evidence_is_cut_and_need_not_be_json():
    said = drawn(lineage(node(kept=False, reason="refusal", evidence="x" * 999)), width=400)
    assert f"dropped: refusal ({'x' * 159}…)" in said
    for evidence, shown in (('{"a":[1],"b":2}', "(a: [1], b: 2)"), ("", "dropped: refusal\n"), ("{}", "refusal\n")):
        rows = drawn(lineage(node(kept=False, reason="refusal", evidence=evidence)), width=120).splitlines()
        assert any((row.rstrip() + "\n").rstrip(" ").find(shown) >= 0 for row in rows)


def test_a_candidate_of_unknown_parent_hangs_on_the_seed():
    assert "└── ✓ deepening" in drawn(lineage(node(parent="i1-lost")))


@pytest.mark.parametrize(("width", "rounds"), [(20, 8), (80, 8), (120, 16)])
def test_deep_trees_keep_to_the_width(width, rounds):
    chain = [
        node(id=f"i1-{n}", parent=f"i1-{n - 1}" if n else "s1-a", instruction="日本語 " * 50) for n in range(rounds)
    ]
    rows = drawn(lineage(*chain), width=width).splitlines()
    assert sum("日" in row for row in rows) >= rounds
    assert width == 20 or f"i1-{rounds - 1}" in "".join(row.strip() for row in rows)
