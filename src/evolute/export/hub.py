"""Publish an exported folder on the Hugging Face hub. The only part of exporting that uses the network."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path
from typing import Any

from evolute.errors import InputError, MissingExtra
from evolute.export.folders import stranger
from evolute.quiet import quiet_hub

_MEANINGS = {
    401: "the hub does not know the token in {token_env}: make one with write access at {hub}/settings/tokens",
    403: "the token in {token_env} may not write there: it needs write access to this owner's datasets",
    404: "there is no such owner, or the token in {token_env} may not see it",
}


def push(folder: Path, repo_id: str, *, private: bool = True, token_env: str = "HF_TOKEN") -> str:
    """Upload a folder that `export_folder` wrote, as one commit; data and figures of an earlier export are removed.

    Args:
        folder: the folder; its README.md may have been changed by hand.
        repo_id: `OWNER/NAME`; the dataset is made if it is not there.
        private: make it private, and refuse to upload into one that is public.
        token_env: the environment variable with the token.

    Returns:
        The dataset's address.

    Raises:
        InputError: the folder is no exported one, the token's variable is not set, the name is impossible, the dataset
            is public and was to be private, or the hub refuses or cannot be reached.
        MissingExtra: the package `huggingface_hub` is not installed.
    """
    _check_folder(folder)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
        raise InputError(f"a dataset of the hub is named OWNER/NAME, got {repo_id!r}")
    token = os.environ.get(token_env, "").strip()
    if not token:
        raise InputError(f"the hub wants a token: set the environment variable {token_env}")
    quiet_hub()
    try:
        import huggingface_hub
    except ImportError:
        raise MissingExtra("pushing to the Hugging Face hub", "parquet") from None
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    api = huggingface_hub.HfApi(endpoint=hub, token=token)
    try:
        public = _make(api, repo_id, private)
        if private and public:
            raise InputError(f"{repo_id} is there and public: say that it may be public, or name another")
        _commit(api, folder, repo_id)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - the client lets its HTTP library's errors through, and which that is varies
        raise InputError(_explain(error, repo_id, token_env, hub).replace(token, "***")) from None
    return f"{hub}/datasets/{repo_id}"


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; write one with: evolute export RUN --out {folder}")
    if why := stranger(folder):
        raise InputError(f"{folder} is not pushed: {why}")
    if not any((folder / "data").glob("train-*")):
        raise InputError(f"{folder} is not pushed: it has no data/train-*, as every export writes")


def _make(api: Any, repo_id: str, private: bool) -> bool:  # noqa: ANN401 - the client is optional
    """Make the dataset if it is not there; whether it is public."""
    api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
    return not api.repo_info(repo_id, repo_type="dataset").private


def _commit(api: Any, folder: Path, repo_id: str) -> None:  # noqa: ANN401 - the client is optional
    """One commit, unlike the client's `upload_folder`, which makes several of a large one: the hub never shows half."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    here = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    there = api.list_repo_files(repo_id, repo_type="dataset")
    stale = [name for name in there if name.startswith(("data/", "figures/")) and name not in here]
    operations: list[Any] = [CommitOperationDelete(path_in_repo=name) for name in stale]
    operations += [CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in here.items()]
    with warnings.catch_warnings(action="ignore"):  # the hub's hints at the card's metadata
        api.create_commit(repo_id, operations, commit_message="Upload the dataset with Evolute", repo_type="dataset")


def _explain(error: Exception, repo_id: str, token_env: str, hub: str) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in _MEANINGS:
        return f"{repo_id} was not pushed: {_MEANINGS[status].format(token_env=token_env, hub=hub)} (status {status})"
    said = getattr(error, "server_message", None) or str(error)
    short = re.sub(r"\s+", " ", said).strip()[:300] or type(error).__name__
    if status is None and isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError):
        return f"{repo_id} was not pushed: {short}"
    if status is None:
        return f"{repo_id} was not pushed: {hub} cannot be reached, or its answer not understood: {short!r}"
    return f"{repo_id} was not pushed: the hub refuses it with status {status}: {short!r}"
