"""`evolute evaluate` as a user runs it: what is on standard output, what is said, and the status."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter

import pytest

from evolute.cli import main
from evolute.models.loopback import LoopbackServer

IN_FLIGHT = 4
TASKS = 24


def rows():
    return [
        {
            "task_id": f"HumanEval/{number}",
            "prompt": f'def add_{number}(a):\n    """Add {number}."""\n',
            "entry_point": f"add_{number}",
            "canonical_solution": f"    return a + {number}\n",
            "test": f"def check(candidate):\n    assert candidate(1) == {number + 1}\n",
        }
        for number in range(TASKS)
    ]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "HumanEval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


@pytest.fixture
def samples(tmp_path):
    """All tasks but the last; the first is wrong, and says something that would steer a terminal."""
    path = tmp_path / "samples.jsonl"
    answers = [{"task_id": row["task_id"], "completion": row["canonical_solution"]} for row in rows()[:-1]]
    answers[0]["completion"] = "    raise ValueError('\x1b[31mred')\n"
    path.write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    return path


def test_json_is_all_there_is_on_standard_output(evolute_command, sandbox, data, samples, tmp_path):
    ended = evolute_command("evaluate", "humaneval", "--samples", samples, "--data", tmp_path, "--json")
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert (said["passed"], said["total"]) == (22, 24)
    assert said["pass@1"] == pytest.approx(22 / 24)
    assert said["missing"] == ["HumanEval/23"]
    assert [result["passed"] for result in said["results"]] == [False] + [True] * 22


def test_people_get_a_table_the_failures_and_what_is_missing(evolute_command, sandbox, data, samples, tmp_path):
    out = tmp_path / "out"
    told = ("evaluate", "humaneval", "--samples", samples, "--data", data, "--failures", 1, "--out", out)
    ended = evolute_command(*told)
    assert ended.returncode == 0, ended.stderr
    assert "pass@1 91.7%" in ended.stdout
    assert "HumanEval/23" in ended.stdout
    assert "raise ValueError" in ended.stdout
    assert "\x1b" not in ended.stdout
    assert str(out / "results.json") in ended.stdout
    assert json.loads((out / "results.json").read_text())["passed"] == 22
    status = evolute_command("status", out)
    assert (status.returncode, "is an evaluation, not a run" in status.stderr) == (2, True), status
    again = evolute_command(*told, "--json")
    assert json.loads(again.stdout)["factor"] is None, "nothing had to be run again, so no machine was measured"


def test_a_model_on_the_command_line(evolute_command, sandbox, data, tmp_path):
    """The scripted model writes prose: all fail, and each for a reason."""
    out = tmp_path / "out"
    ended = evolute_command(
        "evaluate", "humaneval", "--api", "scripted", "--data", data, "--out", out, "--limit", 3, "--n", 2
    )
    assert ended.returncode == 0, ended.stderr
    assert "0       6" in ended.stdout
    assert "6 of 6 answers; calls 6" in ended.stdout
    assert (out / "samples.jsonl").read_text().count("\n") == 6
    gone_on = evolute_command("evaluate", "humaneval", "--out", out, "--json")
    assert gone_on.returncode == 0, gone_on.stderr
    assert json.loads(gone_on.stdout)["calls"] == 6


def test_a_bound_is_a_status_of_its_own(evolute_command, sandbox, data, tmp_path):
    told = ("evaluate", "humaneval", "--api", "scripted", "--data", data, "--out", tmp_path / "out", "--max-calls", 2)
    ended = evolute_command(*told)
    assert ended.returncode == 4
    assert "not scored: --max-calls 2 is reached. Run the same command with a higher --max-calls" in ended.stdout
    stopped = json.loads(evolute_command(*told, "--json").stdout)
    assert (stopped["stopped"], stopped["wanted"], stopped["answered"]) == ("--max-calls 2 is reached", 24, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to score: give a file of samples (--samples FILE) or a model (--model NAME)"),
        (["--samples", "missing.jsonl"], "missing.jsonl: no such file"),
        (["--model", "m"], "where is the model 'm'? Give --base-url URL"),
        (["--samples", "s", "--k", "one"], "--k wants numbers with commas between (1,10), got 'one'"),
        (["--samples", "s", "--failures", "-1"], "--failures must be at least 0, got -1"),
        (["--samples", "s", "--max-calls", "0"], "--max-calls must be above 0, got 0"),
        (["--samples", "s", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["--samples", "s", "--extract", "magic"], "no extraction 'magic'; there are best"),
        (["--api", "scripted", "--prompt", "shout", "--out", "out"], "no prompt 'shout': there are chat, completion"),
        (["--api", "scripted"], "give --out FOLDER"),
    ],
)
def test_bad_input_is_one_line(data, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "humaneval", "--data", str(data), *arguments])
    told = capsys.readouterr()
    assert ended.value.code == 2
    assert message in told.err
    assert "Traceback" not in told.err
    assert told.out == ""
    assert not (tmp_path / "out" / "ledger.db").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is bubblewrap's, which only Linux has")
def test_without_bubblewrap_it_says_what_to_install_before_a_call_is_paid(evolute_command, data, tmp_path, server):
    """Its own Python is named by its path; nothing else is found."""
    ended = evolute_command(
        "evaluate", "humaneval", "--data", data, "--out", tmp_path / "out", "--model", "m", "--base-url", server,
        env={**os.environ, "PATH": str(tmp_path)},
    )  # fmt: skip
    assert ended.returncode == 1
    assert "install" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert json.loads(evolute_command("evaluate", "humaneval", "--out", tmp_path / "out", "--json", "--max-calls", 1,
                                      "--set", "model.concurrency=1").stdout)["calls"] == 1  # fmt: skip


def test_the_unsafe_mode_warns_loudly(evolute_command, data, samples):
    ended = evolute_command("evaluate", "humaneval", "--samples", samples, "--data", data, "--unsafe-sandbox")
    assert ended.returncode == 0, ended.stderr
    assert "WARNING: --unsafe-sandbox" in ended.stderr


class Trap:
    """A server's rule that solves, counts what is asked, and signals a process at the n-th request."""

    def __init__(self, at, signal):
        self.paid, self.at, self.signal, self.process = Counter(), at, signal, None

    def __call__(self, body):
        said = body["messages"][-1]["content"]
        self.paid[said] += 1
        if self.process is not None and self.paid.total() == self.at:
            self.process.send_signal(self.signal)
        number = said.partition("def add_")[2].partition("(")[0]
        return f"```python\ndef add_{number}(a):\n    return a + {number}\n```"


