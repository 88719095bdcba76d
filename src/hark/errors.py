"""What can go wrong, whose fault it is, and what to do next.

Rule: every error says what was expected, what came, and what to do, and carries what the wire needs (`type`, `code`,
`param`, after contract A.9). Refuses: transcripts, audio and keys, which never stand in a message.

    HarkError
    ├── CallerError      the client sent what the API does not allow
    │   ├── AuthError         … or a credential that is missing or wrong
    │   ├── RateLimitError    … or more than its key allows at once, or in an hour
    │   │   ├── OverloadedError   … or more than the server can carry
    │   │   └── DrainingError     … or comes while the server is being stopped
    │   ├── NotFoundError     … or names what is not there
    │   ├── TooLargeError     … or more than this server takes (FileTooLargeError: in an upload)
    │   └── MediaTypeError    … or in a form that cannot be read
    ├── OperatorError    the person who runs Hark set something wrong, or a file is missing
    │   └── StorageError      … or a disk or a file that Hark keeps something in cannot be used
    ├── ModelError       a model could not be loaded, or failed on a request
    ├── JournalError     what has to be written down before it is told could not be
    └── InternalError    our own defect
        └── UnavailableError  … or none, but what Hark stands on is not there just now
"""

from __future__ import annotations


class HarkError(Exception):
    """Base of all errors that Hark raises on purpose.

    `message` is a sentence for people; `code` and `param` may be None, as on OpenAI's wire.
    """

    type: str = "server_error"
    status: int = 500

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


class CallerError(HarkError):
    """The request cannot be carried out as sent; sending it again unchanged fails again."""

    type = "invalid_request_error"
    status = 400


class AuthError(CallerError):
    """A credential is missing, wrong or not allowed from here."""

    status = 401


class NotFoundError(CallerError):
    """What the request names does not exist here."""

    status = 404


class TooLargeError(CallerError):
    """The body is larger than the server takes."""

    status = 413


class FileTooLargeError(TooLargeError):
    """An uploaded file is. Its type is OpenAI's (contract A.8)."""

    type = "server_error"


class MediaTypeError(CallerError):
    """The body is of another kind than the endpoint reads."""

    status = 415


class RateLimitError(CallerError):
    """A limit of the key is reached; the request may work after `retry_after_s` seconds."""

    type = "rate_limit_error"
    status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, code="rate_limit_exceeded")
        self.retry_after_s = retry_after_s


class OverloadedError(RateLimitError):
    """The server has no room, whoever asks. It is said as a limit is, for clients come back after one. `limit` names
    what there is not enough of, for who runs the server."""

    type = "server_error"

    def __init__(self, message: str, *, retry_after_s: int, limit: str = "sessions") -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.code = "server_overloaded"
        self.limit = limit


class DrainingError(RateLimitError):
    """The server is being taken out of service; another one, or this one later, may serve."""

    type = "server_error"
    status = 503

    def __init__(self) -> None:
        message = "This server is being taken out of service and takes no new sessions. Connect again."
        super().__init__(message, retry_after_s=5)
        self.code = "server_draining"


class OperatorError(HarkError):
    """A setting, a file or the machine stands in the way; the message names the mend."""


class InternalError(HarkError):
    """A defect of Hark."""


class UnavailableError(InternalError):
    """What the server stands on fails it; the request may work after `retry_after_s` seconds."""

    status = 503

    def __init__(self, message: str, *, code: str, retry_after_s: int) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class StorageError(OperatorError):
    """A disk or a file in which the server keeps something cannot be used. `told`: what its callers learn of it, to
    whom paths mean nothing."""

    def __init__(self, message: str, told: UnavailableError) -> None:
        super().__init__(message)
        self.told = told


class ModelError(HarkError):
    """A model could not be loaded or failed while it ran; the request may work when sent again, unless the failure is
    `lasting`. `deadly`: the model's process did not survive the request."""

    status = 503
    lasting = False
    deadly = False


class JournalError(HarkError):
    """A transcript that could not be written to the journal, and so is not told. Later ones may be."""

    status = 503
