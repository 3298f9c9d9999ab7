"""The shapes of the loopback server's batches: the objects, and the lines of their results, in either API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from aiohttp import web

from evolute.models.loopback_reply import reply_body

Outcome = Literal["succeeded", "errored", "expired", "canceled"]

_MESSAGES = {
    "errored": "The server had an error while processing your request",
    "expired": "This request could not be executed before the completion window expired.",
    "canceled": "This request was cancelled before it could be executed.",
}
_KINDS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


@dataclass(slots=True)
class Batch:
    """One batch, as it is kept on disk."""

    id: str
    api: str
    file: str
    total: int
    created: float
    metadata: dict[str, str] = field(default_factory=dict)
    endpoint: str = ""
    errors: list[dict[str, Any]] = field(default_factory=list)
    cancelled: float = 0.0


def batch_body(batch: Batch, over: bool, counts: Counter[Outcome]) -> dict[str, Any]:
    """The batch in its API's shape; `counts` are of one that is over."""
    return _openai_body(batch, over, counts) if batch.api == "openai" else _anthropic_body(batch, over, counts)


def result_line(batch: Batch, name: str, outcome: Outcome, status: int, body: object) -> dict[str, Any]:
    """A line of the results; `status` and `body` are the reply to a request that got one."""
    if batch.api == "anthropic":
        return {"custom_id": name, "result": _anthropic_result(outcome, status, body)}
    line = {"id": f"batch_req_{name[:16]}", "custom_id": name, "response": None, "error": None}
    if outcome in ("expired", "canceled"):
        code = "batch_expired" if outcome == "expired" else "batch_cancelled"
        return line | {"error": {"code": code, "message": _MESSAGES[outcome]}}
    if outcome == "errored":
        status, body = 500, error_body(_MESSAGES[outcome])
    return line | {"response": {"status_code": status, "request_id": f"req_{name[:16]}", "body": body}}


def answer(batch: Batch, body: Mapping[str, Any], reply: object) -> tuple[int, object]:
    """The status and the body that the server's rule comes to."""
    if isinstance(reply, web.Response):
        return reply.status, orjson.loads(reply.body or b"{}")  # type: ignore[arg-type]
    if not isinstance(reply, str):
        return 200, reply
    api = "messages" if batch.api == "anthropic" else "chat" if batch.endpoint.endswith("chat/completions") else "plain"
    return 200, reply_body(api, body, reply, "")


def objection(code: str, message: str, line: int | None) -> dict[str, Any]:
    """What validation finds in a file."""
    return {"code": code, "message": message, "param": None, "line": line}


def error_body(message: str) -> dict[str, Any]:
    """A refusal's body."""
    return {"error": {"message": message, "type": "error", "param": None, "code": None}}


def _openai_body(batch: Batch, over: bool, counts: Counter[Outcome]) -> dict[str, Any]:
    failed = sum(counts.values()) - counts["succeeded"]
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
        "input_file_id": batch.file,
        "completion_window": "24h",
        "status": _openai_status(batch, over, counts),
        "output_file_id": f"output-{batch.id}" if counts["succeeded"] else None,
        "error_file_id": f"error-{batch.id}" if failed else None,
        "created_at": int(batch.created),
        "expires_at": int(batch.created) + 86400,
        "request_counts": {"total": batch.total, "completed": counts["succeeded"], "failed": failed},
        "metadata": batch.metadata or None,
    }


def _openai_status(batch: Batch, over: bool, counts: Counter[Outcome]) -> str:
    if batch.errors:
        return "failed"
    if not over:
        return "in_progress"
    return "cancelled" if batch.cancelled else "expired" if counts["expired"] else "completed"


def _anthropic_body(batch: Batch, over: bool, counts: Counter[Outcome]) -> dict[str, Any]:
    kinds: tuple[Outcome, ...] = ("succeeded", "errored", "expired", "canceled")
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": "ended" if over else "in_progress",
        "request_counts": {"processing": 0 if over else batch.total} | {kind: counts[kind] for kind in kinds},
        "created_at": _moment(batch.created),
        "expires_at": _moment(batch.created + 86400),
        "cancel_initiated_at": _moment(batch.cancelled) if batch.cancelled else None,
        "archived_at": None,
        "results_url": f"/v1/messages/batches/{batch.id}/results" if over else None,
    }


def _anthropic_result(outcome: Outcome, status: int, body: object) -> dict[str, Any]:
    if outcome in ("expired", "canceled"):
        return {"type": outcome}
    if outcome == "succeeded" and status == 200:
        return {"type": "succeeded", "message": body}
    said = body["error"]["message"] if isinstance(body, dict) and outcome == "succeeded" else _MESSAGES[outcome]
    error = {"type": _KINDS.get(status, "api_error"), "message": said}
    return {"type": "errored", "error": {"type": "error", "error": error}}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
