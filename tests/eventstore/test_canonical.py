"""Canonical JSON: same value, same bytes; what has no form is refused by place."""

import json
import math
from collections import OrderedDict
from decimal import Decimal
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from eventstore import NotCanonical, PayloadTooLarge, canonical_bytes

SAFE = 2**53 - 1

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
safe_integers = st.integers(-SAFE, SAFE)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | safe_integers | floats | text
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5)
    ),
    max_leaves=25,
)


@given(values)
def test_bytes_are_those_of_rfc_8785(value: Any) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


@given(st.dictionaries(text, values, max_size=6), st.randoms())
def test_key_order_of_the_value_does_not_matter(value: Any, random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical_bytes(dict(items)) == canonical_bytes(value)


@given(floats)
def test_floats_come_back_equal(number: float) -> None:
    assert float(json.loads(canonical_bytes(number))) == number


@given(text)
def test_text_comes_back_equal(value: str) -> None:
    assert json.loads(canonical_bytes({value: value})) == {value: value}


@given(st.integers(max_value=-SAFE - 1) | st.integers(min_value=SAFE + 1))
def test_big_integers_are_strings(number: int) -> None:
    assert json.loads(canonical_bytes(number)) == str(number)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_are_strings_of_the_same_value(number: Decimal) -> None:
    assert Decimal(json.loads(canonical_bytes(number))) == number


@given(values, st.sampled_from([math.nan, math.inf, -math.inf, Decimal("NaN")]))
def test_what_is_no_number_is_refused_wherever_it_hides(value: Any, bad: Any) -> None:
    with pytest.raises(NotCanonical, match="no JSON number") as caught:
        canonical_bytes({"outer": [value, {"inner": bad}]})
    assert caught.value.path == "$.outer[1].inner"


@given(text, text)
def test_nul_is_refused_in_values_and_keys(before: str, after: str) -> None:
    nul = f"{before}\0{after}"
    with pytest.raises(NotCanonical, match="NUL"):
        canonical_bytes({"a": nul})
    with pytest.raises(NotCanonical, match="NUL"):
        canonical_bytes({nul: "a"})


def test_key_order_is_that_of_utf_16() -> None:
    # U+1F600 is written with surrogates (D83D), which sort before U+FB01.
    assert canonical_bytes({"ﬁ": 1, "😀": 2, "a": 3}) == (
        '{"a":3,"😀":2,"ﬁ":1}'.encode()
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, b"1"),
        (-0.0, b"0"),
        (1e21, b"1e+21"),
        (0.000001, b"0.000001"),
        (1e-7, b"1e-7"),
        (SAFE, b"9007199254740991"),
        (SAFE + 1, b'"9007199254740992"'),
        (Decimal("1.50"), b'"1.50"'),
        ((1, 2), b"[1,2]"),
        (True, b"true"),
        ('\x1f\b\u20ac"\\', b'"\\u001f\\b\xe2\x82\xac\\"\\\\"'),
        (OrderedDict(b=1, a=None), b'{"a":null,"b":1}'),
        (MappingProxyType({"a": 1}), b'{"a":1}'),
    ],
)
def test_known_forms(value: Any, expected: bytes) -> None:
    assert canonical_bytes(value) == expected


def test_enums_and_list_subclasses_are_their_plain_values() -> None:
    class Colour(StrEnum):
        RED = "red"

    class Size(IntEnum):
        BIG = 7

    class Items(list[Any]):
        pass

    assert canonical_bytes(Items([Colour.RED, Size.BIG])) == b'["red",7]'


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), 1j])
def test_types_that_json_lacks_are_refused_by_name(value: Any) -> None:
    with pytest.raises(NotCanonical, match=rf"\$\.x: a {type(value).__name__} is no"):
        canonical_bytes({"x": value})


def test_keys_must_be_strings() -> None:
    with pytest.raises(NotCanonical, match="the key 1 is no string"):
        canonical_bytes({1: "a"})


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(NotCanonical, match="lone surrogate"):
        canonical_bytes("\ud800")


def test_a_value_within_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(NotCanonical, match="nested too deep"):
        canonical_bytes(circle)


def test_the_limit_is_one_mebibyte_to_the_byte() -> None:
    assert len(canonical_bytes("x" * (1_048_576 - 2))) == 1_048_576
    with pytest.raises(
        PayloadTooLarge, match=r"1048577 bytes.*limit of 1048576"
    ) as caught:
        canonical_bytes("x" * (1_048_576 - 1))
    assert caught.value.limit_bytes == 1_048_576
    assert caught.value.size_bytes == 1_048_577
