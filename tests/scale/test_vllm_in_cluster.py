"""vLLM itself needs a GPU: here its configuration is Ray's own, and another processor of `ray.data.llm` answers."""

import subprocess
import sys

import orjson
import pytest

from evolute.errors import InputError
from evolute.scale.vllm import Engine, answer, engine_config, from_engine, processors, result_line, to_engine

SCHEMA = {"type": "object", "properties": {"equal": {"type": "boolean"}}}


def line(number=0, **fields):
    messages = [{"role": "user", "content": f"Name {number} rivers of the world, 中文."}]
    body = {"model": "m", "messages": messages, "max_tokens": 50, "temperature": 0.0, "seed": number} | fields
    return {"custom_id": f"k{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def test_a_request_becomes_what_vllm_samples_with():
    held = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    row = to_engine({"text": orjson.dumps(line(3, response_format=held, top_p=None)).decode()})
    assert row["custom_id"] == "k3"
    assert row["messages"][0]["content"].endswith("中文.")
    sampling = row["sampling_params"]
    assert orjson.loads(sampling.pop("structured_outputs")["json"]) == SCHEMA
    assert sampling == {"max_tokens": 50, "temperature": 0.0, "seed": 3}


def test_newer_names_of_fields_are_known_and_unknown_ones_are_refused():
    asked = line(max_completion_tokens=9)
    del asked["body"]["max_tokens"]
    assert to_engine({"text": orjson.dumps(asked).decode()})["sampling_params"]["max_tokens"] == 9
    with pytest.raises(InputError, match=r"k0: vLLM's sampling knows no 'best_of' \(got 3\)"):
        to_engine({"text": orjson.dumps(line(best_of=3)).decode()})


@pytest.mark.parametrize(("tokens", "finish"), [(7, "stop"), (50, "length")])
def test_an_answer_of_full_length_was_cut_off(tokens, finish):
    row = {
        "custom_id": "k1", "full": 50, "generated_text": "The Nile.",
        "num_input_tokens": 5, "num_generated_tokens": tokens,
    }  # fmt: skip
    response = orjson.loads(from_engine(row)["line"])["response"]
    assert response["body"]["choices"][0]["finish_reason"] == finish
    assert response["body"]["usage"]["completion_tokens"] == tokens


def test_ray_takes_the_configuration_and_refuses_a_wrong_one(tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="is no folder of a model"):
        engine_config(Engine(str(tmp_path)))
    (tmp_path / "config.json").write_text("{}")
    config = engine_config(Engine(str(tmp_path), replicas=2, options={"tensor_parallel_size": 4}))
    assert (config.concurrency, config.engine_kwargs["tensor_parallel_size"]) == (2, 4)
    assert config.should_continue_on_error
    with pytest.raises(InputError, match=r"concurrency: .*positive integer.* got -1"):
        engine_config(Engine(str(tmp_path), replicas=-1))


@pytest.mark.marathon
def test_a_file_of_requests_is_answered_by_a_processor_of_rays(tmp_path):
    pytest.importorskip("ray")
    from evolute.scale.starting import connect

    def before(row):  # in here, so that it travels by value: this file is no module that a worker could import
        request = orjson.loads(row["text"])
        return {"custom_id": request["custom_id"], "payload": request["body"]}

    def after(row):
        return {"line": result_line(row["custom_id"], 200, row["http_response"])}

    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"".join(orjson.dumps(line(number)) + b"\n" for number in range(20)))
    command = [sys.executable, "-m", "evolute.models.loopback"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().strip()
        try:
            with connect("ray", cores=2):
                config = processors().HttpRequestProcessorConfig(url=f"{url}/chat/completions", concurrency=1)
                assert answer(source, target, config, before=before, after=after) == 20
        finally:
            server.kill()
    results = [orjson.loads(text) for text in target.read_bytes().splitlines()]
    assert {result["custom_id"] for result in results} == {f"k{number}" for number in range(20)}
    assert all(result["response"]["body"]["choices"][0]["message"]["content"] for result in results)