async def stopped_and_resumed(trap, data, out):
    """The statuses of both, and what the second says as JSON."""
    async with LoopbackServer(trap, latency=0.02) as server:
        command = (
            sys.executable, "-m", "evolute", "evaluate", "humaneval", "--data", str(data), "--out", str(out),
            "--base-url", server.base_url, "--model", "m", "--json", "--concurrency", str(IN_FLIGHT),
        )  # fmt: skip
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        trap.process = await asyncio.create_subprocess_exec(*command, **pipes)
        await trap.process.communicate()
        first, trap.process = trap.process.returncode, None
        again = await asyncio.create_subprocess_exec(*command, **pipes)
        told, warned = await again.communicate()
    assert again.returncode == 0, warned
    return first, json.loads(told)


@pytest.mark.slow
@pytest.mark.parametrize("at", [11, *(pytest.param(at, marks=pytest.mark.marathon) for at in (1, 2, 5, 17, 23, 24))])
async def test_killed_while_it_asks_it_goes_on(sandbox, data, tmp_path, at):
    trap = Trap(at, signal.SIGKILL)
    status, said = await stopped_and_resumed(trap, data, tmp_path / "out")
    assert status == -9
    assert (said["passed"], said["total"], said["calls"]) == (TASKS, TASKS, TASKS)
    assert trap.paid.total() - TASKS <= IN_FLIGHT, "more was paid twice than was in flight"


@pytest.mark.slow
async def test_interrupted_it_ends_what_is_in_flight_and_pays_nothing_twice(sandbox, data, tmp_path):
    trap = Trap(9, signal.SIGINT)
    status, said = await stopped_and_resumed(trap, data, tmp_path / "out")
    assert status == 130
    assert (said["passed"], said["calls"], trap.paid.total()) == (TASKS, TASKS, TASKS)
