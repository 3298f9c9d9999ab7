"""The page in a real Chromium: nothing fails, nothing is asked for, and a phone need not scroll sideways."""

import shutil

import pytest
from report_runs import HOSTILE, Hashing, evolved, select_by_hand

from evolute.pipeline.reporting import report

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def page_of_hostile_rows(tmp_path_factory):
    run = evolved(tmp_path_factory.mktemp("browser"), 30, *HOSTILE, evolve__rounds=2)
    select_by_hand(run)
    return report(run, encoder=Hashing())


def test_hostile_rows_do_nothing_on_any_screen(browser, page_of_hostile_rows):
    for width in (1280, 360):
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            tab, said, asked = context.new_page(), [], []
            tab.on("console", lambda message, said=said: said.append(message.text))
            tab.on("pageerror", lambda error, said=said: said.append(str(error)))
            tab.on("dialog", lambda dialog, said=said: (said.append(dialog.message), dialog.dismiss()))
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.goto(page_of_hostile_rows.as_uri())
            tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert tab.evaluate("document.documentElement.scrollWidth") == width
            assert (said, asked) == ([], [page_of_hostile_rows.as_uri()])
            context.close()


def test_it_is_complete_without_its_script(browser, page_of_hostile_rows):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(page_of_hostile_rows.as_uri())
    assert tab.locator("#map figure svg title").count() > 30
    assert tab.locator("#legend .symbol").count() == 3
    assert tab.locator("#worst details").count() > 3
    context.close()


def test_the_map_tells_what_one_points_at_and_hides_rounds(browser, page_of_hostile_rows):
    tab = browser.new_page()
    tab.goto(page_of_hostile_rows.as_uri())
    point = tab.locator("#map figure svg .f-r1").first
    point.dispatch_event("click")
    assert tab.locator("#pointed").inner_text().startswith("round 1 · cluster")
    tab.get_by_role("button", name="round 1").click()
    assert not point.is_visible()
    tab.get_by_role("button", name="round 1").click()
    assert point.is_visible()
    tab.close()
