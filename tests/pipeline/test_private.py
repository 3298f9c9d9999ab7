"""A run connects to the endpoints that the user named and to nothing else: strace sees every thread's connects."""

import asyncio
import re
import shutil
import sys

import orjson
import pytest

from evolute.models.loopback import LoopbackServer

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (apt install strace)")


async def connections(folder, *arguments):
    """The addresses that a command connected to or sent to; local sockets of the machine itself do not count."""
    trace = folder / "trace"
    watch = ("strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(trace))
    process = await asyncio.create_subprocess_exec(
        *watch, sys.executable, "-m", "evolute", *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    found = re.findall(
        r"AF_INET6?, sin6?_port=htons\((\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )\"([^\"]+)", trace.read_text()
    )
    return {(address, int(port)) for port, address in found}


async def test_only_the_named_endpoint_is_connected_to(tmp_path, seeds_file):
    async with LoopbackServer() as server:
        port = int(server.base_url.rsplit(":", 1)[1].split("/")[0])
        flags = ("--base-url", server.base_url, "--model", "gpt-4.1-mini", "--rounds", "2")
        connected = await connections(tmp_path, "evolve", seeds_file(5), "--out", tmp_path / "run", *flags)
    assert connected == {("127.0.0.1", port)}


async def test_nothing_is_connected_to_without_an_endpoint(tmp_path, seeds_file):
    run = tmp_path / "run"
    flags = ("--recipe", "wizardlm", "--api", "scripted", "--rounds", "1")
    for command in (
        ("evolve", seeds_file(3), "--out", run, *flags),
        ("show", run),
        ("replay", run),
        ("export", run, "--format", "messages", "--out", tmp_path / "out.jsonl"),
        ("export", run, "--format", "parquet", "--out", tmp_path / "out.parquet"),
    ):
        assert await connections(tmp_path, *command) == set(), command
    assert orjson.loads((tmp_path / "out.jsonl").read_bytes().splitlines()[0])["messages"]
