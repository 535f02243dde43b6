"""A folder of templates: what is found, what is broken, and which one is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestration.adapters.template_folder import MAX_BYTES, TemplateFolder
from orchestration.errors import TemplateNotFound

TOML = """\
name = "toml"
version = "1.0.0"
[saga]
name = "a"
steps = []
"""


def put(folder: Path, file: str, name: str, version: str, **changes: Any) -> None:
    saga = {"name": "a", "steps": []}
    value = {"name": name, "version": version, "saga": saga} | changes
    (folder / file).write_text(json.dumps(value))


def refusal(folder: Path, name: str, version: str | None = None) -> str:
    with pytest.raises(TemplateNotFound) as caught:
        TemplateFolder(folder).load(name, version)
    return str(caught.value)


def test_templates_are_listed_by_name_and_age_and_broken_files_last(
    tmp_path: Path,
) -> None:
    put(tmp_path, "z.json", "order", "1.0.0")
    put(tmp_path, "y.json", "order", "1.10.0")
    put(tmp_path, "x.json", "order", "1.9.0")
    put(tmp_path, "w.json", "audit", "2.0.0")
    put(tmp_path, "a.json", "broken", "2", parameters={"x": {"type": "string"}})
    (tmp_path / "v.toml").write_text(TOML)
    found = TemplateFolder(tmp_path).list()
    assert [f.template and f.template.label for f in found] == [
        "audit@2.0.0",
        "order@1.0.0",
        "order@1.9.0",
        "order@1.10.0",
        "toml@1.0.0",
        None,
    ]
    assert [f.path.name for f in found][:2] == ["w.json", "z.json"]
    assert [bool(f.faults) for f in found] == [False] * 5 + [True]
    assert found[-1].faults == (
        "version '2': give it a semantic one, like 1.0.0",
        "parameter 'x' is used nowhere: drop it, or write '${x}'",
    )


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Templates")
    (tmp_path / ".order.json").write_text("{")
    (tmp_path / "order.json.bak").write_text("{")
    (tmp_path / "folder.json").mkdir()
    assert TemplateFolder(str(tmp_path)).list() == ()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", b"{", "it cannot be read as JSON: Expecting property name"),
        ("a.json", b"\xff", "it cannot be read as JSON: 'utf-8' codec"),
        ("a.json", b"", "it cannot be read as JSON: Expecting value"),
        ("a.json", b"[" * 100_000, "it is nested too deep"),
        ("a.json", b" " * (MAX_BYTES + 1), f"it has more than {MAX_BYTES} bytes"),
        ("a.json", b"[]", "it is []: give it an object"),
        ("a.json", b"NaN", "it is nan: give it an object"),
        ("a.toml", b"name =", "it cannot be read as TOML: Invalid value"),
        ("a.toml", b"a = 1\na = 2", "it cannot be read as TOML: Cannot overwrite"),
        ("a.toml", b"a = " + b"[" * 100_000, "it is nested too deep"),
        (
            "a.toml",
            f"{TOML}metadata = 2024-01-01".encode(),
            "saga['metadata'] is datetime.date(2024, 1, 1): use what JSON can hold",
        ),
    ],
)
def test_a_broken_file_has_its_faults_and_harms_no_other(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    put(tmp_path, "sound.json", "order", "1.0.0")
    (tmp_path / name).write_bytes(content)
    sound, broken = TemplateFolder(tmp_path).list()
    assert sound.faults == ()
    assert (broken.path, broken.template) == (tmp_path / name, None)
    assert words in broken.faults[0]
    assert TemplateFolder(tmp_path).load("order").label == "order@1.0.0"


def test_the_newest_release_is_loaded_unless_a_version_is_asked_for(
    tmp_path: Path,
) -> None:
    for version in ("1.9.0", "1.10.0", "1.2.0", "2.0.0-rc.1"):
        put(tmp_path, f"{version}.json", "order", version)
    put(tmp_path, "other.json", "other", "9.0.0")
    folder = TemplateFolder(tmp_path)
    assert folder.load("order").version == "1.10.0"
    assert folder.load("order", "1.2.0").version == "1.2.0"
    assert folder.load("order", "2.0.0-rc.1").version == "2.0.0-rc.1"


def test_a_prerelease_is_loaded_where_there_is_no_release(tmp_path: Path) -> None:
    for version in ("1.0.0-rc.2", "1.0.0-rc.10", "1.0.0-beta"):
        put(tmp_path, f"{version}.json", "order", version)
    assert TemplateFolder(tmp_path).load("order").version == "1.0.0-rc.10"


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    put(tmp_path, "a.json", "order", "1.0.0")
    put(tmp_path, "b.json", "audit", "2.0.0")
    (tmp_path / "c.toml").write_text("name =")
    words = refusal(tmp_path, "report")
    assert f"there is no template 'report' in {tmp_path}" in words
    assert "it has audit@2.0.0, order@1.0.0; c.toml: it cannot be read as TOML" in words
    assert "there is no template 'order@1.0.1' in" in refusal(
        tmp_path, "order", "1.0.1"
    )
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty", "order").endswith("it has none")


def test_of_two_files_with_one_name_and_version_none_is_loaded(tmp_path: Path) -> None:
    put(tmp_path, "a.json", "order", "1.0.0")
    put(tmp_path, "copy of a.json", "order", "1.0.0", description="changed")
    put(tmp_path, "b.json", "order", "0.9.0")
    folder = TemplateFolder(tmp_path)
    fault = "each of a.json, copy of a.json is order@1.0.0: keep one"
    assert [f.faults for f in folder.list()] == [(), (fault,), (fault,)]
    assert folder.load("order").version == "0.9.0"
    assert fault in refusal(tmp_path, "order", "1.0.0")


def test_a_folder_that_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "gone", "order")
    (tmp_path / "file").write_text("")
    with pytest.raises(TemplateNotFound, match="cannot be read: Not a directory"):
        TemplateFolder(tmp_path / "file").list()
