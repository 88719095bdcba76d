"""/ and its files: who gets the page, what it may do, and that nothing of it comes from elsewhere.

That it works, tests/browser/ sees to (make test-browser).
"""

import re
from pathlib import Path

import httpx
import pytest

import hark

FOLDER = Path(hark.__file__).parent / "console"
FILES = sorted(path.name for path in FOLDER.iterdir())
PAGE = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


def page(server, **headers):
    return httpx.get(server.url, headers=PAGE | headers)


def policy(answer):
    return dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))


def test_a_browser_gets_the_page_and_others_the_index(server):
    answer = page(server)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "accept" in answer.headers["vary"].split(", ")
    assert answer.text == (FOLDER / "index.html").read_text("utf-8")
    for headers in ({}, {"accept": "*/*"}, {"accept": "application/json"}):
        other = httpx.get(server.url, headers=headers)
        assert other.json()["name"] == "hark"
        assert "accept" in other.headers["vary"].split(", ")


@pytest.mark.parametrize(("options", "required"), [({}, False), ({"api_key": "k" * 20}, True)])
def test_the_index_says_whether_a_credential_is_needed(serve, options, required):
    assert httpx.get(serve(**options).url).json()["credential_required"] is required


def test_the_page_may_load_its_own_files_and_speak_to_its_server_alone(server):
    answer = page(server)
    host = server.url.removeprefix("http://")
    assert policy(answer) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": f"'self' ws://{host} wss://{host}",
        "media-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    assert answer.headers["permissions-policy"].startswith("microphone=(self)")
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("host", ["evil.test; script-src *", "a b", "'unsafe-inline'", "[::1"])
def test_a_host_that_is_none_gets_no_place_in_the_policy(server, host):
    assert policy(page(server, host=host))["connect-src"] == "'self'"


def test_nothing_is_inline_and_nothing_from_elsewhere():
    markup = (FOLDER / "index.html").read_text("utf-8")
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|<script(?! type=\"module\" src=)", markup) == []
    assert {name for name in re.findall(r'(?:href|src)="([^"#]+)"', markup) if name != "docs"} == {
        f"console/{name}" for name in ("icon.svg", "style.css", "panels.css", "main.js")
    }
    for name in FILES:
        text = (FOLDER / name).read_text("utf-8")
        assert "innerHTML" not in text
        assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org"}
        assert re.findall(r"(?<!\w)url\(", text) == [], name
        assert "localStorage" not in text


def test_every_file_is_used_and_every_import_there():
    imported = {"main.js", "capture.js", "icon.svg", "style.css", "panels.css", "index.html"}
    for name in FILES:
        text = (FOLDER / name).read_text("utf-8")
        imported |= set(re.findall(r'from "\./([\w.]+)"', text))
    assert imported == set(FILES)


@pytest.mark.parametrize("name", [name for name in FILES if name != "index.html"])
def test_a_file_is_asked_for_anew_and_sent_once(server, name):
    answer = httpx.get(f"{server.url}/console/{name}")
    assert answer.content == (FOLDER / name).read_bytes()
    assert answer.headers["content-type"] == TYPES[Path(name).suffix]
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    for known in (answer.headers["etag"], f'"other", W/{answer.headers["etag"]}'):
        again = httpx.get(f"{server.url}/console/{name}", headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
    assert httpx.get(f"{server.url}/console/{name}", headers={"if-none-match": '"other"'}).status_code == 200
    assert page(server, **{"if-none-match": page(server).headers["etag"]}).status_code == 304


@pytest.mark.parametrize("name", ["index.html", "nope.js", "..%2fapp.py", "%2e%2e/app.py", ""])
def test_there_is_nothing_else(server, name):
    answer = httpx.get(f"{server.url}/console/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_url"


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_what_it_is_and_is_short(name):
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    assert len(lines) <= 400
    if name.endswith((".js", ".css")):
        assert lines[0].startswith(("//", "/*"))
