"""Fail when a test was skipped that may not be: `skips.py REPORT.xml`, with a report of pytest's --junitxml.

A skipped test proves nothing, and on a machine that lacks something all of them can be skipped without anyone noticing.
"""

from __future__ import annotations

import fnmatch
import sys
import xml.etree.ElementTree as ElementTree

# Patterns of `module::test`, each with the reason why CI cannot run it. Keep this short.
ALLOWED: tuple[str, ...] = ()


def main(report: str) -> int:
    """Print each skipped test that is not allowed; 1 if there are any, or if nothing ran at all."""
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    skipped = {}
    for case in cases:
        mark = case.find("skipped")
        # An expected failure is reported as skipped too, but it did run.
        if mark is not None and mark.get("type") != "pytest.xfail":
            skipped[f"{case.get('classname')}::{case.get('name')}"] = mark.get("message", "")
    forbidden = {n: why for n, why in skipped.items() if not any(fnmatch.fnmatch(n, p) for p in ALLOWED)}
    for name, why in forbidden.items():
        print(f"skipped, and not on the list in .ci/skips.py: {name}: {why}")
    ran = len(cases) - len(skipped)
    print(f"{ran} tests ran, {len(skipped)} were skipped, {len(forbidden)} of these may not be")
    return 1 if forbidden or not ran else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
