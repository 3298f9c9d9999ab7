import asyncio
import io
from collections import Counter

import pytest
from rich.console import Console

from evolute.cli.live import LiveView, Rates, line, panel
from evolute.evolve.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def progress(**changes) -> Progress:
    fields = {
        "seeds_done": 12, "seeds_total": 100, "kept": 34, "calls": 1234, "prompt_tokens": 5000,
        "completion_tokens": 700, "in_flight": 7, "limit": 16, "last": "Write a poem.",
        "dropped": Counter({"unchanged": 8, "refusal": 4}),
    }  # fmt: skip
    return Progress(**(fields | changes))


def drawn(state: Progress, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(panel(state, Rates(), 83.4))
    return console.file.getvalue()


def test_rates_are_those_of_the_last_seconds():
    rates, state = Rates(), progress(calls=0, completion_tokens=0)
    for second in range(21):
        rates.look(second, state)
        state.calls += 1 if second < 10 else 100
        state.completion_tokens += 50
    assert rates.per_second == (100.0, 50.0)


def test_one_look_gives_no_rate():
    rates = Rates()
    rates.look(0.0, progress())
    assert rates.per_second == (0.0, 0.0)


def test_rates_and_time_left_do_not_count_what_earlier_sessions_did():
    rates, state = Rates(), progress(seeds_done=50, calls=1_000_000)
    rates.look(0.0, state)
    assert rates.left(state) is None
    state.seeds_done += 10
    rates.look(20.0, state)
    assert rates.per_second[0] == 0.0
    assert rates.left(state) == 80.0
    state.seeds_total = None
    assert rates.left(state) is None


def test_the_panel_says_all_that_there_is():
    said = drawn(progress(cost=0.0123, recalled=5, retries=Counter({"rate-limited": 3}), note="stopping"))
    for part in (
        "12/100 (12%)", "34", "12 (unchanged 8, refusal 4)", "7 of 16 in flight", "rate-limited 3", "$0.0123",
        "1,234 calls (5 more recalled)", "5,000 tokens in, 700 out", "0:01:23", "stopping", "Write a poem.",
    ):  # fmt: skip
        assert part in said


def test_an_unknown_cost_and_an_unknown_total_are_said_so():
    said = drawn(progress(cost=None, seeds_total=None))
    assert "unknown;" in said
    assert "12/?" in said
    assert "$" not in said
    assert "0/0" in drawn(progress(seeds_done=0, seeds_total=0))


def test_only_the_most_frequent_reasons_are_named():
    said = drawn(progress(dropped=Counter({f"reason-{n}": n for n in range(1, 10)})), width=200)
    assert "45 (reason-9 9, reason-8 8, reason-7 7, reason-6 6, reason-5 5, reason-4 4, others 6)" in said


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_panel_keeps_to_the_terminals_width(width):
    state = progress(last="Long 日本語 words\n" * 99, dropped=Counter({"no-information-gain" * 3: 1}), note="n " * 99)
    assert all(Console().measure(row).maximum <= width for row in drawn(state, width).splitlines())


def test_what_a_model_said_steers_no_terminal():
    said = drawn(progress(last="a\x1b[2Jb\x07 [bold]c[/bold]\nd", note="\x1b]0;x"))
    assert "\x1b" not in said
    assert "\x07" not in said
    assert r"a\x1b[2Jb\x07 [bold]c[/bold] d" in said


def test_a_line_is_one_line():
    said = line(progress(note="stop\nping \x1b[2J", retries=Counter({"overloaded": 1})), Rates(), 3605)
    assert said == (
        "[1:00:05] 12/100 (12%) seeds; kept 34; dropped 12 (unchanged 8, refusal 4); "
        r"0.0 calls/s, 0 tokens/s, 7 of 16 in flight; retries overloaded 1; cost unknown; stop ping \x1b[2J"
    )


async def shown(stream: io.StringIO, looks: int) -> str:
    """What a view writes until it has looked so many times, and once more at the end."""
    enough, seen = asyncio.Event(), []

    def refresh() -> None:
        seen.append(1)
        if len(seen) == looks:
            enough.set()

    async with asyncio.timeout(20):
        with LiveView(progress(), stream, refresh=refresh):
            await enough.wait()
            await asyncio.sleep(0)  # the look that was awaited is shown after it
    return stream.getvalue()


async def test_where_there_is_no_terminal_it_writes_plain_lines():
    lines = (await shown(io.StringIO(), 2)).splitlines()
    assert len(lines) == 2  # one after a second, one at the end
    assert all(" 12/100 (12%) seeds; " in one for one in lines)
    assert "\x1b" not in "".join(lines)


async def test_on_a_terminal_it_draws_and_gives_the_cursor_back(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    said = await shown(Terminal(), 3)
    assert said.count("12/100") >= 3
    assert said.index("\x1b[?25l") < said.rindex("\x1b[?25h")


async def test_a_dumb_terminal_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with LiveView(progress(), stream):
        pass
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


async def test_an_error_inside_ends_the_view_and_passes_through():
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), LiveView(progress(), stream, plain=True):
        raise KeyboardInterrupt
    assert len(stream.getvalue().splitlines()) == 1
