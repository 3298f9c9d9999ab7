"""The process inside the sandbox: takes one job, runs it, and answers over a channel of its own.

What it is told comes from the trusted side; what it says is believed by nobody, except for the
verdict of tests that share no process with the program they test.
"""

from __future__ import annotations

import builtins
import sys
from posix import close, dup, dup2, pipe, read, write
from posix import open as open_file

from evolute.sandbox.inside.values import Uncrossable, decode, encode, json_dumps, json_loads

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would double the time that a process takes to start
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

SOLUTION, TESTS = "<solution>", "<tests>"
_DETAIL = 500


class TimeOver(BaseException):
    """A call has had its time."""


class CandidateError(Exception):
    """An exception of the candidate's that is none of Python's own."""


class Refused(BaseException):
    """An argument of the tests cannot cross to the candidate. No `except Exception` of the tests may swallow it."""


class Channel:
    """Frames of JSON over two descriptors, each after its length."""

    def __init__(self) -> None:
        self._in, self._out = dup(0), dup(1)

    def say(self, *said: Any) -> None:
        """Send one frame."""
        data = json_dumps(said).encode()
        left = memoryview(len(data).to_bytes(4, "big") + data)
        while left:
            left = left[write(self._out, left) :]

    def hear(self) -> Any:
        """Wait for one frame."""
        return json_loads(self._exactly(int.from_bytes(self._exactly(4), "big")).decode())

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = read(self._in, min(size, 1 << 20))
            if not part:
                raise SystemExit
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def main() -> None:
    """Say that the process stands, take the job, do it; only the process of trusted tests takes more than one."""
    channel = Channel()
    channel.say("here")
    job = channel.hear()
    _prepare(job)
    jobs = {"run": _run, "serve": _serve, "test": _test, "together": _together, "call": _call}
    jobs[job["do"]](channel, job)
    while job["trusted"]:
        job = channel.hear()
        jobs[job["do"]](channel, job)


