"""Evolve on several Ray nodes on this machine: the dataset is the single machine's, row for row, whatever dies."""

import contextlib
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec

import orjson
import psutil
import pytest

from evolute.api import status

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")]

IN_FLIGHT = 6
SHIP_CALLS = 10
FLAGS = ("--model", "m", "--rounds", "2", "--concurrency", str(IN_FLIGHT))
SEEDS = 48
PATIENCE = 90


class Endpoint:
    """The loopback server in a process of its own."""

    def __init__(self, latency):
        command = [sys.executable, "-m", "evolute.models.loopback", "--latency", str(latency)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def stats(self):
        """Requests so far, and how many of them came more than once."""
        with urllib.request.urlopen(f"{self.url.removesuffix('/v1')}/stats?prompts=1", timeout=30) as reply:
            known = orjson.loads(reply.read())
        return known["requests"], sum(known["by_prompt"].values()) - len(known["by_prompt"]), known["peak_in_flight"]

    def wait_for(self, requests):
        """Until so many requests have come."""
        wait_until(lambda: self.stats()[0] >= requests)


def wait_until(true):
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def endpoint():
    server = Endpoint(0.04)
    yield server
    server.process.kill()
    server.process.communicate()


HOST = """
import json, sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
nodes = {}
for command in sys.stdin:
    what, _, name = command.strip().partition(" ")
    if what == "add":
        node = cluster.add_node(num_cpus=1)
        nodes[node.node_id] = node
        said = [node.node_id, node.all_processes["raylet"][0].process.pid]
    elif what == "remove":
        cluster.remove_node(nodes.pop(name), allow_graceful=False)
        said = None
    else:
        said = cluster.address
    print(json.dumps(said), flush=True)
cluster.shutdown()
"""


class Nodes:
    """A cluster in a process of its own; each node's workers keep their ledgers in a folder of the node's own.

    Attributes:
        others: the nodes beside the head, with the process of each.
    """

    def __init__(self, folder):
        self.folder = folder
        command = [sys.executable, "-c", HOST]
        self.host = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.address = self.tell("address")
        self.others = {}
        self.complete()

    def tell(self, command):
        """Have the cluster do something; what it says."""
        self.host.stdin.write(command + "\n")
        self.host.stdin.flush()
        return orjson.loads(self.host.stdout.readline())

    def complete(self):
        """Two nodes beside the head, as before one was killed."""
        while len(self.others) < 2:
            name, raylet = self.tell("add")
            self.others[name] = psutil.Process(raylet)

    def start(self, seeds, out, endpoint, *more):
        """The command, under way; its workers' folders are `disk(out)`."""
        command = [
            sys.executable, "-m", "evolute", "evolve", str(seeds), "--out", str(out), "--base-url", endpoint.url,
            *FLAGS, "--on", f"ray://{self.address}", "--workers", "3", "--shard", "8",
            "--local-disk", str(self.disk(out) / "{node}"), "--ship-calls", str(SHIP_CALLS), "--ship-seconds", "0.5",
            *more,
        ]  # fmt: skip
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def disk(self, out):
        """Where this run's nodes have their disks."""
        return self.folder / f"{out.name}-disks"

    def working(self, out):
        """The nodes beside the head on which shards are being grown, with how many each."""
        shards = {node: list((self.disk(out) / node).glob("*/*/ledger.db")) for node in self.others}
        return {node: len(found) for node, found in shards.items() if found}

    def workers(self, out):
        """The processes on those nodes that grow shards."""
        return [
            child
            for node in self.working(out)
            for child in self.others[node].children()
            if "_grow" in " ".join(child.cmdline())
        ]

    def lose(self, node, out):
        """A node and its disk, at once."""
        raylet = self.others.pop(node)
        for process in [*raylet.children(recursive=True), raylet]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(self.disk(out) / node, ignore_errors=True)
        self.tell(f"remove {node}")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    known = {
        "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_health_check_period_ms": "500", "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "3", "RAY_health_check_initial_delay_ms": "2000",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in known.items():
            patch.setenv(name, value)
        several = Nodes(tmp_path_factory.mktemp("nodes"))
        yield several
        several.host.communicate(timeout=PATIENCE)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The seeds, and the single machine's dataset and number of calls."""
    folder = tmp_path_factory.mktemp("single")
    seeds = folder / "seeds.jsonl"
    rows = [{"instruction": f"Explain how a class of {n + 2} pupils shares {n + 7} apples."} for n in range(SEEDS)]
    seeds.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    server = Endpoint(0.0)
    command = [sys.executable, "-m", "evolute", "evolve", str(seeds), "--out", str(folder / "run")]
    subprocess.run([*command, "--base-url", server.url, *FLAGS], check=True, capture_output=True, timeout=PATIENCE)
    calls, repeated, _ = server.stats()
    server.process.kill()
    server.process.communicate()
    assert repeated == 0
    return seeds, (folder / "run" / "dataset.jsonl").read_bytes(), calls


def ended(process, status=0):
    """What a command has said on standard error, once it has ended with this status."""
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, said
    return said


def test_a_run_on_three_nodes_is_the_single_machines(nodes, single, endpoint, tmp_path, evolute_command):
    seeds, dataset, calls = single
    said = ended(nodes.start(seeds, tmp_path / "run", endpoint))
    assert (tmp_path / "run" / "dataset.jsonl").read_bytes() == dataset
    assert endpoint.stats()[:2] == (calls, 0)
    assert endpoint.stats()[2] <= IN_FLIGHT  # the recipe's concurrency holds for all workers together
    assert "48/48" in said
    assert not list(nodes.disk(tmp_path / "run").glob("*/*/*"))  # what is in the sink is no longer on a node's disk
    verified = evolute_command("verify", tmp_path / "run")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    # A run is made of its sink alone, too; and there is nothing left to do.
    merged = evolute_command("merge", tmp_path / "run" / "segments", "--out", tmp_path / "merged")
    assert merged.returncode == 0, merged.stderr
    assert (tmp_path / "merged" / "dataset.jsonl").read_bytes() == dataset
    assert evolute_command("verify", tmp_path / "merged").returncode == 0


@pytest.mark.marathon
def test_bounds_hold_for_the_run_as_a_whole(nodes, single, endpoint, tmp_path):
    seeds, dataset, calls = single
    ended(nodes.start(seeds, tmp_path / "run", endpoint, "--max-calls", "101"), 4)
    assert endpoint.stats()[0] == 101
    assert status(tmp_path / "run").stopped == "--max-calls 101 is reached"
    ended(nodes.start(seeds, tmp_path / "run", endpoint))
    assert (tmp_path / "run" / "dataset.jsonl").read_bytes() == dataset
    assert endpoint.stats()[:2] == (calls, 0)


@pytest.mark.marathon
def test_a_worker_that_is_killed_for_its_memory(nodes, single, endpoint, tmp_path):
    seeds, dataset, calls = single
    process = nodes.start(seeds, tmp_path / "run", endpoint)
    endpoint.wait_for(calls // 4)
    wait_until(lambda: nodes.workers(tmp_path / "run"))
    nodes.workers(tmp_path / "run")[0].kill()
    ended(process)
    assert (tmp_path / "run" / "dataset.jsonl").read_bytes() == dataset
    assert endpoint.stats()[1] <= IN_FLIGHT + SHIP_CALLS


@pytest.mark.marathon
def test_a_node_that_is_slow(nodes, single, endpoint, tmp_path):
    seeds, dataset, calls = single
    process = nodes.start(seeds, tmp_path / "run", endpoint)
    endpoint.wait_for(calls // 4)
    wait_until(lambda: nodes.workers(tmp_path / "run"))
    slow = nodes.workers(tmp_path / "run")[0]
    slow.suspend()
    endpoint.wait_for(calls // 2)  # the others go on
    slow.resume()
    ended(process)
    assert (tmp_path / "run" / "dataset.jsonl").read_bytes() == dataset
    assert endpoint.stats()[:2] == (calls, 0)


def test_a_driver_that_is_killed(nodes, single, endpoint, tmp_path):
    seeds, dataset, calls = single
    process = nodes.start(seeds, tmp_path / "run", endpoint)
    endpoint.wait_for(calls // 2)
    process.kill()
    process.communicate()
    ended(nodes.start(seeds, tmp_path / "run", endpoint))
    assert (tmp_path / "run" / "dataset.jsonl").read_bytes() == dataset
    assert endpoint.stats()[1] <= IN_FLIGHT + 3 * SHIP_CALLS  # all workers end with it


@pytest.mark.marathon
def test_a_gentle_stop(nodes, single, endpoint, tmp_path):
    seeds, dataset, calls = single
    process = nodes.start(seeds, tmp_path / "run", endpoint)
    endpoint.wait_for(calls // 3)
    process.send_signal(signal.SIGINT)
    ended(process, 130)
    stopped, repeated, _ = endpoint.stats()
    assert stopped < calls
    assert repeated == 0
    ended(nodes.start(seeds, tmp_path / "run", endpoint))
    assert (tmp_path / "run" / "dataset.jsonl").read_bytes() == dataset
    assert endpoint.stats()[:2] == (calls, 0)


def test_a_node_that_is_lost_with_its_disk(nodes, single, endpoint, tmp_path):
    seeds, dataset, calls = single
    out = tmp_path / "run"
    process = nodes.start(seeds, out, endpoint)
    endpoint.wait_for(calls // 4)
    wait_until(lambda: nodes.working(out))
    node, shards = next(iter(nodes.working(out).items()))
    nodes.lose(node, out)
    ended(process)
    nodes.complete()
    assert (out / "dataset.jsonl").read_bytes() == dataset
    assert endpoint.stats()[1] <= IN_FLIGHT + shards * SHIP_CALLS
