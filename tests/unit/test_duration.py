"""Durations: the words, the sums, and how a wrong one is explained."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_ephemeral.config.duration import DURATION_PATTERN, UNITS, parse_duration
from pg_ephemeral.errors import InvalidValue

DAY = 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("0s", 0),
        ("500ms", 0.5),
        ("1m 30s", 90),
        ("1m30s", 90),
        ("2h", 7_200),
        ("2 h", 7_200),
        ("  1 m\t30 s ", 90),
        ("007s", 7),
        ("30s 1m", 90),
        ("1s 1s", 2),
        ("250ns", 2.5e-7),
        ("250nsec", 2.5e-7),
        ("250us", 0.00025),
        ("250usec", 0.00025),
        ("250msec", 0.25),
        ("3sec", 3),
        ("1second", 1),
        ("3seconds", 3),
        ("2min", 120),
        ("1minute", 60),
        ("2minutes", 120),
        ("2hr", 7_200),
        ("1hour", 3_600),
        ("2hours", 7_200),
        ("2d", 2 * DAY),
        ("1day", DAY),
        ("2days", 2 * DAY),
        ("2w", 14 * DAY),
        ("1week", 7 * DAY),
        ("2weeks", 14 * DAY),
        ("12M", 365.25 * DAY),
        ("1month", 2_629_800),
        ("12months", 365.25 * DAY),
        ("1y", 365.25 * DAY),
        ("1year", 365.25 * DAY),
        ("100years", 100 * 365.25 * DAY),
    ],
)
def test_a_duration_in_seconds(text, seconds):
    assert parse_duration(text) == seconds
    assert re.search(DURATION_PATTERN, text)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", "empty", "the duration is empty"),
        (" \t", "empty", "the duration is empty"),
        ("30", "missing-unit", "duration '30': 30 has no unit"),
        ("1m 30", "missing-unit", "duration '1m 30': 30 has no unit"),
        ("1 0s", "missing-unit", "duration '1 0s': 1 has no unit"),
        ("30x", "unknown-unit", "duration '30x': 'x' is no unit"),
        ("30S", "unknown-unit", "duration '30S': 'S' is no unit"),
        ("1ss", "unknown-unit", "duration '1ss': 'ss' is no unit"),
        ("s", "unparsed", "duration 's': a whole number is expected at character 1, not 's'"),
        ("-1s", "unparsed", "duration '-1s': a whole number is expected at character 1, not '-1s'"),
        ("1.5s", "missing-unit", "duration '1.5s': 1 has no unit"),
        ("1s, 2s", "unparsed", "duration '1s, 2s': a whole number is expected at character 3, not ', 2s'"),
        ("1s\n", "unparsed", "duration '1s\\n': a whole number is expected at character 3, not '\\n'"),
        ("١s", "unparsed", "duration '١s': a whole number is expected at character 1, not '١s'"),
        ("101y", "out-of-range", "duration '101y' is more than 100 years"),
    ],
)
def test_no_duration(text, kind, message):
    with pytest.raises(InvalidValue) as caught:
        parse_duration(text)
    assert caught.value.message == message
    assert caught.value.kind == kind
    assert kind == "out-of-range" or not re.fullmatch(DURATION_PATTERN, text)


def test_a_number_of_absurd_length_is_an_error_like_any_other():
    with pytest.raises(InvalidValue) as caught:
        parse_duration("9" * 5_000 + "s")
    assert caught.value.kind == "out-of-range"
    assert parse_duration("0" * 5_000 + "9s") == 9


@given(st.lists(st.tuples(st.integers(0, 1_000), st.sampled_from(["ns", "us", "ms", "s", "m", "h", "d"])), min_size=1))
def test_parts_add_up(parts):
    text = " ".join(f"{number}{unit}" for number, unit in parts)
    assert parse_duration(text) == sum(number * UNITS[unit] for number, unit in parts) / 10**9


@given(st.text(alphabet="0123456789smhdwMy \t.-"))
def test_what_is_read_is_what_the_pattern_says(text):
    try:
        parse_duration(text)
    except InvalidValue as error:
        read = error.kind == "out-of-range"
    else:
        read = True
    assert read == bool(re.search(DURATION_PATTERN, text))
