"""How well a text matches what was said, after the fields of a speech manifest.

Rule: both sides go through the same normaliser, so a rule that is wrong for some word is wrong for both. It evens out
ways of writing and nothing that was said: letter case, punctuation, accents, hyphens, numerals, currency and percent
signs, titles, common contractions, British and American spelling, abbreviations spelt out ("m f a"), and fillers
("uh", "um"), which some references keep and some leave out. Repetitions and cut-off words count as said.
Refuses: to score overlapping talkers (cpwer), since a transcript without talkers cannot be given to them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

SMALL: Final = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS: Final = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SCALES: Final = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
ORDINALS: Final = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"} | {
    "nine": "ninth",
    "twelve": "twelfth",
}
FILLERS: Final = frozenset(["uh", "uhm", "um", "umm", "er", "erm", "hm", "hmm", "mm", "mmm", "mhm"])
# One spelling for each way of writing one and the same sound.
WORDS: Final = {
    "mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint", "etc": "et cetera", "vs": "versus",
    "ok": "okay", "kay": "okay", "alright": "all right", "cannot": "can not", "gonna": "going to", "wanna": "want to",
    "gotta": "got to", "em": "them", "cause": "because", "yknow": "you know",
    "grey": "gray", "defence": "defense", "offence": "offense", "licence": "license", "practise": "practice",
    "programme": "program", "cheque": "check", "plough": "plow", "mould": "mold", "sceptic": "skeptic",
    "judgement": "judgment", "learnt": "learned", "aeroplane": "airplane", "odour": "odor",
}  # fmt: skip
SPELLING: Final = tuple(
    (re.compile(pattern), american)
    for pattern, american in (
        (r"^(\w{3,})our(s|ed|ing|able|ite|ites|hood|less|ful|er|ers|y)?$", r"\1or\2"),
        (r"^(\w{3,})is(e|es|ed|er|ers|ing|ation|ations)$", r"\1iz\2"),
        (r"^(\w{3,})ys(e|es|ed|er|ers|ing)$", r"\1yz\2"),
        (r"^(cent|theat|fib|lit|met|sab|calib|lust|spect|somb|meag)re(s?)$", r"\1er\2"),
        (r"^(\w{3,})ogue(s?)$", r"\1og\2"),
        (r"^(travel|cancel|label|model|level|marvel|counsel|quarrel|signal|total|jewel)l(ed|er|ers|ing|ous)$", r"\1\2"),
    )
)
CONTRACTIONS: Final = (
    (re.compile(r"\bcan't\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\blet's\b"), "let us"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'m\b"), " am"),
)
SIGNS: Final = ((r"[$](\d[\d,.]*)", r"\1 dollars "), (r"£(\d[\d,.]*)", r"\1 pounds "), (r"€(\d[\d,.]*)", r"\1 euros "))
NAMES_OF_SIGNS: Final = {"%": " percent ", "&": " and ", "+": " plus ", "#": " pound ", "@": " at "}
NUMBER: Final = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))?(st|nd|rd|th)?")
LETTERS: Final = re.compile(r"\b(?:\w ){2,}\w\b")


class Score(NamedTuple):
    """`wrong` of `units` in `clips` clips. Units are words, characters (cer), keywords, or clips (no-speech)."""

    clips: int
    wrong: int
    units: int

    @property
    def rate(self) -> float:
        return self.wrong / self.units if self.units else 0.0

    def plus(self, other: Score) -> Score:
        return Score(self.clips + other.clips, self.wrong + other.wrong, self.units + other.units)


def score(clip: Mapping[str, Any], heard: str) -> Score | None:
    """The errors of the text `heard` in a clip of the manifest; None where the manifest says no score is possible."""
    english = str(clip.get("language", "en")).startswith("en")
    words = normalise(heard) if english else fold(heard).split()
    match clip["score"]:
        case "wer" | "wer-lenient":
            said = normalise(clip["transcript"]) if english else fold(clip["transcript"]).split()
            return Score(1, distance(said, words), len(said))
        case "cer":
            characters = fold(clip["transcript"]).replace(" ", "")
            return Score(1, distance(characters, fold(heard).replace(" ", "")), len(characters))
        case "keywords":
            text = f" {' '.join(words)} "
            wanted = [" ".join(normalise(word) if english else fold(word).split()) for word in clip["keywords"]]
            return Score(1, sum(f" {word} " not in text for word in wanted), len(wanted))
        case "no-speech":
            return Score(1, int(bool(words)), 1)
        case _:
            return None


def by_kind(scores: Iterable[tuple[Mapping[str, Any], Score]]) -> dict[tuple[str, str], Score]:
    """Sums over (clip, score) pairs by (how it was scored, kind of clip), in order."""
    sums: dict[tuple[str, str], Score] = {}
    for clip, one in scores:
        key = (clip["score"], clip["kind"])
        sums[key] = sums.get(key, Score(0, 0, 0)).plus(one)
    return dict(sorted(sums.items()))


def distance(said: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest words (or characters) to put in, leave out or replace (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for count, word in enumerate(said, 1):
        before, row[0] = row[0], count
        for place, other in enumerate(heard, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1]


def fold(text: str) -> str:
    """Lower case, no accents, no punctuation, single spaces; any language. Apostrophes join."""
    plain = unicodedata.normalize("NFKD", text.replace("’", "'").casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[^\w]|_", " ", plain.replace("'", "")).split())


def normalise(text: str) -> list[str]:
    """English text as words that can be compared; see the head of this file."""
    text = text.casefold().replace("’", "'").replace("‘", "'")
    for pattern, spoken in CONTRACTIONS:
        text = pattern.sub(spoken, text)
    text = re.sub(r"\b((?:\w\.){2,})", lambda found: found[1].replace(".", ""), text)  # "u.s." is "us"
    for pattern_text, spoken in SIGNS:
        text = re.sub(pattern_text, spoken, text)
    for sign, name in NAMES_OF_SIGNS.items():
        text = text.replace(sign, name)
    text = NUMBER.sub(lambda found: f" {_number(found)} ", text)
    words = [word for word in fold(text).split() if word not in FILLERS]
    text = LETTERS.sub(lambda found: found[0].replace(" ", ""), " ".join(words))  # "m f a" is "mfa"
    return " ".join(_spelling(word) for word in text.split()).split()


def _spelling(word: str) -> str:
    word = WORDS.get(word, word)
    for pattern, american in SPELLING:
        word = pattern.sub(american, word)
    return word


def _number(found: re.Match[str]) -> str:
    whole, fraction, ordinal = found.groups()
    if fraction:
        return f"{spell(int(whole.replace(',', '')))} point {' '.join(SMALL[int(digit)] for digit in fraction)}"
    if "," not in whole and (len(whole) > 4 or whole.startswith("0")):
        return " ".join(SMALL[int(digit)] for digit in whole)  # a telephone number, a code
    value = int(whole.replace(",", ""))
    year = "," not in whole and 1100 <= value < 2100 and value % 1000 >= 10 and value % 100
    words = f"{spell(value // 100)} {'oh ' if value % 100 < 10 else ''}{spell(value % 100)}" if year else spell(value)
    if ordinal:
        *front, last = words.split()
        last = ORDINALS.get(last, last.removesuffix("y") + ("ieth" if last.endswith("y") else "th"))
        words = " ".join((*front, last))
    return words


def spell(value: int) -> str:
    """A whole number as words, without "and": 1815 is "one thousand eight hundred fifteen"."""
    if value < 20:
        return SMALL[value]
    if value < 100:
        return TENS[value // 10] + (f" {SMALL[value % 10]}" if value % 10 else "")
    scale, name = next((scale, name) for scale, name in SCALES if value >= scale)
    rest = value % scale
    return f"{spell(value // scale)} {name}" + (f" {spell(rest)}" if rest else "")
