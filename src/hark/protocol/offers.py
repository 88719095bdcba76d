"""What an offer to call asks for: the session beside it, and an SDP that can be read (contract A.4, A.5 and F).

Rule: the session may stand bare or wrapped once more, and goes over what the URL and the client secret say. Of the SDP
only what misleads is changed: a missing last line end is put back; candidates that no server can reach are left out,
and so is the word that there are no others, for browsers are found by their own checks. Refuses: what has no audio and
no data channel.
"""

from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, structs

from hark.core.settings import Kind, TranscriptionPatch
from hark.errors import CallerError
from hark.protocol import wire
from hark.protocol.dialects import Choice, FindModel, Handshake, choose
from hark.protocol.minting import DEFAULT_SECONDS, Order, settle
from hark.protocol.sessions import answers_with_voice

MAX_OFFER_BYTES: Final = 256 * 1024
# Checks go to each candidate of an offer before anything came from there. So nobody makes a server send to more places
# than a browser has, nor where none can be: to ports of services, to many at once, or to the server's own machine.
MAX_CANDIDATES: Final = 32
PORTS: Final = range(1_024, 65_536)
# What a data channel carries at most, both ways (contract F.8).
MAX_MESSAGE_BYTES: Final = 256 * 1024
# What the parts of one transport have in common, and a client may say once.
_SHARED: Final = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")
_NEEDED: Final = _SHARED[:3]
_EVERYBODY: Final = ip_address("255.255.255.255")
_OF_CLOUDS: Final = (
    ip_address("169.254.169.254"),
    ip_address("fd00:ec2::254"),
)  # where they tell machines their secrets
INVALID_OFFER: Final = "Invalid SDP offer. Please try again with a WHIP-compliant offer."


class Offer(Struct, frozen=True):
    """A body as it came. `session`: the JSON beside the SDP, if any."""

    sdp: str
    session: bytes | None = None


class _Body(Struct, frozen=True):
    sdp: str
    session: Raw = Raw(b"null")


class _Wrapped(Struct, frozen=True):
    session: Raw


def invalid(why: str) -> CallerError:
    return CallerError(f"{INVALID_OFFER} {why}", code="invalid_offer")


def read_offer(body: bytes) -> Offer:
    """A body that is no form: SDP, or JSON with it. Raises CallerError."""
    if body.lstrip()[:1] == b"{":
        try:
            given = msgspec.json.decode(body, type=_Body)
        except wire.UNREADABLE as error:
            raise invalid(f"The JSON has no readable 'sdp' ({error}). Send the SDP itself.") from error
        return Offer(given.sdp, bytes(given.session))
    return Offer(body.decode(errors="replace"))


def choose_call(
    handshake: Handshake, find_model: FindModel, minted: Choice | None, session: bytes | None, *, ga: bool
) -> Choice:
    """Dialect and first settings of a call. `ga`: it came to the GA dialect's URL. Raises CallerError."""
    choice = choose(handshake, find_model, minted)
    if not ga:
        choice = structs.replace(choice, dialect="beta")
    if session is None or session.strip() in (b"", b"null"):
        return choice
    try:
        patch, _ = wire.session_patch(_unwrapped(session))
    except wire.UNREADABLE as error:
        message = f"The 'session' beside the SDP is not valid JSON ({error}). Expected one object."
        raise CallerError(message, code="invalid_json", param="session") from error
    kind: Kind = choice.settings.kind
    if patch.kind is not UNSET:
        kind = patch.kind
    elif patch.model is not UNSET and answers_with_voice(patch.model):
        kind = "realtime"
    if patch.model is not UNSET and not answers_with_voice(patch.model) and patch.transcription is UNSET:
        patch = structs.replace(patch, model=UNSET, transcription=TranscriptionPatch(model=patch.model))
    settled = settle(Order(choice.dialect, kind, patch, DEFAULT_SECONDS), find_model, choice.settings)
    return structs.replace(settled, dialect=choice.dialect)


def _unwrapped(session: bytes) -> Raw:
    """The session itself, where it is wrapped once more (contract A.4)."""
    try:
        return msgspec.json.decode(session, type=_Wrapped).session
    except msgspec.ValidationError:
        return Raw(session)


def clean(sdp: str, *, loopback: bool = True) -> str:
    """The offer as it is to be read. `loopback`: the other side may be on this machine. Raises CallerError."""
    lines = [line.strip() for line in sdp.replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line]
    if not lines or not lines[0].startswith("v="):
        raise invalid(f"Expected a body that begins with v=0; got {(lines or ['nothing'])[0][:40]!r}.")
    if not any(line.startswith(("m=audio ", "m=application ")) for line in lines):
        raise invalid("It has neither audio nor a data channel: call addTrack or createDataChannel before createOffer.")
    kept, candidates = [], 0
    for line in lines:
        if line == "a=end-of-candidates":
            continue
        if line.startswith("a=candidate:"):
            if not _reachable(line, loopback) or candidates >= MAX_CANDIDATES:
                continue
            candidates += 1
        kept.append(line)
    return "\r\n".join(_completed(kept)) + "\r\n"


def check(cleaned: str) -> None:
    """Raises CallerError where a line is missing without which aiortc answers, and fails later where nobody hears."""
    for name in _NEEDED:
        if f"\n{name}" not in cleaned:
            raise invalid(f"It could not be understood: it has no line {name.rstrip(':')!r}.")


def _completed(lines: list[str]) -> list[str]:
    """Each part with what it shares with others and may leave to them: aiortc looks for it in each."""
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")]
    parts = [lines[start:end] for start, end in pairwise([0, *starts, len(lines)])]
    said = [{name: line for line in part for name in _SHARED if line.startswith(name)} for part in parts]
    common = {name: line for part in reversed(said) for name, line in part.items()}
    return [
        line
        for part, own in zip(parts, said, strict=True)
        for line in (*part, *(common[name] for name in common if part[0].startswith("m=") and name not in own))
    ]


def _reachable(candidate: str, loopback: bool) -> bool:
    """Whether a check may be sent there: over UDP, to an address and not to a name of the local network, where a
    browser can be."""
    parts = candidate.split()
    try:
        address = ip_address(parts[4].partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if address.is_unspecified or address.is_multicast or address == _EVERYBODY or int(parts[5]) not in PORTS:
            return False
        if (address.is_loopback and not loopback) or address in _OF_CLOUDS:
            return False
        return parts[2].lower() == "udp" and parts[7] in ("host", "srflx", "relay")
    except (IndexError, ValueError):
        return False
