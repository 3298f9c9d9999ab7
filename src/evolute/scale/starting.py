"""Ray, joined or started: the one place where Evolute does either."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from evolute.errors import InputError, MissingExtra

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to anybody
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else every start warns of what a coming version does
    "RAY_TQDM": "0",
}
_PATIENCE = 10.0
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's word for a start that listens on 127.0.0.1 and nowhere else; on Linux too, if it is said before the import."""
_TOKEN = "RAY_AUTH_TOKEN"
"""Without one, a Ray that is started writes ~/.ray/auth_token, for all to read and for later clusters to obey."""


@contextmanager
def connect(on: str = "ray", *, cores: int | None = None) -> Iterator[None]:
    """Ray for the length of a block; where this process has joined one already, that one, which is left as it is.

    Args:
        on: `ray` starts one on this machine, which listens on loopback only and ends with the block. `ray://auto` joins
            the one that runs on this machine, `ray://HOST:PORT` the cluster of that head (6379 is Ray's own port, as
            `ray start --head` prints it); this machine must be one of its nodes, as Ray wants it of a driver
            (https://docs.ray.io/en/latest/ray-core/starting-ray.html).
        cores: of one that is started: so many tasks at once (default: the machine's cores).

    Raises:
        InputError: `on` is neither, or there is no such cluster.
        MissingExtra: Ray is not installed.
    """
    address = check_address(on)
    if find_spec("ray") is None:
        raise MissingExtra("--on ray", "scale")
    os.environ.update(_QUIET if address else _QUIET | _LOOPBACK)
    import ray

    if ray.is_initialized():
        yield
        return
    if not address:
        os.environ.setdefault(_TOKEN, secrets.token_hex(32))  # it stays: Ray reads it once in a process
    try:
        _join(address, cores)
        _hush()
        yield
    finally:
        ray.shutdown()


def check_address(on: str) -> str:
    """The address in `on`, empty where a Ray is to be started.

    Raises:
        InputError: it is none of what `connect` takes.
    """
    name, mark, address = on.partition("://")
    if name != "ray" or bool(mark) != bool(address):
        raise InputError(f"--on is 'ray', 'ray://auto' or 'ray://HOST:PORT', not {on!r}")
    return address


def _join(address: str, cores: int | None) -> None:
    import ray

    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if not address:
        # "local" starts one; without it Ray would join whatever runs on this machine.
        ray.init(address="local", num_cpus=cores, include_dashboard=False, **quiet)
        return
    try:
        _reach(address)
        ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        said = str(error).strip().partition("\n")[0]
        raise InputError(
            f"--on ray://{address}: no Ray cluster can be joined there ({said}): start one with `ray start --head`, and"
            " run this on one of its nodes, with its RAY_AUTH_MODE and RAY_AUTH_TOKEN_PATH where it has a token; "
            "`--on ray` starts one for this command"
        ) from None


def _reach(address: str) -> None:
    """Look whether anybody listens there: Ray itself would try for minutes, and say so at length."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"{address!r} is not HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()


def _hush() -> None:
    with warnings.catch_warnings(action="ignore"):  # it warns of its own settings
        from ray.data import DataContext

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
