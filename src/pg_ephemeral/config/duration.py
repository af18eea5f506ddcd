"""Durations as configuration writes them: ``30s``, ``1m 30s``, ``500ms``. Text to seconds, and the shape of such text.

One or more whole numbers, each with its unit, with or without white space between and around them. They add up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pg_ephemeral.config.shape import Text
from pg_ephemeral.errors import InvalidValue

__all__ = ["DURATION_PATTERN", "TIMEOUT", "UNITS", "parse_duration"]

_SECOND = 10**9
_DAY = 86_400 * _SECOND
_YEAR = 36_525 * _DAY // 100
#: Every spelling of a unit, with its length in nanoseconds. A month is a twelfth of a year, a year 365.25 days.
UNITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        spelling: length
        for spellings, length in (
            (("ns", "nsec"), 1),
            (("us", "usec"), 10**3),
            (("ms", "msec"), 10**6),
            (("s", "sec", "second", "seconds"), _SECOND),
            (("m", "min", "minute", "minutes"), 60 * _SECOND),
            (("h", "hr", "hour", "hours"), 3_600 * _SECOND),
            (("d", "day", "days"), _DAY),
            (("w", "week", "weeks"), 7 * _DAY),
            (("M", "month", "months"), _YEAR // 12),
            (("y", "year", "years"), _YEAR),
        )
        for spelling in spellings
    }
)

#: The grammar, in the syntax that ``re`` and JSON Schema share.
DURATION_PATTERN: Final = rf"^[ \t]*(?:[0-9]+[ \t]*(?:{'|'.join(sorted(UNITS, key=len, reverse=True))})[ \t]*)+$"

_PART = r"[ \t]*([0-9]+)[ \t]*([A-Za-z]*)[ \t]*"
_LONGEST = 100 * _YEAR
_DIGITS = 30
_HINT = "write numbers with units, as in 30s, 500ms or 1m 30s"


def parse_duration(text: str) -> float:
    """Read the whole of ``text``; the result is in seconds and may be 0.

    Raises ``InvalidValue`` of kind ``empty``, ``unparsed`` (where a number is expected), ``missing-unit``,
    ``unknown-unit`` or ``out-of-range`` (more than 100 years).
    """
    if not text.strip(" \t"):
        raise InvalidValue("the duration is empty", kind="empty", hint=_HINT)
    total, position = 0, 0
    while position < len(text):
        part = re.compile(_PART).match(text, position)
        if part is None:
            raise InvalidValue(
                f"duration {text!r}: a whole number is expected at character {position + 1}, not {text[position:]!r}",
                kind="unparsed",
                hint=_HINT,
            )
        total += _length(text, digits=part[1], unit=part[2])
        position = part.end()
    if total > _LONGEST:
        raise InvalidValue(f"duration {text!r} is more than 100 years", kind="out-of-range")
    return total / _SECOND


def _length(text: str, *, digits: str, unit: str) -> int:
    """The length of one number with its unit, in nanoseconds."""
    if not unit:
        raise InvalidValue(
            f"duration {text!r}: {digits} has no unit",
            kind="missing-unit",
            hint=f"write {digits}s for seconds, {digits}ms for milliseconds",
        )
    if unit not in UNITS:
        raise InvalidValue(
            f"duration {text!r}: {unit!r} is no unit",
            kind="unknown-unit",
            hint="the units are ns, us, ms, s, m, h, d, w, M (months) and y",
        )
    # int() refuses very long texts with an error that is not ours.
    significant = digits.lstrip("0") or "0"
    if len(significant) > _DIGITS:
        raise InvalidValue(f"duration {text!r} is more than 100 years", kind="out-of-range")
    return int(significant) * UNITS[unit]


def _timeout(text: str) -> float:
    seconds = parse_duration(text)
    if not seconds > 0:
        raise InvalidValue(f"duration {text!r} is not more than 0 s", kind="not-positive")
    return seconds


#: A time in which something must be done, in seconds.
TIMEOUT: Final = Text(
    parse=_timeout,
    expected='a duration, such as "30s"',
    pattern=DURATION_PATTERN,
    suffix="s",
    examples=("30s", "1m 30s", "500ms"),
)
