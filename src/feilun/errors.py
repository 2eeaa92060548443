"""Every error that Feilun raises on purpose, in one tree.

This module knows codes and HTTP statuses. It knows nothing about where an error happens or how it is shown; the CLI
prints ``error.message`` and ``error.hint`` and leaves with ``exit_code``; the gateway answers in OpenAI's error shape.

::

    FeilunError
    ├── InputError (400)
    │   ├── BadRequest            malformed body or field
    │   ├── ContextTooLong        prompt plus answer exceed the model's window
    │   ├── BadSource             a file that cannot be read
    │   ├── NothingUsable         no file in the folder could be used
    │   ├── TooFewSamples         fewer than the stated minimum
    │   ├── BadModel              missing, truncated or unsupported model files
    │   ├── TooLarge (413)        a body beyond the limit
    │   └── BadSetting            unknown or wrong settings
    ├── Unauthorized (401)
    ├── Forbidden (403)           the data's permissions or the key's role refuse it
    │   └── MustNotLeave          data that may not be sent outside, and nothing inside can answer
    ├── TimedOut (408)            the client sent its request too slowly
    ├── RateLimited (429)         too many requests, tokens or calls at once; try again after a while
    │   └── BudgetExhausted       the budget of a workspace, member, key or endpoint is spent
    ├── NotFound (404)
    │   └── ModelNotFound         no such model, or not for this workspace
    ├── Conflict (409)            already running, already there
    │   └── Busy                  another process holds the lock
    ├── Cancelled (409)           the job was cancelled by somebody
    ├── EngineError (502)
    │   ├── EngineDown (503)      crashed or not ready; try again
    │   ├── UpstreamError         a provider or engine broke off, or answered what is no answer
    │   ├── UpstreamTimeout (504) it did not connect, begin or go on in time
    │   └── IdentityMismatch      the engine does not reproduce the trainer's golden outputs
    ├── OutOfSpace (507)          no room left on the disk
    ├── PortTaken (500)
    └── MissingDependency (500)   says which extra to install
"""

from __future__ import annotations


class FeilunError(Exception):
    """Base of all errors: a message for people, a hint that says what to do, a stable code, an HTTP status."""

    code = "internal_error"
    status = 500
    kind = "server_error"
    exit_code = 1

    def __init__(self, message: str, hint: str = "", param: str | None = None) -> None:
        """Keep the message, the hint and, for requests, the name of the offending parameter."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param

    def body(self) -> dict[str, object]:
        """Return the OpenAI error body."""
        text = f"{self.message} {self.hint}".strip()
        return {"error": {"message": text, "type": self.kind, "param": self.param, "code": self.code}}


class InputError(FeilunError):
    """Something that was given to us is wrong."""

    code, status, kind, exit_code = "invalid_input", 400, "invalid_request_error", 2


class BadRequest(InputError):
    """A malformed body, or a field that is missing, unknown or of the wrong type."""

    code = "invalid_request"


class ContextTooLong(InputError):
    """The prompt and the answer asked for do not fit the model's window."""

    code = "context_length_exceeded"


class BadSource(InputError):
    """A file that cannot be read; the message says why."""

    code = "bad_source"


class NothingUsable(InputError):
    """No file could be used."""

    code = "nothing_usable"


class TooFewSamples(InputError):
    """Fewer samples than the stated minimum."""

    code = "too_few_samples"


class BadModel(InputError):
    """Model files that are missing, truncated or of an unsupported architecture."""

    code = "bad_model"


class TooLarge(InputError):
    """A request body, or an uploaded file, beyond the limit."""

    code, status = "request_too_large", 413


class BadSetting(InputError):
    """Unknown or wrong settings; all mistakes are reported together."""

    code = "bad_setting"


class Unauthorized(FeilunError):
    """No key, or a key that is not known."""

    code, status, kind, exit_code = "invalid_api_key", 401, "invalid_request_error", 3


class Forbidden(FeilunError):
    """The permissions of the data, or the role of the key, refuse it."""

    code, status, kind, exit_code = "forbidden", 403, "permission_error", 3


class MustNotLeave(Forbidden):
    """The call carries data that may not be sent outside, and no deployment inside can answer it."""

    code = "data_must_not_leave"


class TimedOut(FeilunError):
    """The client took too long to send its request."""

    code, status, kind, exit_code = "request_timeout", 408, "invalid_request_error", 2


class RateLimited(FeilunError):
    """Too many requests, tokens or calls at once; ``retry_after`` says in how many seconds it may be otherwise."""

    code, status, kind, exit_code = "rate_limit_exceeded", 429, "rate_limit_error", 3
    retry_after: float = 1.0


class BudgetExhausted(RateLimited):
    """A budget of tokens or money is spent."""

    code, kind = "insufficient_quota", "insufficient_quota"


class NotFound(FeilunError):
    """No such thing in this workspace."""

    code, status, kind, exit_code = "not_found", 404, "invalid_request_error", 2


class ModelNotFound(NotFound):
    """No such model, or none that this workspace may use."""

    code = "model_not_found"


class Conflict(FeilunError):
    """It is already there, or already running."""

    code, status, kind, exit_code = "conflict", 409, "invalid_request_error", 4


class Busy(Conflict):
    """Another process holds the lock."""

    code = "busy"


class Cancelled(FeilunError):
    """The job was cancelled by somebody."""

    code, status, kind, exit_code = "cancelled", 409, "invalid_request_error", 5


class EngineError(FeilunError):
    """An engine answered wrongly or not at all."""

    code, status, exit_code = "engine_error", 502, 6


class EngineDown(EngineError):
    """The engine crashed or is not ready."""

    code, status = "engine_down", 503


class UpstreamError(EngineError):
    """A provider or engine broke off in the middle, or answered what is no answer."""

    code = "upstream_error"


class UpstreamTimeout(EngineError):
    """A provider or engine did not connect, begin to answer, or go on in time."""

    code, status = "upstream_timeout", 504


class IdentityMismatch(EngineError):
    """The serving engine does not reproduce the trainer's golden outputs."""

    code, status = "identity_mismatch", 409


class OutOfSpace(FeilunError):
    """No room left on the disk."""

    code, status, exit_code = "out_of_space", 507, 7


class PortTaken(FeilunError):
    """Another program listens on the port."""

    code, status, exit_code = "port_taken", 500, 8


class MissingDependency(FeilunError):
    """An optional part is not installed; the hint is the line that installs it."""

    code, status, exit_code = "missing_dependency", 500, 9
