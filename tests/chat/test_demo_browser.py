"""The page in a real Chromium, served by the real command, before a real server that streams as the test lets it."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

import orjson
import pytest

from evolute.models.loopback import LoopbackServer

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]
PASSWORD = "correct horse"
HOSTILE = """Here: <script>window.hurt = 1</script> <img src=x onerror="window.hurt = 2"> <b>bold</b>
![picture](http://{canary}/picture.png) [link](javascript:window.hurt=3)

<iframe src="http://{canary}/frame"></iframe><style>@import "http://{canary}/style";</style>

`a < b` stays code."""


class Models:
    """The models behind the page: what they were asked, and a gate before the end of answers to `slow`."""

    def __init__(self):
        self.bodies = []
        self.open = asyncio.Event()
        self.ended = threading.Event()
        self.canary = socket.create_server(("127.0.0.1", 0))
        self.canary.setblocking(False)

    def answer(self, body):
        self.bodies.append(body)
        asked = body["messages"][-1]["content"]
        if "hostile" in asked:
            return HOSTILE.replace("{canary}", f"127.0.0.1:{self.canary.getsockname()[1]}")
        if "slow" in asked:
            return self._gated(body["model"])
        return f"{body['model']} heard {asked} in {len(body['messages'])} of draw {body['seed']}"

    async def _gated(self, model):
        try:
            yield f"{model} begins"
            await self.open.wait()
            yield " and ends"
        finally:
            self.ended.set()

    def asked(self, model):
        return [body["messages"] for body in self.bodies if body["model"] == model]


@contextmanager
def looping():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def models():
    with looping() as loop:
        models = Models()
        models.loop = loop
        server = LoopbackServer(models.answer)
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
        models.url = server.base_url
        yield models
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
        models.canary.close()


@contextmanager
def served(*arguments, **environment):
    command = [sys.executable, "-m", "evolute", "demo", *map(str, arguments), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environment) as process:
        try:
            first = process.stderr.readline()
            assert first.startswith("the page is open at "), first + process.stderr.read()
            yield first.split()[5]
        finally:
            process.terminate()
            told = process.stderr.read()
    assert (process.returncode, told) == (0, "")


@pytest.fixture(scope="module")
def votes(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "votes.jsonl"


@pytest.fixture(scope="module")
def page(models, votes):
    kind = ("--system", "Be kind.", "--password-env", "SECRET")
    with served("alpha", "beta", "--base-url", models.url, "--votes", votes, "--blind", *kind, SECRET=PASSWORD) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Visitor:
    """Somebody at the page, and all that their browser asked for and complained of."""

    def __init__(self, browser, url, password):
        self.context = browser.new_context(viewport={"width": 1200, "height": 900})
        self.tab, self.requests, self.errors = self.context.new_page(), [], []
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.errors.append(dialog.message), dialog.dismiss()))
        self.tab.set_default_timeout(20_000)
        if password:
            answer = self.context.request.post(f"{url}/login", form={"username": "me", "password": password})
            assert answer.ok
        self.tab.goto(url)

    def ask(self, text):
        self.tab.fill("#ask textarea", text)
        self.tab.press("#ask textarea", "Enter")

    def said(self, place=0):
        return self.tab.locator(f"#chat{place} [data-testid=bot]")

    def sees(self, text, place=0):
        self.said(place).filter(has_text=text).last.wait_for()

    def button(self, name, place=0):
        return self.tab.locator(f"#chat{place} button[aria-label='{name}']")

    def is_answered(self):
        self.tab.locator("#send").wait_for()

    def turns(self, place=0):
        said = self.tab.locator(f"#chat{place} [data-testid=user]").all_inner_texts()
        return [text.replace("\u200b", "") for text in said]


@pytest.fixture
def visit(browser, page):
    """Opens the page; at the end, nothing failed and nothing was asked of anybody else."""
    visitors = []

    def enter(password=PASSWORD):
        visitors.append(Visitor(browser, page, password))
        return visitors[-1]

    yield enter
    for visitor in visitors:
        assert visitor.errors == []
        visitor.context.close()


def names_at(visitor):
    return [visitor.tab.locator(f"#chat{place} [data-testid=block-label]").inner_text().strip() for place in (0, 1)]


def test_an_answer_streams_and_can_be_stopped_and_the_next_turn_knows_the_first(visit, models):
    one = visit()
    one.ask("name a tree")
    one.sees("heard name a tree in 2", 0)
    one.sees("heard name a tree in 2", 1)
    one.is_answered()
    models.ended.clear()
    one.ask("slow please")
    one.sees("begins", 0)  # while the server still waits
    one.sees("begins", 1)
    one.tab.click("#stop")
    assert models.ended.wait(20)  # the server saw that nobody listens
    one.sees("(stopped)")
    one.is_answered()
    one.ask("and a flower")
    one.sees("heard and a flower in 6")
    sent = models.asked("alpha")[-1]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert (sent[0]["content"], sent[1]["content"]) == ("Be kind.", "name a tree")
    assert sent[2]["content"].startswith("alpha heard name a tree")
    assert sent[4]["content"] == "alpha begins"
    one.is_answered()
    one.tab.reload()  # begins anew
    one.tab.wait_for_selector("#ask textarea")
    one.ask("hello again")
    one.sees("heard hello again in 2")
    assert one.turns() == ["hello again"]
    models.ended.clear()
    one.ask("slow, and gone")
    one.sees("begins")
    one.tab.goto("about:blank")
    assert models.ended.wait(20)  # who leaves the page leaves no answer running


def test_two_visitors_at_once_never_see_each_other(visit, models):
    one, two = visit(), visit()
    one.ask("slow for one")
    one.sees("begins")
    two.ask("quick for two")
    two.sees("heard quick for two in 2")  # one's answer is not waited for
    two.is_answered()
    two.ask("second of two")
    two.sees("heard second of two in 4")
    models.loop.call_soon_threadsafe(models.open.set)
    one.sees("begins and ends")
    one.is_answered()
    assert (one.turns(), two.turns()) == (["slow for one"], ["quick for two", "second of two"])
    models.loop.call_soon_threadsafe(models.open.clear)


def test_retry_edit_undo_and_the_system_prompt(visit, models):
    one = visit()
    one.tab.click("#settings button")
    one.ask("first <b>")
    one.sees("heard first <b> in 2")
    one.is_answered()
    before = one.said().last.inner_text()
    one.button("Retry").last.click()
    one.tab.wait_for_function(
        "text => document.querySelector('#chat0 [data-testid=bot]').innerText != text", arg=before
    )
    one.sees("heard first <b> in 2")  # another draw
    one.is_answered()
    # Not at once: on a busy machine Gradio fills its fields in again after they can be written in.
    one.tab.fill("#system textarea", "Be <brief>.")
    one.ask("second")
    one.sees("in 4")
    one.is_answered()
    assert models.asked("beta")[-1][0] == {"role": "system", "content": "Be <brief>."}
    one.button("Edit").first.click()
    one.tab.fill("#chat0 textarea", "changed <i>")
    one.button("Submit").click()
    one.sees("heard changed <i> in 2")
    one.is_answered()
    assert one.turns(0) == one.turns(1) == ["changed <i>"]
    one.button("Undo").last.click()
    one.tab.wait_for_function("document.querySelector('#ask textarea').value == 'changed <i>'")
    one.said().wait_for(state="detached")


def test_a_vote_is_recorded_blind_and_shows_the_names(visit, votes):
    one = visit()
    one.ask("which is better")
    one.tab.wait_for_selector("#votes button")
    assert names_at(one) == ["Model A", "Model B"]
    shown = [one.said(place).last.inner_text() for place in (0, 1)]
    one.tab.get_by_role("button", name="B is better").click()
    one.tab.locator("#votes").wait_for(state="hidden")
    names = [text.split()[0] for text in shown]
    assert names_at(one) == [f"A: {names[0]}", f"B: {names[1]}"]
    assert sorted(names) == ["alpha", "beta"]
    row = orjson.loads(votes.read_bytes())
    assert (row["model_1"], row["model_2"], row["g1_winner"], row["choice"], row["blind"]) == (
        *names, "model_2", "second", True,
    )  # fmt: skip
    assert [message["role"] for message in row["conversation_2"]] == ["system", "user", "assistant"]
    assert row["conversation_2"][2]["content"] == shown[1]
    assert row["parameters"] == {
        "temperature": 0.7, "top_p": 0.95, "max_tokens": 1024, "system": "Be kind.", "seed": 0,
    }  # fmt: skip


def test_hostile_answers_do_nothing_and_nothing_is_asked_of_others(visit, models, page):
    one = visit()
    one.tab.click("#examples button")
    one.tab.get_by_role("button", name="Chemistry").click()
    one.tab.wait_for_function("document.querySelector('#ask textarea').value.includes('propane')")
    one.ask("hostile")
    one.sees("stays code", 0)
    one.sees("stays code", 1)
    one.is_answered()
    shown = one.said().last
    assert '<script>window.hurt = 1</script> <img src=x onerror="window.hurt = 2"> <b>bold</b>' in shown.inner_text()
    assert shown.locator("script, iframe, style, b, a[href^=javascript], [onerror]").count() == 0
    assert shown.locator("code").inner_text() == "a < b"
    assert one.tab.evaluate("window.hurt") is None
    with pytest.raises(BlockingIOError):  # nobody has knocked
        models.canary.accept()
    canary = f"http://127.0.0.1:{models.canary.getsockname()[1]}"
    elsewhere = [url for url in one.requests if urlsplit(url).netloc != urlsplit(page).netloc]
    assert [url for url in elsewhere if not url.startswith((canary, "data:", "blob:"))] == []
    assert one.tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_nobody_gets_in_without_the_password(visit, page):
    one = visit(password="")

    def log_in(password):
        one.tab.get_by_label("username").fill("anyone")
        one.tab.get_by_label("password").fill(password)
        with one.tab.expect_response("**/login") as answered:
            one.tab.get_by_role("button", name="Login").click()
        return answered.value.status

    assert log_in("wrong horse") == 400
    assert one.tab.locator("#ask").count() == 0
    for path in ("config", "gradio_api/info", "gradio_api/queue/data?session_hash=x"):
        assert one.context.request.get(f"{page}/{path}").status == 401, path
    assert log_in(PASSWORD) == 200
    upload = {"files": {"name": "x.txt", "mimeType": "text/plain", "buffer": b"x"}}
    assert one.context.request.post(f"{page}/gradio_api/upload", multipart=upload).status == 404
    assert one.context.request.get(page, headers={"Host": "rebound.example"}).status == 400
    one.tab.wait_for_selector("#ask textarea")


def test_a_trained_folder_is_talked_to_in_this_process(browser, tiny_model):
    with served(tiny_model, "--max-tokens", "8") as url:
        visitor = Visitor(browser, url, password="")
        visitor.ask("Name a river.")
        visitor.said().first.wait_for()
        visitor.is_answered()
        assert visitor.turns() == ["Name a river."]
        assert visitor.errors == []
        visitor.context.close()
