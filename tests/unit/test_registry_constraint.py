"""Version constraints: which versions they allow, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from orchestration.core.registry.constraint import compile_constraint, constraint_fault

NUMBERS = st.integers(0, 3)
VERSIONS = st.builds("{}.{}.{}".format, NUMBERS, NUMBERS, NUMBERS)
PARTS = st.one_of(VERSIONS, st.builds("{}.{}".format, NUMBERS, NUMBERS))
OPERATORS = st.sampled_from(["~=", "==", "!=", ">=", "<=", ">", "<"])


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=2.0.0", "2.0.0 2.0.1 3.0.0", "1.9.9 2.0.0-rc.1 2.1.0-rc.1"),
        (">1.0", "1.0.1 2.0.0", "1.0.0 0.9.0"),
        ("=1.2.3", "1.2.3 1.2.3+build.5", "1.2.4 1.2.3-rc.1"),
        ("==1.2", "1.2.0", "1.2.1"),
        ("!=1.2", "1.2.1 1.1.0", "1.2.0"),
        ("<2", "1.9.9", "2.0.0 2.0.0-rc.1"),
        ("<=1.2", "1.2.0 0.1.0", "1.2.1"),
        ("^1.2", "1.2.0 1.9.9", "1.1.9 2.0.0 2.0.0-rc.1"),
        ("^0.2.3", "0.2.3 0.2.9", "0.2.2 0.3.0"),
        ("^0.0.3", "0.0.3", "0.0.2 0.0.4"),
        ("^0.0", "0.0.0 0.0.9", "0.1.0"),
        ("^0", "0.0.0 0.9.0", "1.0.0"),
        ("^1.x", "1.0.0 1.9.0", "0.9.0 2.0.0"),
        ("~1.4", "1.4.0 1.4.9", "1.3.9 1.5.0"),
        ("~1.4.2", "1.4.2 1.4.9", "1.4.1 1.5.0"),
        ("~1", "1.0.0 1.9.0", "2.0.0"),
        ("~=1.4", "1.4.0 1.9.0", "1.3.0 2.0.0"),
        ("~=1.4.2", "1.4.2 1.4.9", "1.4.1 1.5.0"),
        ("1", "1.0.0 1.9.9", "2.0.0 0.9.0"),
        ("1.2", "1.2.0 1.2.9", "1.3.0"),
        ("1.2.3", "1.2.3", "1.2.4"),
        ("1.x", "1.0.0 1.9.9", "2.0.0"),
        ("1.2.*", "1.2.0 1.2.9", "1.3.0"),
        ("1.X.X", "1.0.0 1.9.9", "2.0.0"),
        ("=1.x", "1.9.9", "2.0.0"),
        ("!=1.x", "2.0.0 0.1.0", "1.0.0 1.9.9"),
        ("*", "0.0.0 9.9.9", "1.0.0-rc.1"),
        (">=1.2,<2", "1.2.0 1.9.9", "1.1.0 2.0.0"),
        (">= 1.2 < 2", "1.2.0 1.9.9", "1.1.0 2.0.0"),
        ("^1.2 || ^3", "1.2.0 3.1.0", "2.0.0 4.0.0"),
        (">=2.0.0-rc.1", "2.0.0-rc.1 2.0.0-rc.2 2.0.0", "2.0.0-beta 2.1.0-rc.1"),
        ("^1.2 >=2.0.0-rc.1", "", "2.0.0-rc.2 1.2.0"),
        ("!=2.0.0-rc.1", "2.0.0", "2.0.0-rc.1 2.0.0-rc.2"),
        ("=2.0.0-rc.1", "2.0.0-rc.1", "2.0.0 2.0.0-rc.2"),
        ("*", "", "v1 latest 1.0 1"),
    ],
)
def test_a_constraint_allows(text, inside, outside):
    constraint = compile_constraint(text)
    assert [one for one in inside.split() if not constraint.allows(one)] == []
    assert [one for one in outside.split() if constraint.allows(one)] == []


@given(st.lists(st.tuples(OPERATORS, PARTS), min_size=1, max_size=3), VERSIONS)
def test_the_operators_of_pep_440_mean_what_they_mean_there(terms, version):
    text = ",".join(operator + part for operator, part in terms)
    expected = SpecifierSet(text).contains(version)
    assert compile_constraint(text).allows(version) is expected


@given(PARTS, PARTS, VERSIONS)
def test_either_side_of_a_double_bar_is_enough(left, right, version):
    either = compile_constraint(f"^{left} || ~{right}").allows(version)
    assert either is (
        compile_constraint(f"^{left}").allows(version)
        or compile_constraint(f"~{right}").allows(version)
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "an empty part"),
        ("^1 ||", "an empty part"),
        (">=", "'>=' is no version or range"),
        ("1,", "',' is no version or range"),
        (">=1,,<2", "',<2' is no version or range"),
        (">==1", "'>==1' is no version or range"),
        ("1 - 2", "'- 2' is no version or range"),
        ("latest", "'latest' is no version or range"),
        ("v1.0.0", "'v1.0.0' is no version or range"),
        ("1.2.3.4", "'1.2.3.4' is no version or range"),
        ("01.2", "'01.2' is no version or range"),
        ("1.x.3", "'1.x.3' is no version or range"),
        (">=1.x", ">= does not go with '1.x'"),
        ("~=1", "~=1 has no number to leave open"),
        ("1" * 300, "is over the limit of 200"),
        (None, "a version constraint is None"),
        (["1"], "a version constraint is ['1']"),
    ],
)
def test_what_is_no_constraint_is_named(text, why):
    assert why in (constraint_fault(text) or "")
    with pytest.raises(ValueError, match="version constraint"):
        compile_constraint(text)


@given(st.text(alphabet="0123456789.xX*^~=!<>|, -abrc+", max_size=30))
def test_any_text_is_a_constraint_or_a_named_fault(text):
    if constraint_fault(text) is None:
        assert compile_constraint(text).allows("1.0.0") in (True, False)
