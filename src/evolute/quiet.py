"""The hub's packages kept quiet: a run connects to nothing that the user did not name."""

from __future__ import annotations

import os

_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "DO_NOT_TRACK": "1",
}


def quiet_hub() -> None:
    """Switch off telemetry, update checks and progress bars; call it before the first import of those packages."""
    os.environ.update(_QUIET)
