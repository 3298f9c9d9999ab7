"""What an endpoint's refusal means: the one place where HTTP becomes our errors, or better terms to ask on."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import orjson

from evolute.errors import (
    AuthenticationFailed,
    BadReply,
    EndpointError,
    EvoluteError,
    ModelNotFound,
    Overloaded,
    RateLimited,
    RequestRejected,
)
from evolute.models.wire import Terms
from evolute.recipe import ModelSpec
from evolute.records import Request

_UNSUPPORTED = re.compile(
    r"not (?:\w+ )?(?:supported|permitted|allowed|available|recognized|implemented)|n't support|unsupported|cannot|"
    r"un(?:recognized|known|expected)|extra (?:inputs|fields)|invalid (?:argument|parameter|field|property)|instead|"
    r"only the default",
    re.IGNORECASE,
)
_CONSTRAINTS = re.compile(r"response_format|json_?\s?schema|output_config|structured|grammar|guided", re.IGNORECASE)
_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"})
_MESSAGE_LIMIT = 300

LONGEST_WAIT = 600.0
"""Seconds that an endpoint can make us wait at a time: asked for more, we ask it again after so many."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer other than 200: the status, what the server says, and the field that it blames, where it says so."""

    status: int
    message: str
    code: str = ""
    param: str = ""
    retry_after: float | None = None

    def blames(self, name: str) -> bool:
        """Whether this says that a field called `name` cannot be sent; that its value is too large is another thing."""
        named = self.param == name or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", self.message)
        return bool(named and _UNSUPPORTED.search(self.message))


def read_refusal(status: int, headers: Mapping[str, str], raw: bytes, secrets: Iterable[str]) -> Refusal:
    """What the server said, fit to be shown: without secrets, on one line, at most 300 characters."""
    message, code, param = _said(raw)
    return Refusal(status, shown(message, secrets), code, param, retry_after(headers))


def shown(text: str, secrets: Iterable[str]) -> str:
    """A server's text as it may stand in a message: secrets redacted, control characters escaped, cut short."""
    for secret in secrets:
        text = text.replace(secret, "[redacted]")
    text = " ".join(text.split())
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= _MESSAGE_LIMIT else text[:_MESSAGE_LIMIT] + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms`, or Retry-After as seconds or as a date (RFC 9110, 10.2.3).

    At most `LONGEST_WAIT`; None where the endpoint names no time, or none that is finite.
    """
    milliseconds, after = _number(headers.get("retry-after-ms")), headers.get("Retry-After", "")
    seconds = _number(after) if milliseconds is None else milliseconds / 1000
    if seconds is None:
        seconds = _until(after)
    return None if seconds is None else min(max(0.0, seconds), LONGEST_WAIT)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _until(date: str) -> float | None:
    try:
        at = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()


def better_terms(refusal: Refusal, used: Terms, spec: ModelSpec, request: Request) -> Terms | None:
    """The terms to ask on instead, where the refusal is of a field that we can do without; else None."""
    if refusal.status not in (400, 422):
        return None
    if used.max_tokens == "max_tokens" and spec.api == "chat" and refusal.blames("max_tokens"):
        return dataclasses.replace(used, max_tokens="max_completion_tokens")
    if used.seed and refusal.blames("seed"):
        return dataclasses.replace(used, seed=False)
    constrained = request.choices and spec.constrain == "auto" and used.constrain != "none"
    if constrained and _CONSTRAINTS.search(f"{refusal.param} {refusal.message}"):
        return dataclasses.replace(used, constrain="none")
    return None


def error(refusal: Refusal, spec: ModelSpec, request: Request, *, known: list[str] | None = None) -> EvoluteError:
    """The error that a refusal is. `known` holds the models that the endpoint lists, for a 404."""
    status, where = refusal.status, f"{spec.base_url} ({spec.model})"
    said = f"{status}: {refusal.message}" if refusal.message else str(status)
    if status == 402 or (status == 429 and refusal.code in _SPENT):
        return EndpointError(f"{where} has no credit left for this key ({said}). Top it up, then run the same again.")
    if status in (429, 529):
        return RateLimited(f"{where} asks for fewer requests ({said})", status=status, retry_after=refusal.retry_after)
    if status in (408, 409, 425) or status >= 500:
        return Overloaded(f"{where} failed ({said})", status=status, retry_after=refusal.retry_after)
    if status == 403 and re.search("flagged|moderation", refusal.message, re.IGNORECASE):
        return RequestRejected(f"{where} moderates this request away ({said})", status=status)
    if status in (401, 403):
        return AuthenticationFailed(
            f"{where} refuses the key ({said}). The key is read from the environment variable {spec.api_key_env}; "
            f"--api-key-env names another."
        )
    if status == 404:
        return ModelNotFound(_no_model(where, said, spec, known))
    if status in (400, 413, 422):
        sent = sorted({*request.sampling, *spec.extra_body}, key="top_p".__ne__)  # of two that clash, top_p goes
        blamed = next(filter(refusal.blames, sent), None)
        if blamed is not None:
            return EndpointError(f"{where} refuses the parameter {blamed} ({said}). {_remedy(blamed, request)}")
        return RequestRejected(f"{where} rejects the request ({said})", status=status)
    return BadReply(f"{where} answers {said}, which is not this API. Is base_url right? It ends in its version (…/v1).")


def no_web_page(spec: ModelSpec) -> BadReply:
    """The error for a 200 whose body is a page of HTML."""
    return BadReply(
        f"{spec.base_url} answers with a web page, not with an API. Is base_url right? It ends in its version (…/v1)."
    )


def _no_model(where: str, said: str, spec: ModelSpec, known: list[str] | None) -> str:
    if not known:
        return f"{where} is not found ({said}). Check the model's name, and that base_url ends in its version (…/v1)."
    near = difflib.get_close_matches(spec.model, known, n=len(known), cutoff=0.0)
    listed = [shown(name, ()) for name in near[:8]]
    more = f" and {len(known) - 8} more" if len(known) > 8 else ""
    return f"{where} has no such model ({said}). It offers: {', '.join(listed)}{more}."


def _remedy(name: str, request: Request) -> str:
    if name in ("temperature", "top_p", "max_tokens"):
        return f"Leave it out with --set roles.{request.role}.{name}=null"
    return f"Take {name} out of roles.{request.role}.extra_body or the model's extra_body."


def _said(raw: bytes) -> tuple[str, str, str]:
    """The message, the code and the blamed field in an error's body, in any of the shapes that servers use."""
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError:
        text = raw.decode("utf-8", "replace")
        title = re.search(r"<title>(.*?)</title>", text, re.DOTALL | re.IGNORECASE)
        return title[1] if title else re.sub(r"<[^>]*>", " ", text), "", ""
    found = data.get("error", data) if isinstance(data, dict) else data
    if not isinstance(found, dict):
        return str(found), "", ""
    message = found.get("message") or found.get("detail") or orjson.dumps(found).decode()
    code = found.get("code") or found.get("type") or ""
    return str(message), str(code), str(found.get("param") or "")
