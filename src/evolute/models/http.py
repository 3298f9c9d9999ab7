"""The client: one HTTP endpoint as a `Model`. One session, one request per call, nothing kept per call.

It makes each call once; when to call, and whether to try again, is `Paced`'s. Only a refusal of a field that can be
left out is answered here, by asking again without it.
"""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Self
from urllib.parse import urlsplit

import orjson
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import ClientClosedError, RequestError, RequestTimeoutError

from evolute.errors import (
    AuthenticationFailed,
    BadReply,
    ConnectionLost,
    EndpointError,
    EvoluteError,
    InputError,
    Malformed,
    RequestRejected,
    TimedOut,
)
from evolute.models import refusals, wire
from evolute.recipe import ModelSpec
from evolute.records import Completion, Request

_ANTHROPIC_VERSION = "2023-06-01"
_IDLE_SECONDS = 15.0  # keep-alive: below the 20 s and more after which servers close, so that we close first
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.1
_FORBIDDEN = re.compile(r"[^\t\x20-\x7e\x80-\U0010ffff]|[\ud800-\udfff]")  # in a value; RFC 9110, 5.5
_SHORTEST_SECRET = 8  # shorter "keys" are placeholders (EMPTY, none), and redacting those would eat messages


class Http:
    """A model behind HTTP, in the API that `spec.api` names. Use it with `async with`, or call `aclose`.

    The key is read once, from the variable that `spec.api_key_env` names, and leaves this object only in the header
    of a request to `spec.base_url`. No proxy is used, and no redirect followed.

    Raises:
        InputError: `base_url` is no URL, or a header names a variable that is not set or is none that HTTP allows.
        AuthenticationFailed: the key's variable is unset, and the endpoint is not on this machine or network.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.terms = wire.first_terms(spec)
        host = _host(spec)
        key = _key(spec)
        if not key and not is_private(host):
            raise AuthenticationFailed(
                f"{spec.base_url} needs a key, and the environment variable {spec.api_key_env} is not set. "
                f"Set it, or name another with --api-key-env."
            )
        named = {name: _expanded(name, value) for name, value in spec.headers.items()}
        secrets = (key, *(word for value in named.values() for word in value.split()))  # "Bearer", and what follows
        self._secrets = tuple(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
        self._headers = {"Content-Type": "application/json", **_key_headers(spec, key), **named}
        self._base = spec.base_url.rstrip("/")
        self._url = self._base + wire.PATHS[spec.api]
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def complete(self, request: Request) -> Completion:
        """Make one call.

        Raises:
            CallFailed: the call failed in a way that another try may mend.
            RequestRejected: the endpoint will never take this request.
            EndpointError: the endpoint cannot serve any.
        """
        while True:
            terms = self.terms
            try:
                body = wire.encode(self.spec, request, terms)
            except TypeError as problem:
                raise RequestRejected(f"this request cannot be written as JSON: {problem}", status=400) from None
            started = time.perf_counter()
            status, headers, raw = await self.post(body)
            if status == 200:
                return self._completion(headers, raw, request, time.perf_counter() - started)
            refusal = refusals.read_refusal(status, headers, raw, self._secrets)
            better = refusals.better_terms(refusal, terms, self.spec, request)
            if better is None:
                known = await self._known_models() if status == 404 else None
                raise refusals.error(refusal, self.spec, request, known=known)
            if self.terms is terms:  # else another call has learned something meanwhile: ask on its terms
                self.terms = better

    async def post(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """Send one body; the reply's status, headers and bytes.

        Raises:
            ConnectionLost, TimedOut: there was no whole reply.
            EndpointError: there is no speaking with what is there.
        """
        client = self._client or self._open()
        try:
            response = await client.post(self._url).body_bytes(body).build().send()
            return response.status, response.headers, bytes(await response.bytes())
        except RequestError as problem:
            failed = self._failed(problem)
        raise failed  # out here, without the library's error as its context: that one may hold the request's headers

    async def models(self) -> list[str]:
        """The names of the models that the endpoint lists.

        Raises:
            CallFailed, EndpointError: it lists none.
        """
        client = self._client or self._open()
        try:
            response = await client.get(self._base + "/models").build().send()
            status, headers, raw = response.status, response.headers, bytes(await response.bytes())
        except RequestError as problem:
            failed = self._failed(problem)
        else:
            if status == 200:
                return self._listed(raw)
            refusal = refusals.read_refusal(status, headers, raw, self._secrets)
            failed = refusals.error(refusal, self.spec, Request("", (), b"", 0))
        raise failed

    def _open(self) -> Client:
        spec = self.spec
        self._client = (
            ClientBuilder()
            .default_headers(self._headers)
            .connect_timeout(timedelta(seconds=spec.connect_timeout))
            .read_timeout(timedelta(seconds=spec.read_timeout))
            .timeout(timedelta(seconds=spec.total_timeout))
            .max_connections(None)
            .pool_idle_timeout(timedelta(seconds=_IDLE_SECONDS))
            .http1_only()  # over one HTTP/2 connection, the server's bound on streams would be ours
            .follow_redirects(False)
            .referer(False)
            .no_proxy()
            .build()
        )
        return self._client

    def _completion(self, headers: Mapping[str, str], raw: bytes, request: Request, latency: float) -> Completion:
        try:
            data = orjson.loads(raw)
            if "error" in data and data["error"] and not data.get("choices"):  # OpenRouter, behind a 200
                return self._raise_inner(headers, raw, request, data["error"])
            return wire.decode(self.spec.api, data, latency, request.sampling)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError):
            pass
        if headers.get("Content-Type", "").startswith("text/html"):
            raise refusals.no_web_page(self.spec)
        start = refusals.shown(raw[:200].decode("utf-8", "replace"), self._secrets)
        raise Malformed(f"{self.spec.base_url} answered 200 with what is not the API's JSON: {start!r}", status=200)

    def _raise_inner(self, headers: Mapping[str, str], raw: bytes, request: Request, inner: object) -> Completion:
        code = inner.get("code") if isinstance(inner, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 502
        raise refusals.error(refusals.read_refusal(status, headers, raw, self._secrets), self.spec, request)

    def _failed(self, problem: RequestError) -> EvoluteError:
        """Our error for what the library raised instead of a reply."""
        where = self.spec.base_url
        causes = [cause["message"] for cause in problem.details["causes"] or ()]
        said = refusals.shown(": ".join(dict.fromkeys([problem.message, *causes])), self._secrets)
        if isinstance(problem, RequestTimeoutError):
            return TimedOut(f"{where} did not answer in time ({said})")
        if isinstance(problem, ClientClosedError):
            return EndpointError(f"{where}: the client was closed ({said})")
        if "certificate" in said.lower():
            return EndpointError(f"{where}: no trusted connection ({said})")
        if "invalid HTTP" in said:
            return BadReply(f"{where} does not speak HTTP ({said})")
        return ConnectionLost(f"{where}: the connection failed ({said})")

    async def _known_models(self) -> list[str] | None:
        try:
            return await self.models()
        except EvoluteError:  # it lists none, and the caller has a better error to raise
            return None

    @staticmethod
    def _listed(raw: bytes) -> list[str]:
        try:
            return [str(entry["id"]) for entry in orjson.loads(raw)["data"]]
        except (KeyError, TypeError, ValueError):
            return []


def is_private(host: str) -> bool:
    """Whether a host is this machine, or on a private network, where servers commonly want no key."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa"))
    return address.is_private or address.is_loopback or address.is_link_local


