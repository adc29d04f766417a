"""Why a text was not found, as far as it can be told. Nothing here ever decides what is edited."""

from __future__ import annotations

import heapq
import re
from difflib import SequenceMatcher

from sandbox_tools_server.errors import Refused

LINES_COMPARED = 20_000
"""A file of more lines is not searched for a similar one."""

LINE_LENGTH = 300
"""Lines of more characters are not compared."""

CANDIDATES = 20
"""How many lines that look similar at first sight are compared in earnest."""

TELLING = 12
"""A new_str of fewer bytes may stand in a file by chance."""

SIMILAR = 0.6
"""How much of two lines must be the same, from 0 to 1."""

ESCAPES = {r"\n": "\n", r"\t": "\t", r"\r": "\r", r"\"": '"', r"\'": "'", r"\\": "\\"}
"""What is typed for what, by one who escapes once too often."""


def explain(text: bytes, old: bytes, new: bytes) -> Refused:
    """Say that `old` is not in the text, with the hint that fits."""
    if not text:
        return Refused("no_match", "The file is empty.", "Fill it with write.")
    typed = old.decode()
    hints = (_applied(text, new), _numbered(typed), _escaped(text, typed), _closest(text, old))
    fitting = [hint for hint in hints if hint]
    return Refused("no_match", "old_str is not in the file.", " ".join(fitting) or "Read the file again, and copy it.")


def _applied(text: bytes, new: bytes) -> str:
    place = text.find(new)
    if place < 0 or len(new.strip()) < TELLING:
        return ""
    line = text.count(b"\n", 0, place) + 1
    return f"The text of new_str is there already, in line {line}: was this edit made before?"


def _numbered(old: str) -> str:
    if not all(re.match(r" *\d+\t", line) for line in old.removesuffix("\n").split("\n")):
        return ""
    return "Leave out the line numbers that read shows, and the tab after each."


def _escaped(text: bytes, old: str) -> str:
    plain = re.sub(r"\\[ntr\"'\\]", lambda escape: ESCAPES[escape[0]], old)
    if plain == old or plain.encode() not in text:
        return ""
    return r"old_str is escaped once too often: type line breaks, tabs and quotes as such, not as \n, \t or \"."


def _closest(text: bytes, old: bytes) -> str:
    """Name the line that is most like the one that old_str has and the file has not."""
    wanted = {line for line in old.split(b"\n") if line.decode().strip()}
    if text.count(b"\n") >= LINES_COMPARED or not wanted:
        return ""
    lines = text.split(b"\n")
    unknown = wanted.difference(lines)
    if not unknown:
        return "Each of its lines is in the file, but not in this order and with these blank lines between."
    short = [line.decode("utf-8", "replace") if len(line) <= 4 * LINE_LENGTH else "" for line in lines]
    number = _most_similar(short, max((line.decode() for line in unknown), key=len))
    return f"The closest is line {number}: {short[number - 1]!r}." if number else ""


def _most_similar(lines: list[str], wanted: str) -> int:
    """Find the number of the line that is most similar, or 0."""
    matcher = SequenceMatcher(a="", b=wanted[:LINE_LENGTH], autojunk=False)

    def glance(number: int) -> float:
        matcher.set_seq1(lines[number - 1])
        return matcher.quick_ratio()

    def look(number: int) -> float:
        matcher.set_seq1(lines[number - 1])
        return matcher.ratio()

    numbers = [number for number, line in enumerate(lines, 1) if 0 < len(line) <= LINE_LENGTH]
    best = max(heapq.nlargest(CANDIDATES, numbers, key=glance), key=look, default=0)
    return best if best and look(best) >= SIMILAR else 0
