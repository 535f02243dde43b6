"""Routes from a file: all that is in it, or a fault that says where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestration.core.routing.model import RouteRule, Variant
from orchestration.core.routing.table import RouteTable
from orchestration.engine.routes import read_routes
from orchestration.errors import ConfigurationError, InvalidRoute

TOML = """
[[rules]]
name = "ab"
key = "customer"
mirror = "agent-c"
split = [
  { name = "old", weight = 9, targets = ["agent-a"] },
  { name = "new", weight = 1, capability = "fast" },
]

[routes.calculator]
targets = ["agent-a", "agent-b"]
strategy = "ROUND_ROBIN"
"""


def test_rules_and_static_routes_are_read_from_toml_and_json(tmp_path: Path) -> None:
    toml = tmp_path / "routes.toml"
    toml.write_text(TOML)
    table = read_routes(toml)
    [rule] = table.rules
    assert rule.split == (
        Variant("old", 9, ["agent-a"]),
        Variant("new", 1, capability="fast"),
    )
    assert table.static["calculator"].strategy == "ROUND_ROBIN"
    text = json.dumps({"rules": [rule.to_json()]})
    (tmp_path / "routes.json").write_text(text)
    assert read_routes(tmp_path / "routes.json").rules == (rule,)


def test_they_come_beside_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    path.write_text(TOML)
    table = RouteTable().with_rule(RouteRule("first", targets=["agent-a"]))
    assert [one.name for one in read_routes(path, table).rules] == ["first", "ab"]
    with pytest.raises(InvalidRoute, match="there is a rule of that name"):
        read_routes(path, read_routes(path))


@pytest.mark.parametrize(
    ("name", "text", "kind", "fault"),
    [
        ("r.yaml", "", ConfigurationError, "name a .toml or .json file"),
        ("r.json", "[", ConfigurationError, "is no JSON"),
        ("r.json", "[]", ConfigurationError, "may hold 'rules' and 'routes'"),
        ("r.json", '{"rules": {}}', ConfigurationError, "'rules' is a list"),
        ("r.json", '{"rules": [1]}', InvalidRoute, "'number 1' was refused"),
        ("r.json", '{"rules": [{"targets": []}]}', InvalidRoute, "argument: 'name'"),
        ("r.json", '{"routes": {"x": {}}}', InvalidRoute, "give it targets"),
        ("r.json", '{"routes": {"x": {"targets": "a b"}}}', InvalidRoute, "'a b'"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(
    tmp_path: Path, name: str, text: str, kind: type[Exception], fault: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(kind, match=fault):
        read_routes(tmp_path / name)
