"""The description of the server as a page: one section an operation, with its fields, answers, refusals and a command.

Rule: plain HTML that reads in order without style, and by keyboard and screen reader alone: headings, tables with
headers, lists, nothing that only a pointer can reach. Everything that is put in is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final, TypeAlias

from msgspec import Struct

from hark.core.settings import Json
from hark.protocol.operation import Operation
from hark.protocol.operations import OPERATIONS

Schema: TypeAlias = dict[str, Json]
# More fields than these are folded away.
_FOLD: Final = 14
_ENVELOPE: Final = (
    '{"error": {"message": "Unknown parameter: \'session.vad\'.", "type": "invalid_request_error", '
    '"param": "session.vad", "code": "unknown_parameter"}}'
)


class Field(Struct, frozen=True):
    """A value that a body may hold, by its dotted path."""

    path: str
    kind: str
    required: bool
    words: str


def render(document: Schema) -> str:
    base = _text(_dict(_list(document["servers"])[0])["url"])
    info = _dict(document["info"])
    schemas = _dict(_dict(document["components"])["schemas"])
    shown = [it for it in OPERATIONS if it.words]
    listed = "".join(
        f'<li><a href="#{it.id}"><code>{it.method} {escape(it.path)}</code> <span>{escape(it.title)}</span></a></li>'
        for it in shown
    )
    sections = "".join(_section(it, _dict(_dict(document["paths"])[it.path]), schemas, base) for it in shown)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Hark {escape(_text(info["version"]))}: API</title>
<link rel="stylesheet" href="docs/style.css">
</head>
<body>
<a class="skip" href="#operations">Skip to the operations</a>
<header>
<h1>Hark <small>{escape(_text(info["version"]))}</small></h1>
<p>What this server, <code>{escape(base)}</code>, answers over HTTP, and where its WebSocket is. The same for programs:
<a href="openapi.json">openapi.json</a>.</p>
{_credentials(document)}
<p>Every answer that is no success is JSON with these four keys, <code>param</code> and <code>code</code> possibly null.
So is 404 <code>unknown_url</code> for a path that is not there, and 405 <code>method_not_allowed</code>.</p>
<pre tabindex="0" aria-label="The error envelope"><code>{escape(_ENVELOPE)}</code></pre>
</header>
<nav aria-labelledby="contents">
<h2 id="contents">Operations</h2>
<ul>{listed}</ul>
</nav>
<main id="operations">
{sections}
</main>
</body>
</html>
"""


def _credentials(document: Schema) -> str:
    connect = _dict(_dict(_dict(document["paths"])["/v1/realtime"])["get"])
    free = {} in _list(connect["security"])
    need = (
        "This server has no key: it takes any credential or none, from this machine."
        if free
        else "This server wants a key."
    )
    ways = "<code>Authorization: Bearer KEY</code> or the header <code>api-key</code>"
    query = ", ".join(f"<code>{name}</code>" for name in ("api-key", "authorization", "access_token"))
    return f"<p>{need} A credential stands in {ways}; a WebSocket or a link may have it in the query, as {query}.</p>"


def _section(operation: Operation, place: Schema, schemas: Schema, base: str) -> str:
    told = _dict(place[operation.method.lower()])
    parts = [
        f'<section aria-labelledby="{operation.id}">',
        f'<h2 id="{operation.id}"><a href="#{operation.id}">{escape(operation.title)}</a></h2>',
        f'<p class="place"><b>{operation.method}</b> <code>{escape(operation.path)}</code></p>',
        f"<p>{escape(operation.words)}</p>" if operation.words else "",
        _also(operation),
        f'<pre tabindex="0" aria-label="Example"><code>{escape(operation.command(base))}</code></pre>',
        _parameters(operation),
    ]
    if operation.body:
        content = _dict(_dict(told["requestBody"])["content"])[operation.body[0]]
        fields = _unique(_fields(_dict(_dict(content)["schema"]), schemas))
        parts.append(_fold(f"Body: {operation.body[0]}", fields))
    parts += _answers(operation, _dict(told["responses"]), schemas)
    rows = [[str(code.status), f"<code>{code.code or 'null'}</code>", escape(code.when)] for code in operation.refusals]
    refusals = _table(("status", "error.code", "when"), rows)
    parts.append(f"<details><summary>Refusals <small>{len(rows)}</small></summary>{refusals}</details>")
    return "\n".join([*filter(None, parts), "</section>"])


def _also(operation: Operation) -> str:
    if not operation.aliases:
        return ""
    listed = ", ".join(f"<code>{escape(path)}</code>" for path in operation.aliases)
    return f'<p class="also">Also at {listed}{"; each also with a slash at its end" if operation.slash else ""}.</p>'


