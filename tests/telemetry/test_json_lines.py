"""A line of the log as JSON: what it is of, and what is not in it."""

import asyncio
import json
import logging
import re
import subprocess
import sys

import pytest

from hark.errors import OperatorError
from hark.telemetry import context
from hark.telemetry.logs import JsonLines, told

SESSION, REQUEST, CALL = "sess_0123456789abcdef0123", "req_0123456789abcdef0123", "rtc_0123456789abcdef0123"
SAID = "the words of a client"


def line(message, *args, gateway=None, exc_info=None, extra=None):
    record = logging.getLogger("hark.test").makeRecord(
        "hark.test", logging.WARNING, __file__, 1, message, args, exc_info, extra=extra
    )
    text = JsonLines(gateway).format(record)
    assert "\n" not in text
    return json.loads(text)


def alone(function):
    """In a context of its own, as a request has."""

    async def run():
        return await asyncio.create_task(function())

    return asyncio.run(run())


def test_a_line_says_when_how_bad_who_and_what():
    said = line('two\nlines of "text" – %d', 3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said.pop("time"))
    assert said == {"level": "warning", "logger": "hark.test", "message": 'two\nlines of "text" – 3'}


def test_ids_among_the_arguments_are_fields():
    said = line("%s opened by %s (%s)", SESSION, "app", REQUEST, gateway=2)
    assert (said["session_id"], said["request_id"], said["gateway"]) == (SESSION, REQUEST, 2)
    assert said["message"] == f"{SESSION} opened by app ({REQUEST})"
    assert line("%s is there", CALL)["call_id"] == CALL


@pytest.mark.parametrize("text", [f"/v1/{SESSION}/x", f"{SESSION} ", "sess_x", "sess_" + "z" * 20])
def test_what_only_holds_an_id_is_no_field(text):
    assert "session_id" not in line("%s is asked for", text)


def test_extra_goes_before_all_else():
    assert line("%s", SESSION, extra={"session_id": "sess_other"})["session_id"] == "sess_other"


def test_tasks_of_a_request_know_whose_they_are():
    async def request():
        context.begin(REQUEST)
        task = asyncio.create_task(later())
        context.opened(SESSION, CALL)
        return await task

    async def later():
        await asyncio.sleep(0)
        return line("packets lost: %d", 3)

    said = alone(request)
    assert (said["request_id"], said["session_id"], said["call_id"]) == (REQUEST, SESSION, CALL)
    assert "request_id" not in line("outside")


def failing():
    secret = SAID  # noqa: F841 - a local variable is not told either
    try:
        raise ValueError(SAID)
    except ValueError as error:
        raise RuntimeError(f"because of {SAID}") from error


def test_an_exception_is_its_kind_and_place_and_nothing_that_it_says():
    try:
        failing()
    except RuntimeError:
        said = line("unhandled fault", exc_info=sys.exc_info())
    where = re.escape(__file__)
    assert re.fullmatch(
        rf"RuntimeError\n  {where}:\d+ in test_an.*\n  {where}:\d+ in failing\nby ValueError\n  {where}:\d+ in failing",
        said["exception"],
    )
    assert SAID not in json.dumps(said)


def test_what_the_system_says_and_what_we_say_to_operators_stays():
    assert told(OSError(28, "No space left on device", f"/home/{SAID}")) == "OSError: No space left on device"
    assert told(OperatorError("Set a key.")) == "hark.errors.OperatorError: Set a key."
    looped = ValueError(SAID)
    looped.__context__ = KeyError(SAID)
    looped.__context__.__context__ = looped
    assert told(looped) == "ValueError\nby KeyError"


SCRIPT = """
import logging, threading, warnings, sys
from hark.telemetry import logs
logs.set_up(logging.INFO, logs.Style("json", 1), ["theirs"])
logging.getLogger("uvicorn.error").warning("theirs are masked")
for name in ("websockets", "aioice.ice", "aiortc"):
    logging.getLogger(name).info("too chatty")
warnings.warn("old")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise ValueError("words of a client")
"""


def test_all_that_python_says_by_itself_is_json_too():
    run = subprocess.run([sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True)
    said = [json.loads(text) for text in run.stderr.splitlines()]
    assert [each["logger"] for each in said] == ["uvicorn.error", "py.warnings", "hark.fault", "hark.fault"]
    assert said[0]["message"] == "*** are masked"
    assert [each["gateway"] for each in said] == [1] * 4
    assert [each["exception"].split("\n")[0] for each in said[2:]] == ["ZeroDivisionError", "ValueError"]
    assert "words of a client" not in run.stderr
