"""Pushing: the real client, against a hub on loopback that takes one dataset."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evolute.export import export_folder
from evolute.records import Row

pytest.importorskip("huggingface_hub", reason="the extra `parquet` is not installed")

TOKEN = "hf_secret-of-the-test"
SCRIPT = """
import sys
from pathlib import Path
from evolute.errors import EvoluteError
from evolute.export.hub import push
folder, name, private = sys.argv[1:]
try:
    print(push(Path(folder), name, private=private == "private"))
except EvoluteError as error:
    print("refused:", error)
"""


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's API as an upload asks for; the dataset `owner/name` holds files of an earlier export."""

    asked: list[tuple[str, str, bytes, str]]
    private: bool
    refuse: int
    refuse_card: bool

    def do_GET(self) -> None:
        path = self._note(b"")
        if path.startswith("/api/datasets/owner/name/tree/"):
            there = [".gitattributes", "README.md", "data/train-00000-of-00009.parquet"]
            self._answer([{"type": "file", "path": name, "size": 1, "oid": "a" * 40} for name in there])
        elif path.startswith("/api/datasets/owner/name"):
            there = [{"rfilename": name} for name in (".gitattributes", "data/train-00000-of-00009.parquet")]
            self._answer({"id": "owner/name", "sha": "1" * 40, "private": self.private, "tags": [], "siblings": there})
        else:
            self._answer({}, 404)

    def do_POST(self) -> None:
        path = self._note(self.rfile.read(int(self.headers["Content-Length"])))
        body = self.asked[-1][2]
        if self.refuse:
            self._answer({"error": "no <b>entry</b>"}, self.refuse)
        elif path == "/api/validate-yaml" and self.refuse_card:
            self._answer({"errors": [{"message": '"license" is no license'}]}, 400)
        elif path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": [{"message": "a hint"}]})
        elif path == "/api/repos/create":
            self._answer({"url": "http://127.0.0.1/datasets/owner/name", "id": "owner/name"})
        elif "/preupload/" in path:
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            self._answer({"files": files})
        else:
            self._answer({"commitUrl": "http://127.0.0.1/datasets/owner/name/commit/2", "commitOid": "2" * 40})

    def _note(self, body: bytes) -> str:
        self.asked.append((self.command, self.path, body, self.headers.get("Authorization", "")))
        return self.path.partition("?")[0]

    def _answer(self, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """The tests read `asked` instead."""


@pytest.fixture
def hub() -> Iterator[tuple[str, type[Hub]]]:
    handler = type("OneHub", (Hub,), {"asked": [], "private": True, "refuse": 0, "refuse_card": False})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path) -> Path:
    row = Row("i1-b", "s1-a", "s1-a", 1, "deepening", "Add.", "", "5", "", (), "m", "m", "m", "seeds.jsonl", 3)
    export_folder([row] * 3, "messages", tmp_path / "set", container="jsonl", rows_per_shard=2)
    return tmp_path / "set"


def push(folder: Path, name: str, endpoint: str, home: Path, *, private: bool = True, token: str = TOKEN) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home / "home"), "NO_PROXY": "*"}
    settings |= {"HF_TOKEN": token} if token else {}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), name, "private" if private else "public"],
        capture_output=True, text=True, timeout=60, env=clean | settings,
    )  # fmt: skip
    assert done.stderr == ""
    assert TOKEN not in done.stdout
    return done.stdout.strip()


def test_one_commit_holds_the_folder_and_removes_what_an_earlier_one_left(tmp_path, hub, folder):
    endpoint, handler = hub
    assert push(folder, "owner/name", endpoint, tmp_path) == f"{endpoint}/datasets/owner/name"
    made = next(json.loads(body) for _, path, body, _ in handler.asked if path == "/api/repos/create")
    assert (made["name"], made["organization"], made["type"]) == ("name", "owner", "dataset")
    assert made.get("visibility") == "private" or made.get("private") is True  # newer and older clients
    commits = [body for _, path, body, _ in handler.asked if "/commit/" in path]
    assert len(commits) == 1
    told = [json.loads(line) for line in commits[0].splitlines()]
    files = {one["value"]["path"]: base64.b64decode(one["value"]["content"]) for one in told if one["key"] == "file"}
    assert files == {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    assert [one["value"]["path"] for one in told if one["key"] == "deletedFile"] == [
        "data/train-00000-of-00009.parquet"
    ]
    assert {sent for *_, sent in handler.asked} == {f"Bearer {TOKEN}"}
    assert {path.partition("?")[0].split("/")[2] for _, path, *_ in handler.asked} <= {
        "repos",
        "validate-yaml",
        "datasets",
    }


def test_what_was_to_be_private_is_not_put_into_the_open(tmp_path, hub, folder):
    endpoint, handler = hub
    handler.private = False
    assert "refused: owner/name is there and public" in push(folder, "owner/name", endpoint, tmp_path)
    assert not any("/commit/" in path for _, path, *_ in handler.asked)
    assert push(folder, "owner/name", endpoint, tmp_path, private=False).startswith("http")


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "does not know the token in HF_TOKEN"), (403, "may not write there"), (422, "refuses it with status 422")],
)
def test_a_refusal_is_one_clear_error(tmp_path, hub, folder, status, said):
    endpoint, handler = hub
    handler.refuse = status
    answer = push(folder, "owner/name", endpoint, tmp_path)
    assert answer.startswith("refused: owner/name was not pushed: ")
    assert said in answer
    assert "\n" not in answer


def test_a_card_that_the_hub_refuses_is_told(tmp_path, hub, folder):
    endpoint, handler = hub
    handler.refuse_card = True
    answer = push(folder, "owner/name", endpoint, tmp_path)
    assert answer == 'refused: owner/name was not pushed: Invalid metadata in README.md. - "license" is no license'
    assert not any("/commit/" in path for _, path, *_ in handler.asked)


def test_a_hub_that_is_not_there_is_named(tmp_path, folder):
    assert "http://127.0.0.1:9 cannot be reached" in push(folder, "owner/name", "http://127.0.0.1:9", tmp_path)


def test_without_a_token_nothing_is_sent(tmp_path, hub, folder):
    endpoint, handler = hub
    assert "set the environment variable HF_TOKEN" in push(folder, "owner/name", endpoint, tmp_path, token="")
    assert handler.asked == []


@pytest.mark.parametrize("name", ["name", "a/b/c", "owner/na me", "../x"])
def test_an_impossible_name_is_refused(tmp_path, hub, folder, name):
    endpoint, handler = hub
    assert push(folder, name, endpoint, tmp_path).startswith("refused: ")
    assert not any(path == "/api/repos/create" for _, path, *_ in handler.asked)


def test_only_an_exported_folder_is_pushed(tmp_path, hub, folder):
    endpoint, handler = hub
    (folder / "README.md").write_text("# My own words\n")
    assert push(folder, "owner/name", endpoint, tmp_path).startswith("http")
    handler.asked.clear()
    (folder / "ledger.db").write_text("everything")
    assert "it holds ledger.db, which no export wrote" in push(folder, "owner/name", endpoint, tmp_path)
    assert "no such folder" in push(tmp_path / "nowhere", "owner/name", endpoint, tmp_path)
    assert handler.asked == []
