"""A run connects to the endpoints that the user named and to nothing else."""

import sys

import orjson

from evolute.models.loopback import LoopbackServer

# uvloop and aiohttp connect Python's sockets, whose connects and look-ups the interpreter reports to such a hook.
WATCHED = """
import sys
def hook(event, details):
    if event == "socket.connect":
        print("CONNECT", details[1], file=sys.stderr)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "subprocess.Popen", "os.exec"):
        print("OTHER", event, details[:2], file=sys.stderr)
sys.addaudithook(hook)
from evolute.cli import main
main(sys.argv[1:])
"""


async def watched(*arguments):
    """What a command connected to, and did otherwise, by the interpreter's own report."""
    import asyncio

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WATCHED, *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    lines = said.decode().splitlines()
    return {line for line in lines if line.startswith("CONNECT")}, [line for line in lines if line.startswith("OTHER")]


async def test_only_the_named_endpoint_is_connected_to(tmp_path, seeds_file):
    async with LoopbackServer() as server:
        port = int(server.base_url.rsplit(":", 1)[1].split("/")[0])
        flags = ("--base-url", server.base_url, "--model", "gpt-4.1-mini", "--rounds", "2")
        connects, others = await watched("evolve", seeds_file(5), "--out", tmp_path / "run", *flags)
    assert connects == {f"CONNECT ('127.0.0.1', {port})"}
    assert others == []


async def test_nothing_is_connected_to_without_an_endpoint(tmp_path, seeds_file):
    run = tmp_path / "run"
    flags = ("--recipe", "wizardlm", "--api", "scripted", "--rounds", "1")
    for command in (
        ("evolve", seeds_file(3), "--out", run, *flags),
        ("status", run),
        ("show", run),
        ("verify", run),
        ("replay", run),
        ("export", run, "--format", "messages", "--out", tmp_path / "out.jsonl"),
        ("export", run, "--format", "parquet", "--out", tmp_path / "out.parquet"),
        ("operations", "list"),
    ):
        connects, others = await watched(*command)
        assert connects == set(), command
        assert others == [], command
    assert orjson.loads((tmp_path / "out.jsonl").read_bytes().splitlines()[0])["messages"]