def _parameters(operation: Operation) -> str:
    if not operation.parameters:
        return ""
    rows = [[f"<code>{escape(it.name)}</code>", it.where, escape(it.words)] for it in operation.parameters]
    return "<h3>Parameters</h3>" + _table(("name", "in", ""), rows)


def _answers(operation: Operation, responses: Schema, schemas: Schema) -> Iterator[str]:
    answer = _dict(responses.get(str(operation.status), {}))
    if operation.status == 101:
        yield "<h3>Answer: 101</h3><p>Switching protocols: frames from here on.</p>"
    for content in operation.answers:
        said = _dict(_dict(answer["content"])[content.media_type])
        title = f"Answer: {operation.status} {content.media_type}"
        shapes = _variants(_dict(said.get("x-frame", said["schema"])), schemas)
        if not content.shapes:
            yield f"<h3>{escape(title)}</h3>" + (f"<p>{escape(content.words)}</p>" if content.words else "")
        for shape in shapes if content.shapes else ():
            name, words = _text(shape.get("title", "")), _text(shape.get("description", ""))
            fields = _unique(_fields(shape, schemas))
            yield _fold(f"{title}: {name}", fields, " ".join(filter(None, (content.words, words))))


def _fold(title: str, fields: Sequence[Field], words: str = "") -> str:
    rows = [
        [
            f"<code>{escape(it.path).replace('.', '.<wbr>')}</code>{' <em>required</em>' if it.required else ''}",
            escape(it.kind),
            escape(it.words),
        ]
        for it in fields
    ]
    opened = " open" if len(rows) <= _FOLD else ""
    said = f"<p>{escape(words)}</p>" if words else ""
    head = f"<summary>{escape(title)} <small>{len(rows)} fields</small></summary>"
    return f"<details{opened}>{head}{said}{_table(('field', 'type', ''), rows, kind='fields')}</details>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "plain") -> str:
    shown = [index for index in range(len(columns)) if columns[index] or any(row[index] for row in rows)]
    head = "".join(f'<th scope="col">{columns[index] or "remarks"}</th>' for index in shown)
    body = "".join("<tr>" + "".join(f"<td>{row[index]}</td>" for index in shown) + "</tr>" for row in rows)
    table = f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="wide" tabindex="0">{table}</div>'


# ---- schemas -------------------------------------------------------------------------------------------------------


def _variants(schema: Schema, schemas: Schema) -> list[Schema]:
    """The schemas that a value may have, references followed, null left out."""
    if "$ref" in schema:
        return _variants(_dict(schemas[_text(schema["$ref"]).rpartition("/")[2]]), schemas)
    if "anyOf" in schema:
        return [one for option in _list(schema["anyOf"]) for one in _variants(_dict(option), schemas)]
    return [] if schema.get("type") == "null" else [schema]


def _fields(schema: Schema, schemas: Schema, path: str = "") -> Iterator[Field]:
    for shape in _variants(schema, schemas):
        required = _list(shape.get("required", []))
        for name, held in _dict(shape.get("properties", {})).items():
            options = _variants(_dict(held), schemas)
            here = f"{path}.{name}".strip(".")
            kinds = list(dict.fromkeys(_kind(option, schemas) for option in options))
            nullable = {"type": "null"} in _list(_dict(held).get("anyOf", []))
            said = " or ".join([*kinds, *(["null"] if nullable else [])])
            words = " ".join(_text(option.get("description", "")) for option in options if "properties" not in option)
            yield Field(here, said, name in required, words)
            for option in options:
                inner = _dict(option["items"]) if option.get("type") == "array" else option
                yield from _fields(inner, schemas, here + ("[]" if option.get("type") == "array" else ""))


def _kind(schema: Schema, schemas: Schema) -> str:
    match schema:
        case {"enum": list(values)}:
            return " | ".join(map(str, values))
        case {"type": "array", "items": items}:
            inner = [_kind(option, schemas) for option in _variants(_dict(items), schemas)]
            return f"list of {' or '.join(dict.fromkeys(inner))}"
        case {"type": str(kind), "minimum": low, "maximum": high}:
            return f"{kind} from {low} to {high}"
        case {"format": "binary"}:
            return "file"
        case {"type": str(kind)}:
            return kind
        case _:
            return "any JSON"


def _unique(fields: Iterable[Field]) -> list[Field]:
    return list({field.path: field for field in reversed(list(fields))}.values())[::-1]


def _dict(value: Json) -> Schema:
    assert isinstance(value, dict)
    return value


def _list(value: Json) -> list[Json]:
    assert isinstance(value, list)
    return value


def _text(value: Json) -> str:
    assert isinstance(value, str)
    return value