def _prepare(job: dict[str, Any]) -> None:
    """Set the limits, and give the program its own standard streams in place of the channel."""
    import resource

    for name, value in job["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    if job.get("stdin"):
        source, sink = pipe()
        data = job["stdin"].encode("utf-8", "surrogatepass")[: 1 << 16]
        write(sink, data)
        close(sink)
    else:
        source = open_file("/dev/null", 0)
    dup2(source, 0)
    close(source)
    dup2(2, 1)
    sys.path += job["path"]
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # what `site` gives an ordinary interpreter


def _module(name: str) -> Any:
    module = type(sys)(name)
    sys.modules[name] = module
    return module


def _execute(code: str, place: str, namespace: dict[str, Any]) -> None:
    exec(compile(code, place, "exec", dont_inherit=True), namespace)


def _load(code: str, name: str) -> tuple[Any, tuple[str, str] | None]:
    """The module that `code` makes; or what went wrong: an outcome and its detail."""
    module = _module(name)
    try:
        _execute(code, SOLUTION, module.__dict__)
    except BaseException as error:  # all that a program may raise, SystemExit included
        return module, (_kind(error, "error"), describe(error, code, SOLUTION))
    return module, None


def _kind(error: BaseException, otherwise: str) -> str:
    if isinstance(error, Refused):
        return "uncrossable"
    if isinstance(error, TimeOver):
        return "timeout"
    return "memory" if isinstance(error, MemoryError) else otherwise


def describe(error: BaseException, code: str, place: str) -> str:
    """One line: where in `code`, what, and the line of source."""
    line = _line(error.__traceback__, place)
    if isinstance(error, SyntaxError) and error.filename == place:
        line = error.lineno or 0
    said = type(error).__name__
    try:
        text = str(error)[:_DETAIL]
    except BaseException:  # its __str__ is the program's own
        text = ""
    said += f": {text}" if text else ""
    lines = code.splitlines()
    if 0 < line <= len(lines):
        source = lines[line - 1].strip()[:_DETAIL]
        said = f"line {line}: {said} [{source}]"
    return said.replace("\n", " ")[: 2 * _DETAIL]


def _line(traceback: TracebackType | None, place: str) -> int:
    """The innermost line of the program itself, from 1; 0 where it was not involved."""
    line = 0
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == place:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _run(channel: Channel, job: dict[str, Any]) -> None:
    _, wrong = _load(job["code"], "__main__")
    _flush()
    channel.say("done", *(wrong or ("passed", "")))


def _flush() -> None:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # the program may have put anything in their place
        pass


def _serve(channel: Channel, job: dict[str, Any]) -> None:
    """Be the candidate: load its code, then answer the calls that the tests make."""
    module, wrong = _load(job["code"], "solution")
    if wrong is None:
        missing = [name for name in job["calls"] if not callable(getattr(module, name, None))]
        wrong = ("error", f"no function {missing[0]!r}") if missing else None
    channel.say("loaded", *(wrong or ("passed", "")))
    while wrong is None:
        said = channel.hear()
        if said[0] == "read":
            channel.say("value", _encoded(getattr(module, said[1], None)), None)
        else:
            _, name, arguments = said
            channel.say(*_answer(getattr(module, name), arguments, job["code"]))


def _encoded(value: Any) -> Any:
    try:
        return encode(value)
    except (Uncrossable, RecursionError):
        return None


def _answer(function: Any, arguments: Any, code: str) -> tuple[Any, ...]:
    """What a call came to: its value, and the arguments where it changed them; or what it raised."""
    positional, named = decode(arguments)
    try:
        value = function(*positional, **named)
        answer = encode(value)
    except (Uncrossable, RecursionError) as error:
        if isinstance(error, Uncrossable):
            return "opaque", f"returned {error}, which is no plain value"
        return "raised", "RecursionError", describe(error, code, SOLUTION)
    except BaseException as error:  # all that a program may raise, SystemExit included
        return "raised", _builtin_name(error), describe(error, code, SOLUTION)
    try:
        after = encode([positional, named])
    except (Uncrossable, RecursionError):
        after = arguments
    return "value", answer, None if after == arguments else after


def _builtin_name(error: BaseException) -> str:
    for kind in type(error).__mro__:
        if getattr(builtins, kind.__name__, None) is kind:
            return kind.__name__ if issubclass(kind, Exception) else "CandidateError"
    return "CandidateError"


class Proxy:
    """Stands in the tests for a function of the candidate's, which is in another process."""

    def __init__(self, channel: Channel, name: str, calls: list[str]) -> None:
        self.__name__ = self.__qualname__ = name
        self._channel = channel
        self._calls = calls

    def __call__(self, *positional: Any, **named: Any) -> Any:
        """Call the candidate; what it returns is rebuilt here, by type."""
        try:
            arguments = encode([positional, named])
        except (Uncrossable, RecursionError) as error:
            raise Refused(f"{self.__name__} is given {error}") from None
        self._channel.say("call", self.__name__, arguments)
        kind, *said = self._channel.hear()
        shown = (
            f"{self.__name__}({', '.join([*map(_short, positional), *(f'{n}={_short(v)}' for n, v in named.items())])})"
        )
        if kind != "value":
            error_name, detail = ("TypeError", said[0]) if kind == "opaque" else said
            self._calls[:] = [f"{shown} raised {error_name}"]
            known = getattr(builtins, error_name, None)
            raises = known if isinstance(known, type) and issubclass(known, Exception) else CandidateError
            raise (CandidateError if issubclass(raises, _AWKWARD) else raises)(detail)
        value = decode(said[0])
        self._calls[:] = [f"{shown} returned {_short(value)}"]
        if said[1] is not None:
            after, after_named = decode(said[1])
            _update(positional, after)
            _update(tuple(named.values()), tuple(after_named.values()))
        return value


# Those of Unicode take more than a message. The others end a `map` of the tests in silence, which then pass (PEP 479).
_AWKWARD = (UnicodeDecodeError, UnicodeEncodeError, UnicodeTranslateError, StopIteration, StopAsyncIteration)


def _short(value: Any) -> str:
    try:
        return repr(value)[:80]
    except BaseException:  # an int may have too many digits to show
        return f"a {type(value).__name__}"


def _update(before: tuple[Any, ...], after: tuple[Any, ...]) -> None:
    """Change the tests' own objects as the candidate changed its copies."""
    for old, new in zip(before, after):
        if type(old) is not type(new):
            continue
        if isinstance(old, (list, bytearray)):
            old[:] = new
        elif isinstance(old, (dict, set)):
            old.clear()
            old.update(new)


def _test(channel: Channel, job: dict[str, Any]) -> None:
    """Be the tests: the candidate's functions are proxies here."""
    calls: list[str] = []
    tests = _module("tests")
    solution = _module("solution")
    outcome = _step(lambda: _execute(job["setup"], "<setup>", tests.__dict__), job["setup"], "<setup>", calls)
    for name in job["calls"]:
        proxy = Proxy(channel, name, calls)
        setattr(tests, name, proxy)
        setattr(solution, name, proxy)
    if outcome[0] != "passed":
        channel.say("test", "setup", *outcome)
    else:
        _run_tests(channel, job, tests.__dict__, calls)
    channel.say("verdict", job["nonce"])


def _together(channel: Channel, job: dict[str, Any]) -> None:
    """Candidate and tests in one process: the nonce says that the end was reached."""
    nonce = job.pop("nonce")
    module, wrong = _load(job["setup"] + "\n" + job["code"], "solution")
    if wrong is None:
        missing = [name for name in job["calls"] if not callable(getattr(module, name, None))]
        wrong = ("error", f"no function {missing[0]!r}") if missing else None
    channel.say("loaded", *(wrong or ("passed", "")))
    if wrong is None:
        _run_tests(channel, job, module.__dict__, [])
        if job["read"]:
            channel.say("value", _encoded(getattr(module, job["read"], None)), None)
    channel.say("verdict", nonce)


def _run_tests(channel: Channel, job: dict[str, Any], namespace: dict[str, Any], calls: list[str]) -> None:
    """Run the module, then each of its test functions, until the first that fails."""
    code = job["tests"]
    outcome = _step(lambda: _execute(code, TESTS, namespace), code, TESTS, calls)
    channel.say("test", "module", *outcome)
    if outcome[0] != "passed":
        return
    for name, function in list(namespace.items()):
        if not name.startswith("test") or not _is_function(function):
            continue
        outcome = _step(function, code, TESTS, calls)
        channel.say("test", name, *outcome)
        if outcome[0] != "passed":
            return


def _is_function(value: Any) -> bool:
    return type(value) is type(_step) and value.__code__.co_filename == TESTS


def _step(step: Callable[[], Any], code: str, place: str, calls: list[str]) -> tuple[str, str]:
    calls.clear()
    try:
        step()
    except BaseException as error:  # all that tests may raise, SystemExit included
        last = f"; {calls[0]}" if calls else ""
        return _kind(error, "failed"), describe(error, code, place) + last
    return "passed", ""


def _call(channel: Channel, job: dict[str, Any]) -> None:
    """Be the candidate of one function, called with one list of arguments after the other."""
    import _signal  # type: ignore[import-not-found]  # `signal` is slow to import
    from time import perf_counter

    def over(number: int, frame: Any) -> None:
        raise TimeOver

    code, name = job["code"], job["function"]
    module, wrong = _load(code, "solution")
    function: Any = getattr(module, name, None)
    if wrong is None and not callable(function):
        wrong = ("error", f"no function {name!r}")
    channel.say("loaded", *(wrong or ("passed", "")))
    if wrong is not None:
        return
    _signal.signal(_signal.SIGALRM, over)
    while True:
        arguments, seconds = channel.hear()
        positional = decode(arguments)
        began = perf_counter()
        try:
            _signal.setitimer(_signal.ITIMER_REAL, seconds)
            try:
                value = function(*positional)
            finally:
                _signal.setitimer(_signal.ITIMER_REAL, 0)
            took = perf_counter() - began
            said = ("passed", encode(value), "")
        except Uncrossable as error:
            said = ("failed", None, f"returned {error}, which is no plain value")
        except BaseException as error:  # all that a program may raise, SystemExit included
            took = perf_counter() - began
            said = (_kind(error, "failed"), None, describe(error, code, SOLUTION))
        try:
            channel.say(*said, took)
        except MemoryError:
            channel.say("memory", None, "its value does not fit into its memory", took)
