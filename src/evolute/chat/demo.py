"""The page to talk to a model, or to two side by side, made with Gradio. Import it only where a page is opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import gradio as gr
import orjson

from evolute.chat.sessions import Panel, Session
from evolute.chat.showing import shown, turn_at, unmarked
from evolute.chat.turns import Turn, whole_messages
from evolute.chat.votes import Choice, Vote, record_vote
from evolute.errors import EvoluteError

_VOTES: Mapping[Choice, str] = {
    "first": "A is better", "second": "B is better", "tie": "Equally good", "both-bad": "Both bad",
}  # fmt: skip
CSS = """
footer {display: none !important}
.gradio-container {width: 100% !important; max-width: 1200px !important; margin: 0 auto !important}
.narrow-buttons button {min-width: 8em}
"""


@dataclass(frozen=True, slots=True)
class Start:
    """What the page's controls stand at when it is opened."""

    system: str = ""
    temperature: float = 0.7
    top_p: float = 0.95
    max_tokens: int = 1024


def examples() -> list[dict[str, str]]:
    """Example prompts of our own, one for each skill of the WizardLM test set: `skill` and `prompt`."""
    text = (files("evolute.chat") / "data" / "examples.jsonl").read_text(encoding="utf-8")
    return [orjson.loads(line) for line in text.splitlines()]


