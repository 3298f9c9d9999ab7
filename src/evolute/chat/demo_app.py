"""The page as a web application: its theme, its password, and a policy that keeps it to itself."""

from __future__ import annotations

import hmac
from typing import Any

import fastapi
import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse

from evolute.chat.demo import CSS

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""Nothing from elsewhere is loaded, whatever a model writes: no script, font or picture. Gradio's own scripts are
partly inline, and it makes functions of text."""
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "sans-serif")
_MONO = ("ui-monospace", "Menlo", "Consolas", "monospace")
_HERE = ["127.0.0.1", "localhost", "[::1]"]


class _Guard:
    """Adds the policy's headers to every answer, and takes no files: nothing on the page wants one."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - an ASGI application
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        async def guarded(message: Any) -> None:  # noqa: ANN401
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        if scope.get("path", "").rstrip("/").endswith("/upload"):
            await PlainTextResponse("no files are taken", 404)(scope, receive, guarded)
            return
        await self.app(scope, receive, guarded if scope["type"] == "http" else send)


def app_of(blocks: Any, password: str, *, only_here: bool) -> Any:  # noqa: ANN401 - Gradio's and FastAPI's
    """The application.

    Args:
        blocks: the page.
        password: what visitors have to enter, under any name; empty: nothing.
        only_here: answer only requests for this machine's own names, so that no site can be made to look like it
            (DNS rebinding).
    """
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if only_here:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=_HERE)
    app.add_middleware(_Guard)

    def lets_in(user: str, given: str) -> bool:
        return hmac.compare_digest(given.encode(), password.encode())

    theme = gr.themes.Base(font=_FONTS, font_mono=_MONO)
    return gr.mount_gradio_app(
        app, blocks, path="", auth=lets_in if password else None, auth_message="Any name; the password decides.",
        theme=theme, css=CSS, footer_links=[], ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False,
        show_error=True, max_file_size="1mb", run_history=False,
    )  # fmt: skip
