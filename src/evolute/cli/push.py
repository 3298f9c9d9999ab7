"""`evolute push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from evolute.cli.screen import say


def push(
    folder: Path,
    repo: Annotated[str, Parameter(help="OWNER/NAME on the Hugging Face hub; made if it is not there.")],
    /,
    *,
    public: Annotated[bool, Parameter(negative="", help="Make it public. Default: private.")] = False,
    token_env: Annotated[str, Parameter(help="The environment variable with a token that may write.")] = "HF_TOKEN",
) -> None:
    """Publish an exported folder on the Hugging Face hub. Nothing is uploaded but by this command.

    Args:
        folder: What `evolute export RUN --out FOLDER` or `evolute run` wrote (RUN/dataset).
        repo: OWNER/NAME on the hub.
    """
    from evolute.export.hub import push as upload

    say(f"published: {upload(folder, repo, private=not public, token_env=token_env)}")