class Page:
    """The page's parts and what they do. `blocks` is what is served.

    Args:
        panel: the models.
        votes: where votes are recorded, where there are two models.
        start: what the controls stand at.
    """

    def __init__(self, panel: Panel, votes: Path | None, start: Start) -> None:
        self.panel = panel
        self.votes = votes
        self.two = len(panel.talkers) == 2
        with gr.Blocks(title="Evolute", analytics_enabled=False, fill_height=True) as self.blocks:
            # Gradio copies a method together with what it belongs to: all of a model, where one is in this process.
            self.session = gr.State(lambda: panel.new_session())
            self._draw(start)
            self._connect()

    def _draw(self, start: Start) -> None:
        first = self.panel.new_session()
        with gr.Row(equal_height=True):
            self.chats = [self._chat(first, place) for place in range(len(self.panel.talkers))]
        with gr.Row(visible=False, elem_id="votes", elem_classes="narrow-buttons") as self.voting:
            self.vote_buttons = {choice: gr.Button(_VOTES[choice], size="sm") for choice in get_args(Choice)}
        with gr.Row():
            self.box = gr.Textbox(
                placeholder="Ask something. Enter sends, Shift+Enter begins a new line.", show_label=False, lines=1,
                max_lines=12, autofocus=True, scale=8, elem_id="ask", container=False,
            )  # fmt: skip
            self.send = gr.Button("Send", variant="primary", scale=1, min_width=90, elem_id="send")
            self.stop = gr.Button("Stop", variant="stop", scale=1, min_width=90, visible=False, elem_id="stop")
            self.fresh = gr.Button("New", scale=1, min_width=90, elem_id="new")
        with gr.Accordion("System prompt and parameters", open=False, elem_id="settings"):
            self.system = gr.Textbox(start.system, label="System prompt", lines=2, elem_id="system")
            self.temperature = gr.Slider(0, 2, start.temperature, step=0.01, label="Temperature (0: the likeliest)")
            self.top_p = gr.Slider(0.01, 1, start.top_p, step=0.01, label="Top p")
            self.max_tokens = gr.Slider(
                1, max(8192, start.max_tokens), start.max_tokens, step=1, label="Most tokens of an answer"
            )
        with gr.Accordion("Examples, one for each skill", open=False, elem_id="examples"):
            rows = examples()
            self.examples = gr.Dataset(
                components=[self.box], samples=[[row["prompt"]] for row in rows], show_label=False,
                sample_labels=[row["skill"] for row in rows], samples_per_page=len(rows),
            )  # fmt: skip

    def _chat(self, session: Session, place: int) -> Any:  # noqa: ANN401 - Gradio's
        return gr.Chatbot(
            label=self.panel.label(session, place), elem_id=f"chat{place}", height="62vh", min_width=300,
            sanitize_html=True, allow_tags=False, render_markdown=True, buttons=["copy"], editable="user",
            feedback_options=None, allow_file_downloads=False, layout="bubble",
        )  # fmt: skip

    def _connect(self) -> None:
        asked = [self.session, self.system, self.temperature, self.top_p, self.max_tokens]
        told = [self.session, *self.chats, self.box, self.send, self.stop, self.voting]
        on: dict[str, Any] = {
            "outputs": told,
            "concurrency_limit": None,
            "show_progress": "hidden",
            "api_visibility": "private",
            "trigger_mode": "multiple",  # `_busy` says no; Gradio would drop a question asked right after an answer
        }
        for event in (self.box.submit, self.send.click):
            event(self._ask, [self.box, *asked], **on)
        for place, chat in enumerate(self.chats):
            chat.retry(self._again(place), asked, **on)
            chat.edit(self._edited(place), asked, **on)
            chat.undo(self._undone(place), [self.session], **on)
            chat.clear(self._new, None, **on)
        self.fresh.click(self._new, None, **on)
        self.stop.click(self._stopped, None, None, queue=False, api_visibility="private")
        self.blocks.unload(self._stopped)
        self.examples.click(lambda sample: sample[0], self.examples, self.box, queue=False, api_visibility="private")
        for choice, button in self.vote_buttons.items():
            button.click(self._voted(choice), [self.session], **on)

    async def _ask(
        self, text: str, session: Session, system: str, temperature: float, top_p: float, most: int, request: gr.Request
    ) -> AsyncIterator[Any]:
        if not text.strip() or self._busy(request):
            yield self._as_it_is(session, request)
            return
        session.turns.append(Turn(text))
        async for view in self._answered(session, system, temperature, top_p, most, request):
            yield view

    def _again(self, place: int) -> Callable[..., AsyncIterator[Any]]:
        async def again(
            session: Session, system: str, temperature: float, top_p: float, most: int,
            request: gr.Request, retried: gr.RetryData,
        ) -> AsyncIterator[Any]:  # fmt: skip
            if self._busy(request) or not session.turns:
                yield self._as_it_is(session, request)
                return
            del session.turns[turn_at(session.turns, session.order[place], _first(retried.index)) + 1 :]
            async for view in self._answered(session, system, temperature, top_p, most, request):
                yield view

        return again

    def _edited(self, place: int) -> Callable[..., AsyncIterator[Any]]:
        async def edited(
            session: Session, system: str, temperature: float, top_p: float, most: int,
            request: gr.Request, change: gr.EditData,
        ) -> AsyncIterator[Any]:  # fmt: skip
            text = unmarked(str(change.value))
            if self._busy(request) or not session.turns or not text.strip():
                yield self._as_it_is(session, request)
                return
            session.turns[turn_at(session.turns, session.order[place], _first(change.index)) :] = [Turn(text)]
            async for view in self._answered(session, system, temperature, top_p, most, request):
                yield view

        return edited

    def _undone(self, place: int) -> Callable[..., Any]:
        async def undone(session: Session, request: gr.Request, data: gr.UndoData) -> Any:  # noqa: ANN401
            if self._busy(request) or not session.turns:
                return self._as_it_is(session, request)
            at = turn_at(session.turns, session.order[place], _first(data.index))
            asked = session.turns[at].asked
            del session.turns[at:]
            return self._view(session, box=asked)

        return undone

    async def _answered(
        self, session: Session, system: str, temperature: float, top_p: float, most: int, request: gr.Request
    ) -> AsyncIterator[Any]:
        sampling = {"temperature": temperature, "top_p": top_p, "max_tokens": int(most)}
        box: str | None = ""
        async with aclosing(self.panel.ask(str(request.session_hash), session, system, sampling)) as steps:
            async for _ in steps:
                yield self._view(session, answering=True, box=box)
                box = None
        yield self._view(session)

    def _new(self, request: gr.Request) -> Any:  # noqa: ANN401
        self.panel.stop(str(request.session_hash))
        return self._view(self.panel.new_session(), box="")

    def _stopped(self, request: gr.Request) -> None:
        self.panel.stop(str(request.session_hash))

    def _voted(self, choice: Choice) -> Callable[[Session], Any]:
        def voted(session: Session) -> Any:  # noqa: ANN401
            if self.votes is not None and not session.voted and session.turns:
                try:
                    record_vote(self.votes, self._vote(choice, session))
                except EvoluteError as error:
                    raise gr.Error(str(error)) from None
                session.voted = session.named = True
                gr.Info("The vote is recorded.")
            return self._view(session)

        return voted

    def _vote(self, choice: Choice, session: Session) -> Vote:
        left, right = session.order
        sent = dict(session.sent)
        system = sent.get("system", "")
        talks = (whole_messages(session.turns, left, system), whole_messages(session.turns, right, system))
        names = (self.panel.talkers[left].name, self.panel.talkers[right].name)
        return Vote(choice, names, talks, sent, blind=not session.named)

    def _as_it_is(self, session: Session, request: gr.Request) -> list[Any]:
        return self._view(session, answering=self.panel.busy(str(request.session_hash)))

    def _busy(self, request: gr.Request) -> bool:
        if self.panel.busy(str(request.session_hash)):
            gr.Warning("An answer is being written: stop it first.")
            return True
        return False

    def _view(self, session: Session, *, answering: bool = False, box: str | None = None) -> list[Any]:
        """All parts as this session's state has them; the box keeps what is in it where `box` is None."""
        chats = [
            gr.Chatbot(shown(session.turns, side), label=self.panel.label(session, place))
            for place, side in enumerate(session.order)
        ]
        ripe = self.two and not answering and not session.voted and bool(session.turns)
        ripe = ripe and all(answer.text.strip() for answer in session.turns[-1].answers)
        return [
            session, *chats, gr.skip() if box is None else box, gr.Button(visible=not answering),
            gr.Button(visible=answering), gr.Row(visible=ripe),
        ]  # fmt: skip


def _first(index: int | tuple[int, int] | list[int]) -> int:
    return index if isinstance(index, int) else index[0]
