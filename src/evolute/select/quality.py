"""Quality: what is wrong with single rows, by rules that cost microseconds and say what they found.

Every rule sees one row alone, so the result does not depend on the order of rows. The phrases that rules look for are
English for the most part; on what they cannot read they stay silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from evolute.records import Finding, Reason, Row
from evolute.select.answers import boilerplate, language, leak, no_answer
from evolute.select.endings import truncation
from evolute.select.exchange import Exchange
from evolute.select.findings import Hit, Hits
from evolute.select.formats import missing_format
from evolute.select.private import private_data
from evolute.select.repetition import repetition, wants_repeats

Rule = Callable[[Exchange], Iterable[Finding]]
_PRIVATE = frozenset({Reason.PERSONAL_DATA, Reason.SECRET})
_SHOW_TEXT = frozenset({Reason.RESPONSE_TRUNCATED, Reason.REPETITION})

VERSION = 2
"""Raised with every change by which a rule can find something else: what a run has measured before is then stale."""


class Quality:
    """Measures rows as they come; memory grows with what is found only.

    Args:
        languages: look for answers in another language than their instruction; the first doubtful row loads a language
            model of 50 MB.
        private: look for personal data and secrets.

    Raises:
        MissingExtra: `private` needs the `select` extra.
    """

    def __init__(self, *, languages: bool = True, private: bool = True) -> None:
        self._rules: list[Rule] = [_answer, _leak, _loops]
        if languages:
            self._rules.append(_language)
        if private:
            self._rules.append(private_data())
        self._hits: list[Hit] = []
        self._count = 0

    def add(self, rows: Iterable[Row]) -> None:
        """Measure the next rows."""
        for row in rows:
            exchange = Exchange(row)
            findings = [finding for rule in self._rules for finding in rule(exchange)]
            if findings:
                self._hits += _hits(self._count, findings)
            self._count += 1

    def hits(self) -> Hits:
        """What was found so far. A score is 1, or less where a rule knows degrees: it is in its evidence too."""
        return Hits(self._count, list(self._hits))


def quality(rows: Iterable[Row], *, languages: bool = True, private: bool = True) -> Hits:
    """What is wrong with each of a stream of rows; see `Quality`."""
    measured = Quality(languages=languages, private=private)
    measured.add(rows)
    return measured.hits()


def _hits(row: int, findings: Sequence[Finding]) -> Iterator[Hit]:
    """The findings as hits. Where a row holds something private, no evidence shows a piece of its text."""
    private = any(finding.reason in _PRIVATE for finding in findings)
    for finding in findings:
        evidence = dict(finding.evidence)
        if private and finding.reason in _SHOW_TEXT:
            evidence["words"] = "(not shown: the row holds personal data or a secret)"
        yield Hit(row, finding.reason, float(evidence.get("score", 1.0)), evidence)


def _answer(exchange: Exchange) -> Iterator[Finding]:
    """What is wrong with the response: one that is none has no other faults. A row without one is not at fault."""
    if exchange.row.response is None:
        return
    if found := no_answer(exchange):
        yield found
        return
    for rule in (boilerplate, truncation, missing_format):
        if found := rule(exchange):
            yield found


def _leak(exchange: Exchange) -> Iterator[Finding]:
    if found := leak(exchange):
        yield found


def _loops(exchange: Exchange) -> Iterator[Finding]:
    for place, text in (("instruction", exchange.row.instruction), ("response", exchange.response)):
        found = repetition(text)
        if found and not (place == "response" and wants_repeats(exchange.asked_lower)):
            yield Finding(found.reason, {**found.evidence, "in": place})


def _language(exchange: Exchange) -> Iterator[Finding]:
    if found := exchange.response and language(exchange):
        yield found
