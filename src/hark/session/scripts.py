"""Which scripts a language is written in, and whether a text is in another.

Latin letters are at home everywhere: names and terms are written so in any language. A letter's script is the first
word of its name in Unicode, which is how Python's own tables tell it. Rule: a language that is not known here, or is
written in too many scripts, is in none of the wrong ones.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Final

LATIN: Final = "LATIN"
# Codes of ISO 639-1 by script (CLDR, "Languages and Scripts"; older scripts of a language are not listed).
_WRITTEN: Final = {
    "ARABIC": "ar az fa ff ha kk kr ks ku ky ms pa ps sd tg tt ug ur uz wo",
    "ARMENIAN": "hy",
    "BENGALI": "as bn",
    "BOPOMOFO": "zh",
    "CANADIAN": "cr iu oj",
    "CJK": "ja za zh",
    "CYRILLIC": "ab av az ba be bg bs ce cu cv kk ku kv ky mk mn os ro ru sr tg tk tt ug uk uz",
    "DEVANAGARI": "hi ks mr ne sa sd",
    "ETHIOPIC": "am om ti",
    "GEORGIAN": "ab ka os",
    "GREEK": "el",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "HANGUL": "ko",
    "HEBREW": "he yi",
    "HIRAGANA": "ja",
    "JAVANESE": "jv",
    "KANNADA": "kn",
    "KATAKANA": "ja",
    "KHMER": "km",
    "LAO": "lo",
    "MALAYALAM": "ml",
    "MONGOLIAN": "mn",
    "MYANMAR": "my",
    "NKO": "bm",
    "ORIYA": "or",
    "SINHALA": "si",
    "SUNDANESE": "su",
    "TAMIL": "ta",
    "TELUGU": "te",
    "THAANA": "dv",
    "THAI": "th",
    "TIBETAN": "bo dz",
    "YI": "ii",
    LATIN: (
        "aa af ak an ay bi br ca ch co cs cy da de ee en eo es et eu fi fj fo fr fy ga gd gl gn gv ho hr ht hu hz ia id"
        " ie ig ik io is it kg ki kj kl kw la lb lg li ln lt lu lv mg mh mi mt na nb nd ng nl nn no nr nv ny oc pl pt"
        " qu rm rn rw sc se sg sk sl sm sn so sq ss st sv sw tl tn to tr ts tw ty ve vi vo xh yo zu wa"
    ),
}
SCRIPTS: Final[dict[str, frozenset[str]]] = {
    code: frozenset(script for script, codes in _WRITTEN.items() if code in codes.split())
    for code in sorted({code for codes in _WRITTEN.values() for code in codes.split()})
}
# So many letters of other scripts, and more of them than of the right ones: a symbol or a quoted name is no fault.
LEAST: Final = 2
_WIDTHS: Final = ("FULLWIDTH", "HALFWIDTH")


def in_another_script(text: str, languages: Sequence[str]) -> bool:
    """Whether `text` is written in none of the scripts of these languages (ISO 639-1)."""
    if not languages or text.isascii() or any(code not in SCRIPTS for code in languages):
        return False
    expected = frozenset({LATIN}).union(*(SCRIPTS[code] for code in languages))
    found = Counter(script for letter in text if letter.isalpha() and (script := script_of(letter)) is not None)
    foreign = sum(count for script, count in found.items() if script not in expected)
    return foreign >= LEAST and 2 * foreign > sum(found.values())


@cache
def script_of(letter: str) -> str | None:
    """ "LATIN", "CYRILLIC" and so on; None for a letter that belongs to none of those above."""
    words = unicodedata.name(letter, "").replace("-", " ").split()
    script = words[1] if words[:1] and words[0] in _WIDTHS else words[0] if words else ""
    return script if script in _WRITTEN else None
