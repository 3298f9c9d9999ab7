"""Every error that Evolute raises on purpose.

EvoluteError                      shown as one message, without a traceback; `exit_code` is the command's status
├── InputError                    the user's file, field or flag is wrong
│   ├── RecipeError               the recipe has an unknown field or an impossible value
│   ├── OperationError            an operation's file is not as docs/operations.md says
│   ├── SeedError                 a row of the user's data cannot be a seed
│   └── MissingExtra              a feature needs a package that is not installed
├── LedgerError                   the run's record cannot be used as it is
│   ├── RunBusy                   another process holds the run
│   ├── LedgerTooNew              written by a newer Evolute
│   └── LedgerDamaged             not a ledger, or broken
├── EndpointError                 the endpoint cannot serve this run at all: stop, leave the run ready to resume
│   ├── AuthenticationFailed      401, 403, or the key's variable is unset
│   ├── ModelNotFound             404
│   ├── EndpointGone              nothing answers, or the circuit breaker opened
│   └── BadReply                  something answers, but not this API (HTML, say)
├── CallFailed                    one request failed in a way that another try may mend; the pacer retries it
│   ├── RateLimited               429 (or 529), with `retry_after` where the endpoint said it
│   ├── Overloaded                5xx
│   ├── ConnectionLost            refused, reset, cut off
│   ├── TimedOut                  no answer within the read or total timeout
│   └── Malformed                 a 200 whose body is not the API's JSON
├── RequestRejected               400, 413, 422: this request can never succeed; trying again would be useless
├── ScoreFailed                   the command that scores a round (Evol Stop) gave no score
├── SandboxError                  a program could not be run, through no fault of its own
│   └── SandboxUnavailable        a protection is missing: nothing is run without it
├── Stopped                       the run is being stopped, and begins no new call
├── Interrupted                   the user has stopped it; the same command goes on
└── NotRecorded                   a replay asked for a call that the ledger does not hold
"""

from __future__ import annotations


class EvoluteError(Exception):
    """An error with a message for the user: what is wrong, where, the value, and the remedy."""

    exit_code = 1


class InputError(EvoluteError):
    """The user's file, field or flag is wrong."""

    exit_code = 2


class RecipeError(InputError):
    """The recipe has an unknown field or an impossible value."""


class OperationError(InputError):
    """An operation's file is not as docs/operations.md says."""


class SeedError(InputError):
    """A row of the user's data cannot be a seed."""


class MissingExtra(InputError):
    """A feature needs a package that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional part. Install it with: pip install 'evolute[{extra}]'")


class LedgerError(EvoluteError):
    """The run's record cannot be used as it is."""


class RunBusy(LedgerError):
    """Another process holds the run."""


class LedgerTooNew(LedgerError):
    """The ledger was written by a newer Evolute."""


class LedgerDamaged(LedgerError):
    """The file is not a ledger, or it is broken."""


class EndpointError(EvoluteError):
    """The endpoint cannot serve this run at all. What was paid for is recorded; the run can be resumed."""

    exit_code = 3


class AuthenticationFailed(EndpointError):
    """The endpoint refused the key (401, 403), or the key's environment variable is unset."""


class ModelNotFound(EndpointError):
    """The endpoint does not know the model (404)."""


class EndpointGone(EndpointError):
    """Nothing answers at the endpoint, or the circuit breaker opened."""


class BadReply(EndpointError):
    """Something answers at the endpoint, but it does not speak this API."""


class CallFailed(EvoluteError):
    """One request failed in a way that another try may mend."""

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class RateLimited(CallFailed):
    """The endpoint asks for fewer requests (429, 529)."""


class Overloaded(CallFailed):
    """The endpoint failed (5xx)."""


class ConnectionLost(CallFailed):
    """The connection was refused, reset or cut off."""


class TimedOut(CallFailed):
    """No answer within the timeout."""


class Malformed(CallFailed):
    """A successful status whose body is not the API's JSON."""


class RequestRejected(EvoluteError):
    """The endpoint will never accept this request (400, 413, 422)."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class ScoreFailed(EvoluteError):
    """The command that scores a round (Evol Stop) gave no score. The run can be resumed."""


class SandboxError(EvoluteError):
    """A program could not be run, through no fault of its own."""


class SandboxUnavailable(SandboxError):
    """A protection is missing: nothing is run without it."""


class Stopped(EvoluteError):
    """The run is being stopped, and begins no new call."""


class Interrupted(EvoluteError):
    """The user has stopped it with Ctrl-C; what was done is kept, and the same command goes on."""

    exit_code = 130


class NotRecorded(EvoluteError):
    """A replay asked for a call that the ledger does not hold."""
