"""Globs over bucket keys."""

from __future__ import annotations

from time import monotonic

import pytest

from tsstore.errors import InvalidKeyError
from tsstore.key import BucketKey, KeyPattern, bounded


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("A*/1Min/*", ["A/1Min/X", "AB/1Min/"], ["BA/1Min/X", "A/5Min/X"]),
        ("*A*B*/1Min/O?C", ["xAxBx/1Min/OHC", "AB/1Min/OxC"], ["BA/1Min/OHC"]),
        ("*AB/1D/X", ["AB/1D/X", "ABAB/1D/X"], ["ABA/1D/X"]),
        ("{AAPL,M*T}/1D/X", ["AAPL/1D/X", "MSFT/1D/X", "MT/1D/X"], ["M/1D/X"]),
        ("{a,{b,c}d}x/1D/X", ["ax/1D/X", "bdx/1D/X", "cdx/1D/X"], ["bx/1D/X"]),
        ("[!A-C]*/1D/X", ["D/1D/X"], ["A/1D/X"]),
        ("[]a]/1D/X", ["]/1D/X", "a/1D/X"], ["b/1D/X"]),
        ("[[:x&&~~||]/1D/X", ["[/1D/X", "&/1D/X"], ["y/1D/X"]),
        ("a.b/1D/X", ["a.b/1D/X"], ["axb/1D/X"]),
        ("//", ["//"], ["a//"]),
        ("**/1Min/OHLCV", ["A/1Min/OHLCV"], ["A/B/1Min/OHLCV"]),
        ("*/*/*:Symbol/Timeframe/AttributeGroup", ["A/1D/X"], []),
    ],
)
def test_globs_match_what_they_say(pattern, matching, other):
    compiled = KeyPattern(pattern)
    assert compiled.filter([*matching, *other]) == matching


@pytest.mark.parametrize("pattern", ["{a/1D/X", "[a/1D/X", "a/1D", "{a,b}" * 20 + "/1D/X"])
def test_unfinished_or_endless_globs_are_refused(pattern):
    with pytest.raises(InvalidKeyError):
        KeyPattern(pattern)


@pytest.mark.parametrize("pattern", ["*a" * 40 + "b/*/*", "{*a*,*b*}{*a*,*b*}{*a*,*b*}*c/*/*"])
def test_no_glob_takes_long(pattern):
    began = monotonic()
    assert not KeyPattern(pattern).matches("a" * 128 + "/1Min/X")
    assert monotonic() - began < 10


TENS = "{a,b,c,d,e,f,g,h,i,j}"


@pytest.mark.parametrize("part", [TENS * 2 + "*a?" * 400, "*a?" * 400 + "{a,b,c,d}", "{" * 50])
@pytest.mark.parametrize("place", range(3))
def test_choices_that_are_long_when_written_out_are_refused(part, place):
    """A message of some kilobytes would be a regular expression of megabytes."""
    parts = ["*", "*", "*"]
    parts[place] = part
    began = monotonic()
    with pytest.raises(InvalidKeyError):
        KeyPattern("/".join(parts))
    assert monotonic() - began < 5


def test_the_longest_that_is_taken():
    choices = [f"SYMBOL{number:02}" for number in range(100)]
    pattern = KeyPattern("{" + ",".join(choices) + "}/1Min/OHLCV")
    assert pattern.characters == 800 + len("1MinOHLCV")
    assert all(pattern.matches(f"{choice}/1Min/OHLCV") for choice in choices)


def test_several_are_bounded_together():
    made = []

    def patterns():
        for number in range(1000):
            made.append(number)
            yield KeyPattern(f"{'a' * 1000}*/{number}/*")

    with pytest.raises(InvalidKeyError, match="use fewer or wider ones"):
        bounded(patterns())
    assert len(made) < 70
    assert [p.text for p in bounded(KeyPattern(f"{n}/*/*") for n in range(3))] == [
        "0/*/*",
        "1/*/*",
        "2/*/*",
    ]


@pytest.mark.parametrize(
    ("text", "bad", "pattern"),
    [
        ("*/5Min/*", "*", "*/5Min/*"),
        ("AAPL,MSFT/1Min/OHLCV", ",", "{AAPL,MSFT}/1Min/OHLCV"),
        ("A?/1Min/{X,Y}", "?", "A?/1Min/{X,Y}"),
        ("AAPL/*/OHLCV", "*", "AAPL/*/OHLCV"),
    ],
)
def test_several_buckets_where_one_is_wanted(text, bad, pattern):
    with pytest.raises(InvalidKeyError) as caught:
        BucketKey.parse(text)
    assert str(caught.value) == (
        f"bucket key {text!r} holds {bad!r}, which no name may hold, and this takes one bucket; "
        f"several are read with read({pattern!r}), and found with list({pattern!r})"
    )
    assert f"`tsstore ls '{pattern}'` lists them" in caught.value.shell_text
    assert KeyPattern(pattern).text == pattern
