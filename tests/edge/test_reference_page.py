"""/docs: what the page has in it, that nothing foreign can get in, and that its commands work."""

import html
import itertools
import re
import subprocess

import httpx
import msgspec
import pytest

from hark.protocol.operations import OPERATIONS
from hark.protocol.uploads import UploadForm
from serving import PATIENCE_S
from uploading import encoded, pcm

# The page's style is no endpoint for anybody.
SHOWN = [operation for operation in OPERATIONS if operation.words]


@pytest.fixture(scope="module")
def page(serve):
    answer = httpx.get(serve().url + "/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer


def test_the_page_needs_nothing_from_elsewhere(server, page):
    policy = page.headers["content-security-policy"].split("; ")
    assert policy[:2] == ["default-src 'none'", "style-src 'self'"]
    assert re.findall(r"<script|<style|<img|<iframe|\son\w+=|\sstyle=|javascript:", page.text) == []
    links = set(re.findall(r'(?:href|src)="([^"#][^"]*)"', page.text))
    assert links == {"docs/style.css", "openapi.json"}
    assert all(httpx.get(f"{server.url}/{link}").status_code == 200 for link in links)
    style = httpx.get(f"{server.url}/docs/style.css")
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert "url(" not in style.text
    assert "prefers-color-scheme: dark" in style.text


def test_the_page_has_every_operation_with_a_command_for_this_server(server, page):
    text = html.unescape(page.text).replace("<wbr>", "")
    for operation in SHOWN:
        assert f'<h2 id="{operation.id}">' in text
        assert f'href="#{operation.id}"' in text
        assert operation.command(server.url) in text
        assert all(code.when in text for code in operation.refusals)
    for field in (*UploadForm.__struct_fields__, "session.audio.input.turn_detection.threshold", "segments[].speaker"):
        assert f"<code>{field}</code>" in text


def test_the_page_can_be_read_in_order(page):
    """By screen readers and by keyboard: a language, one h1, no level left out, headers on tables, ids that are one."""
    assert '<html lang="en">' in page.text
    levels = [int(level) for level in re.findall(r"<h(\d)", page.text)]
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in itertools.pairwise(levels))
    assert page.text.count("<table") == page.text.count("<thead><tr><th scope")
    ids = re.findall(r'\sid="([^"]+)"', page.text)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'(?:href="#|aria-labelledby=")([^"]+)"', page.text)) <= set(ids)


def test_what_comes_with_a_request_is_escaped(server):
    answer = httpx.get(f"{server.url}/docs", headers={"Host": "<b>here</b>"})
    assert "<b>here" not in answer.text


# A page, and what needs a session's id or takes the server away from the tests that follow.
OTHERS = ("docs", "metrics", "read_session_transcript", "drain", "undrain")


@pytest.mark.parametrize(
    "operation", [it for it in SHOWN if it.answers and it.id not in OTHERS and it.status == 200], ids=lambda it: it.id
)
def test_a_command_gives_what_is_said(server, operation, tmp_path):
    (tmp_path / "talk.mp3").write_bytes(encoded(pcm(48_000), "mp3", "libmp3lame"))
    command = operation.command(server.url).replace("curl", "curl --silent --show-error --fail", 1)
    run = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, timeout=PATIENCE_S, check=True)
    shapes = operation.answers[0].shapes
    msgspec.json.decode(run.stdout, type=shapes[0] if shapes else dict)
