"""`evolute respond` as it is typed: what it prints, its status, and a process that is killed."""

import asyncio
import json
import os
import sys

import pytest

from evolute.cli import main
from evolute.models.loopback import LoopbackServer

IN_FLIGHT = 2


def command(url, folder, *more):
    return [
        "respond", str(folder / "rows.txt"), "--out", str(folder / "out.jsonl"), "--base-url", url, "--model", "m",
        "--concurrency", str(IN_FLIGHT), *more,
    ]  # fmt: skip


def write_rows(folder, count):
    (folder / "rows.txt").write_text("".join(f"Question {number}?\n" for number in range(count)))


async def in_process(arguments):
    """The command's status; what it prints is the test's to capture."""

    def run():
        try:
            main(arguments)
        except SystemExit as end:
            return end.code
        return 0

    return await asyncio.to_thread(run)


async def test_it_says_how_far_it_is_and_goes_on(tmp_path, capsys):
    write_rows(tmp_path, 5)
    async with LoopbackServer() as server:
        assert await in_process(command(server.base_url, tmp_path, "--max-calls", "3")) == 4
        shown = capsys.readouterr().out
        assert "3 of 5 answers to 5 rows; calls 3" in shown
        assert "was not written: --max-calls 3 is reached. Run the same command with a higher --max-calls" in shown
        assert await in_process(command(server.base_url, tmp_path, "--json")) == 0
        assert server.requests == 5
    summary = json.loads(capsys.readouterr().out)
    assert summary == {
        "out": str(tmp_path / "out.jsonl"), "rows": 5, "bad_rows": 0, "wanted": 5, "answers": 5, "failed": {},
        "unasked": 0, "calls": 5, "cost": None, "stopped": "",
    }  # fmt: skip
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 5


async def test_flags_reach_the_request(tmp_path, capsys):
    write_rows(tmp_path, 1)
    flags = ["--api", "completions", "--format", "vicuna-v1.1", "--system", "Be brief.", "--temperature", "0.5",
             "--top-p", "0.9", "--answer-tokens", "77", "--n", "2", "--run-seed", "3"]  # fmt: skip
    async with LoopbackServer() as server:
        assert await in_process(command(server.base_url, tmp_path, *flags)) == 0
        body = server.last_body
    assert body["prompt"] == "Be brief. USER: Question 0? ASSISTANT:"
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.5, 0.9, 77)
    assert f"record of calls in {tmp_path / 'out.jsonl'}.ledger" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--format", "vicuna"], "no prompt format 'vicuna'"),
        (["--format", "wizardcoder"], "--api completions"),
        (["--n", "0"], "n: Input should be greater than or equal to 1, got 0"),
        (["--column", "nothing"], "no column 'nothing'"),
    ],
)
async def test_a_wrong_flag_is_one_message(tmp_path, capsys, flags, problem):
    write_rows(tmp_path, 1)
    assert await in_process(command("http://127.0.0.1:9/v1", tmp_path, *flags)) == 2
    shown = capsys.readouterr().err
    assert problem in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.skipif(os.name == "nt", reason="kill is another thing there")
async def test_killed_and_resumed_nothing_is_paid_for_twice(tmp_path):
    """But for what was in flight as it was killed: that was paid for and never seen."""
    write_rows(tmp_path, 12)
    process = None
    seen = 0

    def rule(body):
        nonlocal seen
        seen += 1
        if seen == 7:
            process.kill()
        return body["messages"][-1]["content"]

    async with LoopbackServer(rule) as server:
        arguments = command(server.base_url, tmp_path)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "evolute", *arguments,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert await process.wait() != 0
        assert not (tmp_path / "out.jsonl").exists()
        assert await in_process(arguments) == 0
        assert 12 <= server.requests <= 12 + IN_FLIGHT
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["response"] for row in rows] == [f"Question {number}?" for number in range(12)]


def test_what_is_read_is_called_rows(capsys):
    main(["respond", "--help"])
    shown = capsys.readouterr().out
    assert " Rows " in shown
    assert "The first N rows." in shown
    assert "Seeds" not in shown
