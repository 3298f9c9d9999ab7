"""Datasets of the Hugging Face hub: the real client, against a hub on loopback that serves one dataset."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("datasets", reason="the extra `parquet` is not installed")

COMMIT = "1" * 40
ROWS = b'{"question": "What is rain?", "answer": "Water."}\n{"question": "What is snow?", "answer": "Ice."}\n'
FILE = "train.jsonl"
SCRIPT = """
import sys
from evolute.errors import EvoluteError
from evolute.seeds import SeedOptions, SeedReader
name, split = sys.argv[1:]
reader = SeedReader([name], SeedOptions(split=split))
try:
    for seed in reader:
        print(seed.source, seed.line, seed.instruction, seed.response)
    print(reader.recognised[0].sentence)
except EvoluteError as error:
    print(error)
"""


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's API as the client asks for a public dataset `owner/name` of one file."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path.endswith(f"/resolve/{COMMIT}/{FILE}"):
            self._answer(200, ROWS)
        elif path == f"/api/datasets/owner/name/tree/{COMMIT}":
            self._answer(200, json.dumps([{"type": "file", "path": FILE, "size": len(ROWS), "oid": "a" * 40}]).encode())
        elif path in ("/api/datasets/owner/name", f"/api/datasets/owner/name/revision/{COMMIT}"):
            about = {"id": "owner/name", "sha": COMMIT, "private": False, "tags": [], "siblings": [{"rfilename": FILE}]}
            self._answer(200, json.dumps(about).encode())
        else:
            missing = "EntryNotFound" if "/owner/name" in path else "RepoNotFound"
            self._answer(404, b"{}", {"X-Error-Code": missing})

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"X-Repo-Commit": COMMIT, "ETag": '"1"', **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("ThisHub", (Hub,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def read(name: str, split: str, endpoint: str, folder: Path) -> list[str]:
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name, split],
        env={**environment, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["owner/name", "hf:owner/name"])
def test_a_hub_dataset_is_streamed(name: str, hub: tuple[str, list[str]], tmp_path: Path) -> None:
    endpoint, asked = hub
    assert read(name, "train", endpoint, tmp_path) == [
        f"{name} 1 What is rain? Water.",
        f"{name} 2 What is snow? Ice.",
        f"{name}: a hub dataset, prompts (instruction from 'question', response from 'answer')",
    ]
    assert not [path for path in asked if "telemetry" in path]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "split", "said"),
    [("owner/name", "test", "Available splits: ['train']"), ("owner/other", "train", "owner/other")],
)
def test_what_the_hub_lacks_is_one_clear_error(
    name: str, split: str, said: str, hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    (line,) = read(name, split, hub[0], tmp_path)
    assert line.startswith(f"{name}: no such file here, and the Hugging Face hub gave no dataset {name!r}")
    assert said in line
    assert "--split" in line


@pytest.mark.slow
def test_a_local_path_is_never_asked_of_the_hub(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    endpoint, asked = hub
    (tmp_path / "owner").mkdir()
    for name in ("owner/name", "data/seeds.jsonl", "./a/b", "../a/b"):
        (line,) = read(name, "train", endpoint, tmp_path)
        assert "no such file or folder" in line
    assert asked == []
