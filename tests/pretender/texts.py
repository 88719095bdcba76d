"""What OpenAI's servers say when they refuse, word for word where the words are known (contract A.9, B.3).

Rule: a name that begins with PARTLY_ has words of ours between those that were seen, and one that begins with GUESSED_
has no known words at all: a test may rely on the code of these, never on the text. `{…}` is filled in by `said`.
"""

from dataclasses import dataclass, replace
from typing import Any

REQUEST = "invalid_request_error"


@dataclass(frozen=True)
class Refusal(Exception):
    """One error: as the body of an HTTP answer, or as an event that a close may follow."""

    code: str | None
    message: str
    type: str = REQUEST
    status: int = 400
    close: int = 4000
    param: str | None = None

    def said(self, param: str | None = None, **values: object) -> "Refusal":
        return replace(self, message=self.message.format(**values), param=self.param if param is None else param)

    @property
    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def event(self, event_id: str, client_event_id: str | None = None) -> dict[str, Any]:
        error = {"type": self.type, "code": self.code, "message": self.message, "param": self.param}
        return {"type": "error", "event_id": event_id, "error": error | {"event_id": client_event_id}}

    @property
    def reason(self) -> str:
        return ".".join(filter(None, (self.type, self.code)))


# ---- who calls -----------------------------------------------------------------------------------------------------

NO_KEY = Refusal(None, "Missing bearer or basic authentication in header", status=401, close=3000)
WRONG_KEY = Refusal(
    "invalid_api_key",
    "Incorrect API key provided: {masked}. You can find your API key at https://platform.openai.com/account/api-keys.",
    status=401,
    close=3000,
)
# Known from a comment in one client alone.
GUESSED_SECRET_EXPIRED = Refusal("invalid_api_key", "Ephemeral token expired", status=401, close=3000)
GA_SECRET_ON_BETA = Refusal("api_version_mismatch", "You cannot start a Realtime beta session with a GA client secret.")
PARTLY_BETA_SECRET_ON_GA = Refusal(
    "api_version_mismatch",
    "You cannot start a Realtime GA session with a beta client secret. Create one with the client_secrets endpoint.",
)

# ---- what the account may --------------------------------------------------------------------------------------------

GUESSED_INSUFFICIENT_QUOTA = Refusal(
    "insufficient_quota",
    "You exceeded your current quota, please check your plan and billing details.",
    type="insufficient_quota",
    status=429,
)
GUESSED_CREDIT_BALANCE_EXHAUSTED = Refusal(
    "credit_balance_exhausted", "Your credit balance is exhausted.", type="insufficient_quota", status=429
)
GUESSED_RATE_LIMIT = Refusal(
    "rate_limit_exceeded", "Rate limit reached for requests.", type="rate_limit_error", status=429
)
NO_ACCESS = Refusal("model_not_found", "Project `{project}` does not have access to model `{model}`", status=403)
NO_SUCH_MODEL = Refusal("model_not_found", "The model '{model}' does not exist", status=404, param="model")

# ---- how a connection is asked for -----------------------------------------------------------------------------------

BETA_OFF = Refusal(
    "beta_api_shape_disabled",
    "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.",
)
NO_MODEL = Refusal(
    "missing_model",
    "You must provide a model parameter, for example wss://api.openai.com/v1/realtime?model=gpt-realtime-1.5",
)
NOT_A_REALTIME_MODEL = Refusal("invalid_model", 'Model "{model}" is not supported in realtime mode.')
NOT_A_TRANSCRIPTION_MODEL = Refusal("invalid_model", 'Model "{model}" is not supported in transcription mode.')
MODEL_WITH_INTENT = Refusal("invalid_model", "You must not provide a model parameter for transcription sessions.")
PARTLY_TRANSCRIPTION_MODEL = Refusal(
    "invalid_model",
    'Model "{model}" is a transcription model and cannot be used as the realtime session model. '
    "Pass this transcription model as audio.input.transcription.model instead.",
)
UNKNOWN_URL = Refusal(None, "Invalid URL ({method} {path})", status=404)

# ---- offers by SDP -------------------------------------------------------------------------------------------------

INVALID_OFFER = Refusal("invalid_offer", "Invalid SDP offer. Please try again with a WHIP-compliant offer.")
CUT_OFFER = Refusal("invalid_offer", "Failed to parse offer: failed to unmarshal SDP: EOF")
EMPTY = Refusal("", "", type="", param="")

# ---- what an update holds ------------------------------------------------------------------------------------------

TRANSCRIPTION_UPDATE_IN_REALTIME = Refusal(
    "invalid_parameter", "Passing a transcription session update event to a realtime session is not allowed."
)
GUESSED_REALTIME_UPDATE_IN_TRANSCRIPTION = Refusal(
    "invalid_parameter", "Passing a realtime session update event to a transcription session is not allowed."
)
SERVER_HAD_AN_ERROR = Refusal(
    None,
    "The server had an error while processing your request. Sorry about that! You can retry your request, or contact "
    "us through our help center at help.openai.com if the error persists. (Please include the session ID {session} in "
    "your message.)",
    type="server_error",
    status=500,
)
UNKNOWN_PARAMETER = Refusal("unknown_parameter", "Unknown parameter: '{path}'.")
MISSING_PARAMETER = Refusal("missing_required_parameter", "Missing required parameter: '{path}'.")
PARTLY_BELOW_MINIMUM = Refusal(
    "integer_below_min_value",
    "Invalid '{path}': integer below minimum value. Expected a value >= {minimum}, but got {value} instead.",
)
PARTLY_INVALID_VALUE = Refusal("invalid_value", "Invalid value: '{value}'. Supported values are: {supported}.")
NO_TURN_DETECTION = Refusal("invalid_value", "Turn detection is not supported for this transcription model.")

# ---- in a session --------------------------------------------------------------------------------------------------

GUESSED_INVALID_JSON = Refusal("invalid_json", "The message could not be parsed as JSON.")
BINARY_FRAME = Refusal(
    "invalid_event", "Expected a text WebSocket message; binary frames are not supported.", close=4000
)
EMPTY_COMMIT = Refusal(
    "input_audio_buffer_commit_empty",
    "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer only has "
    "{ms:.2f}ms of audio.",
)
GUESSED_NO_SUCH_ITEM = Refusal("item_not_found", "Item with item_id not found: {item}")
SESSION_EXPIRED = Refusal("session_expired", "Your session hit the maximum duration of {minutes} minutes.", close=1001)
TRANSCRIPTION_FAILED = Refusal(None, "Input transcription failed for item '{item}'.", type="server_error")

TEXTS = {name: value for name, value in globals().items() if isinstance(value, Refusal)}


def mask(credential: str) -> str:
    """A key as OpenAI shows it back."""
    return credential[:8] + "*" * 23 + credential[-4:]
