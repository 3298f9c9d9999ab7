import pytest

from evolute import errors
from evolute.models.loopback import LoopbackServer
from evolute.models.loopback_reply import scripted_rule
from evolute.models.probe import probe
from evolute.recipe import ModelSpec


async def report_on(rule=scripted_rule, *, model="m", api="chat", **options):
    async with LoopbackServer(rule, models=("m", "n"), **options) as server:
        return await probe(ModelSpec(base_url=server.base_url, model=model, api=api))


async def test_says_what_a_capable_endpoint_can_do():
    def rule(body):
        system = body["messages"][0]
        return "pineapple!" if system["role"] == "system" else scripted_rule(body)

    report = await report_on(rule, model="")
    assert report.model == "m"
    assert report.models == ["m", "n"]
    assert report.seed == "honoured"
    assert report.system == "followed"
    assert report.constraints == {"json_schema": "honoured", "grammar": "honoured", "choice": "honoured"}
    assert report.max_tokens == "max_tokens"
    assert report.latency > 0
    assert set(report.tokens_per_second) == {1, 8, 16}
    assert report.price is None


async def test_says_what_a_poor_endpoint_cannot_do():
    report = await report_on(
        lambda body: {"choices": [{"message": {"content": "hi", "reasoning_content": "hm"}}]},
        refuse=("max_tokens", "seed", "response_format", "grammar"),
    )
    assert report.max_tokens == "max_completion_tokens"
    assert report.seed == "refused"
    assert report.system == "not followed"
    assert report.constraints == {"json_schema": "refused", "grammar": "refused", "choice": "ignored"}
    assert report.reasoning
    assert report.tokens_per_second == {}


async def test_an_endpoint_without_seeds_is_told_apart():
    count = iter(range(999))
    assert (await report_on(lambda body: f"town {next(count)}")).seed == "ignored"
    assert (await report_on(lambda body: "town 7")).seed == "no difference"


async def test_anthropic_is_sent_no_seed():
    report = await report_on(lambda body: "PINEAPPLE", api="anthropic")
    assert (report.seed, report.system) == ("not sent", "followed")


async def test_what_cannot_be_used_is_an_error():
    with pytest.raises(errors.ModelNotFound, match="It offers"):
        await report_on(model="o")
    with pytest.raises(errors.AuthenticationFailed):
        await report_on(require_key="secret")
    with pytest.raises(errors.EndpointGone, match="Is the server running"):
        await probe(ModelSpec(base_url="http://127.0.0.1:9/v1", model="m"))
