"""multipart/form-data -> fields and files, files spooled to disk.

Rule: a body that is larger than allowed is refused as soon as that is known. Everything that a part may carry in a
published client is read: unquoted names, `filename*`, a quoted boundary, a content type on text (contract A.8).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from tempfile import gettempdir
from typing import Final

from msgspec import Struct
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from hark.errors import CallerError, FileTooLargeError, MediaTypeError, StorageError, UnavailableError

RETRY_AFTER_S: Final = 30  # after a disk was full
MAX_FIELDS: Final = 200
MAX_FIELD_BYTES: Final = 4 * 1024 * 1024  # a voice sample as a data URL
# By which a body may be larger than the largest file.
MAX_REST_BYTES: Final = 1024 * 1024


class Form(Struct, frozen=True):
    """In the order sent. Its reader closes it."""

    fields: list[tuple[str, str]]
    files: list[tuple[str, UploadFile]]

    def file(self, name: str = "file") -> UploadFile:
        """The one file of this name. Raises CallerError."""
        found = [file for key, file in self.files if key.partition("[")[0] == name]
        if len(found) == 1:
            return found[0]
        if any(key == name for key, _ in self.fields):
            message = f"Invalid value for '{name}': expected a part with a filename; got text. Send the file itself."
            raise CallerError(message, code="invalid_value", param=name)
        if found:
            message = f"Expected one file in '{name}'; got {len(found)}. Send one request for each."
            raise CallerError(message, code="invalid_value", param=name)
        raise CallerError(f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)

    async def close(self) -> None:
        for _, file in self.files:
            await file.close()


async def read_form(request: Request, max_file_bytes: int) -> Form:
    """The request's form. Raises CallerError, and starlette's ClientDisconnect if the client goes away."""
    kind = request.headers.get("content-type", "nothing")
    if not kind.lower().startswith("multipart/form-data"):
        message = f"Expected multipart/form-data with the audio in a part 'file'; got {kind[:100]}. Send a form."
        raise MediaTypeError(message, code="unsupported_media_type")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_file_bytes + MAX_REST_BYTES:
        raise too_large(max_file_bytes, int(declared))
    parser = MultiPartParser(
        _without_charset(kind),
        _bounded(request, max_file_bytes),
        max_files=MAX_FIELDS,
        max_fields=MAX_FIELDS,
        max_part_size=MAX_FIELD_BYTES,
    )
    try:
        parts = (await parser.parse()).multi_items()
    except MultiPartException as error:
        raise CallerError(f"The form cannot be read: {error.message} Expected multipart/form-data.") from error
    except OSError as error:
        raise _no_room(error) from error
    form = Form(
        [(name, value) for name, value in parts if isinstance(value, str)],
        [(name, value) for name, value in parts if isinstance(value, UploadFile)],
    )
    for _, file in form.files:
        if (file.size or 0) > max_file_bytes:
            await form.close()
            raise too_large(max_file_bytes, file.size or 0)
    return form


def _no_room(error: OSError) -> StorageError:
    """Files wait in the folder for temporary ones while they come."""
    told = f"This server has no room for the file just now. Its log says more. Please try again in {RETRY_AFTER_S}s."
    return StorageError(
        f"A file that was uploaded cannot be kept in {gettempdir()}: {error.strerror or error}. Make room there, or "
        "name another folder with TMPDIR.",
        UnavailableError(told, code="disk_full", retry_after_s=RETRY_AFTER_S),
    )


def too_large(limit: int, got: int) -> FileTooLargeError:
    return FileTooLargeError(f"Maximum content size limit ({limit}) exceeded ({got} bytes read)")


def _without_charset(kind: str) -> Headers:
    """The content type with its boundary alone. Names and text are UTF-8 (RFC 7578, 5.1.2); a charset could name any
    codec of Python's, and there are some that fail in ways of their own, or make text that no JSON can hold."""
    _, options = parse_options_header(kind)
    if (boundary := options.get(b"boundary")) is None:
        return Headers({"content-type": "multipart/form-data"})
    quoted = boundary.decode("latin-1").replace("\\", "\\\\").replace('"', '\\"')
    return Headers({"content-type": f'multipart/form-data; boundary="{quoted}"'})


async def _bounded(request: Request, max_file_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body, checked while it comes: its size, and that it ends as a form does (the parser would not notice)."""
    _, options = parse_options_header(request.headers["content-type"])
    closing = b"--" + options.get(b"boundary", b"") + b"--"
    read, tail, closed = 0, b"", False
    async for chunk in request.stream():
        read += len(chunk)
        if read > max_file_bytes + MAX_REST_BYTES:
            raise too_large(max_file_bytes, read)
        closed = closed or closing in tail + chunk[: len(closing)] or closing in chunk
        tail = (tail + chunk)[-len(closing) :]
        yield chunk
    if not closed:
        raise MultiPartException("It ends before its last boundary.")
