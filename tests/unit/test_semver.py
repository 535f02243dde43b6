"""Semantic versions: which texts are one, and which is newer."""

from __future__ import annotations

import itertools

import pytest

from orchestration.core.semver import is_prerelease, is_semantic, precedence

# The order is that of the specification, §11, with more in between.
ORDER = [
    "0.0.0",
    "0.0.1",
    "0.1.0",
    "1.0.0-0",
    "1.0.0-2",
    "1.0.0-11",
    "1.0.0--",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.2",
    "1.0.10",
    "1.2.0",
    "1.10.0",
    "2.0.0-0a",
    "2.0.0",
    "10.0.0",
]


def test_the_newer_version_is_greater() -> None:
    for older, newer in itertools.combinations(ORDER, 2):
        assert precedence(older) < precedence(newer), (older, newer)


def test_build_metadata_does_not_count() -> None:
    assert precedence("1.0.0+b.1") == precedence("1.0.0+a") == precedence("1.0.0")


def test_prereleases_are_told() -> None:
    assert is_prerelease("1.0.0-rc.1+5")
    assert not is_prerelease("1.0.0+rc-1")


@pytest.mark.parametrize("version", [*ORDER, "1.0.0+a.b-c", "1.0.0-x-y.1+0"])
def test_these_are_versions(version: str) -> None:
    assert is_semantic(version)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.0",
        "1.0.0.0",
        "v1.0.0",
        "01.0.0",
        "1.-1.0",
        "1.0.0-",
        "1.0.0-01",
        "1.0.0-a..b",
        "1.0.0-é",
        "1.0.0+",
        "1.0.0+a+b",
        " 1.0.0",
        "1.0.0\n",
        "\u0661.0.0",
        "1000000000.0.0",
        "1.0.0-" + "a" * 100,
    ],
)
def test_these_are_none(text: str) -> None:
    assert not is_semantic(text)
    with pytest.raises(ValueError, match="is no semantic version"):
        precedence(text)
