"""The rows of fields.py and event_fields.py as docs/api.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from hark.protocol import event_fields, fields
from hark.protocol.fields import FATES, Row, Section

SECTIONS: Final = (
    fields.CONNECT,
    fields.GA_SESSION,
    fields.BETA_SESSION,
    event_fields.CLIENT,
    event_fields.SERVER,
    fields.GA_MINTING,
    fields.BETA_MINTING,
    event_fields.MINTED,
    fields.FORM,
    event_fields.TRANSCRIPTS,
    fields.MODEL,
    fields.CALLS,
)
_HEAD: Final = """# Every field of the API

What Hark does with each field of OpenAI's API, in both dialects, over WebSocket and over HTTP.

| word | meaning |
|---|---|
| honoured | it has an effect |
| kept | accepted, echoed, and without effect |
| ignored | accepted, not echoed, and without effect |
| refused | the request is refused with this code |
| sent, not sent | of events and answers: whether it can be there |

A path that ends in `.…` speaks for all that is inside, `…` for all that has no row of its own. "No effect yet" is
what is being built. {count} rows: {counts}.

`make api-table` writes this page from `src/hark/protocol/fields.py` and `event_fields.py`, and [Engines](#engines) from
what they say of themselves. Tests send every field to a running server and see that the row is true, and that no field
of OpenAI's Python SDK is without one.
"""


def page(engines: str) -> str:
    """The whole page, as it is committed. `engines` is its last section, which who knows the models has written."""
    rows = [row for section in SECTIONS for row in section.rows]
    found = Counter(row.fate for row in rows)
    counts = ", ".join(f"{found[fate]} {fate}" for fate in FATES)
    head = _HEAD.replace("{count}", str(len(rows))).replace("{counts}", counts)
    return "\n".join([head, *(line for section in SECTIONS for line in _section(section)), engines])


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.title}\n"
    if section.words:
        yield f"{section.words}\n"
    grouped = any(row.event for row in section.rows)
    yield "| of | field | | |\n|---|---|---|---|" if grouped else "| field | | |\n|---|---|---|"
    last = ""
    for row in section.rows:
        of = f"| {'' if row.event == last else f'`{row.event}`'} " if grouped else ""
        last = row.event
        yield f"{of}| `{row.path}` | {_fate(row)} | {row.remark} |"
    yield ""


def _fate(row: Row) -> str:
    return f"refused: `{row.code}`" if row.code else row.fate
