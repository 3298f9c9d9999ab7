"""`evolute chat` as it is typed: from a pipe, and at a terminal with Ctrl-C and Ctrl-D."""

import asyncio
import os
import re
import select
import subprocess
import sys
import threading

import pytest

from evolute.models.loopback import LoopbackServer

pytestmark = pytest.mark.slow


async def endless():
    yield "on and "
    await asyncio.Event().wait()


def answer(body):
    asked = body["messages"][-1]["content"]
    return endless() if asked == "slow" else f"{asked}: {[m['role'] for m in body['messages']]}"


@pytest.fixture
def url():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = LoopbackServer(answer, models=("m",))
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    yield server.base_url
    asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_lines_of_a_pipe_are_turns_and_only_answers_are_printed(evolute_command, url, tmp_path):
    lines = "one\n\ntwo\r\n/save talk.jsonl\n"
    done = evolute_command("chat", "--base-url", url, "--system", "Be kind.", input=lines, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "added to talk.jsonl\n")
    assert done.stdout == ("one: ['system', 'user']\ntwo: ['system', 'user', 'assistant', 'user']\n")
    assert (tmp_path / "talk.jsonl").is_file()
    wrong = evolute_command("chat", "other", "--base-url", url, input="one\ntwo\n")
    assert (wrong.returncode, wrong.stdout) == (3, "")
    assert "has no such model" in wrong.stderr
    assert "It offers: m." in wrong.stderr
    nothing = evolute_command("chat", "nowhere", input="one\n")
    assert nothing.returncode == 2
    assert nothing.stderr.startswith("evolute: nowhere: there is no such folder")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_ctrl_c_stops_the_answer_and_ctrl_d_leaves(url):
    import pty

    ours, theirs = pty.openpty()
    own_terminal = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    begin = own_terminal + "import sys; from evolute.cli import program; sys.argv[0] = 'evolute'; program()"
    command = [sys.executable, "-c", begin, "chat", f"m@{url}"]
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    process = subprocess.Popen(command, **streams, env=os.environ | {"TERM": "dumb"}, start_new_session=True)
    os.close(theirs)
    seen = ""

    def until(pattern, press=b""):
        """Waits for what is to be shown. `press` is typed until it is: the first instant's key may be lost."""
        nonlocal seen
        os.write(ours, press)
        tries = 0
        while not (found := re.search(pattern, seen, re.DOTALL)):
            if not select.select([ours], [], [], 3 if press else 30)[0]:
                tries += 1
                assert press, seen
                assert tries < 10, seen
                os.write(ours, press)
                continue
            seen += os.read(ours, 4096).decode()
        seen = seen[found.end() :]

    try:
        until("m. /help .*> ")
        os.write(ours, b"slow\n")
        until("on and ")
        os.write(ours, b"\x03")
        until(r"\(stopped\).*> ")
        until(r"leaves\).*> ", press=b"\x03")
        os.write(ours, b"two \\\n")
        until("… ")
        os.write(ours, b"lines\n")
        until(r"two \r?\nlines: \['user', 'assistant', 'user'\].*> ")
        os.write(ours, b"/nonsense\n")
        until(r"\(no command /nonsense.*> ")
        os.write(ours, b"\x04")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
