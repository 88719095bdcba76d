"""What a log says of an error, whoever raised it and wherever it came up; the whole server: edge/test_planted.py."""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from hark import discreet
from hark.errors import ModelError

SAID = "xylophone-quartz"


def logged(error, *, secrets=()):
    record = logging.LogRecord("hark.x", logging.ERROR, __file__, 1, "it failed", (), (type(error), error, None))
    return discreet.Discreet("%(message)s", secrets=secrets).format(record)


def raised(how):
    try:
        how()
    except BaseException as error:
        return error


def chained():
    try:
        raise KeyError(SAID)
    except KeyError as error:
        raise ModelError("The model failed.") from error


def beside():
    try:
        int(SAID)
    except ValueError:
        raise RuntimeError(f"about {SAID}")  # noqa: B904


def several():
    raise ExceptionGroup(f"of {SAID}", [ValueError(SAID), ExceptionGroup("more", [LookupError(SAID)])])


def noted():
    error = ValueError(SAID)
    error.add_note(f"it was {SAID}")
    raise error


@pytest.mark.parametrize("how", [lambda: int(SAID), chained, beside, several, noted, lambda: {}[SAID]])
def test_the_frames_of_an_error_are_shown_and_its_words_are_not(how):
    text = logged(raised(how))
    assert SAID not in text
    assert "it failed" in text
    assert "test_discreet.py" in text


def test_what_hark_the_system_and_the_interpreter_say_is_shown():
    assert "ModelError: The model failed." in logged(raised(chained))
    assert "KeyError: (its words are left out" in logged(raised(chained))
    assert "FileNotFoundError: No such file or directory" in logged(raised(Path("/nowhere").read_text))
    assert "'int' object has no attribute 'said'" in logged(raised(lambda: (1).said))
    assert logged(raised([].pop)).endswith("IndexError: (its words are left out: they may be somebody's)")


def test_an_operators_secret_is_taken_out_of_every_line():
    said = logged(ModelError("The key sk-operator-1 and sk-operator-12 are wrong."), secrets=["sk-operator-1", "is"])
    assert "sk-operator" not in said
    assert "The key *** and ***2 are wrong." in said
    assert "ModelError" in said  # what is too short is in everything


def test_a_loop_tells_of_a_fault_without_what_it_was_about(caplog):
    async def fail():
        raise ValueError(SAID)

    def call_back(argument):
        raise ValueError(argument)

    async def run():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(discreet.on_loop)
        loop.call_soon(call_back, SAID)
        task = asyncio.create_task(fail(), name=SAID)
        await asyncio.wait({task})
        del task
        loop.call_exception_handler({"message": f"Fatal error on ({SAID})", "exception": ValueError(SAID)})

    asyncio.run(run())
    call, task, fatal = (record.message for record in caplog.records)
    assert call.startswith("Exception in callback ")
    assert (task, fatal) == ("Task exception was never retrieved", "Fatal error on")
    assert not any(SAID in record.message for record in caplog.records)
    assert all(SAID not in discreet.Discreet("%(message)s").format(record) for record in caplog.records)


# Ends by a fault after one in a thread and one in a destructor, with a library that tells too much.
PROGRAM = f"""
import logging, threading, sys
from hark import discreet
discreet.set_up(logging.DEBUG, discreet.Discreet("%(name)s %(message)s"))
logging.getLogger("aiortc").debug("{SAID}")
logging.getLogger("hark.edge").debug("shown")
def fail(): raise ValueError("{SAID[:5]}" + "{SAID[5:]}")
thread = threading.Thread(target=fail); thread.start(); thread.join()
class Late:
    def __del__(self): fail()
Late()
fail()
"""


def test_no_fault_of_a_process_says_more_on_its_way_out():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "hark.edge shown" in ended.stderr
    assert ended.stderr.count("ValueError: (its words are left out") == 3
    assert SAID not in ended.stderr.replace(f'"{SAID}"', "")