def _host(spec: ModelSpec) -> str:
    try:
        parts = urlsplit(spec.base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise InputError(f"base_url (or one of replicas) {spec.base_url!r} is not a URL like http://localhost:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:  # not shown: it may be a secret
        raise InputError(f"the base_url at {host} holds a password, a query or a fragment: send secrets in `headers`")
    return host


def _key(spec: ModelSpec) -> str:
    key = os.environ.get(spec.api_key_env, "").strip()
    if not key.isascii() or not key.isprintable():
        raise AuthenticationFailed(f"the key in the environment variable {spec.api_key_env} has characters no key has")
    return key


def _key_headers(spec: ModelSpec, key: str) -> dict[str, str]:
    if spec.api == "anthropic":
        return {"anthropic-version": _ANTHROPIC_VERSION} | ({"x-api-key": key} if key else {})
    return {"Authorization": f"Bearer {key}"} if key else {}


def _expanded(name: str, value: str) -> str:
    """A header's value with each `$NAME` read from the environment, fit to be sent.

    A value is never shown, for it may be a secret, nor is what follows a name: that may be a value in the wrong place.
    """
    good = _NAME.match(name)
    if good is None or good[0] != name:
        raise InputError(
            f"a header's name has characters that HTTP forbids; it begins with {good[0] if good else ''!r}. "
            f"Write headers as NAME: VALUE."
        )

    def read(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise InputError(f"the header {name!r} wants the environment variable {found[1]}, which is not set")
        return os.environ[found[1]]

    expanded = re.sub(r"\$(\w+)", read, value).strip()
    if _FORBIDDEN.search(expanded):
        raise InputError(
            f"the value of the header {name!r} has characters that HTTP forbids (a line's end, say). "
            f"Check the header, and the variables that it names."
        )
    return expanded
