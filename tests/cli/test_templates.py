"""The list of templates as a process: what is broken shows in its exit code."""

from __future__ import annotations

import json

import pytest

from tests.support.front import linear

SOUND = {"name": "order", "version": "1.2.0", "saga": linear(1).to_json()}


@pytest.mark.parametrize(
    ("files", "code"),
    [({}, 0), ({"a": SOUND}, 0), ({"a": SOUND, "b": {}, "c": {}}, 1)],
    ids=["none", "sound", "broken"],
)
def test_templates_exits_1_after_all_are_listed_if_one_is_broken(
    run, run_json, tmp_path, files, code
):
    for name, template in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(template))
    told = run_json("saga", "templates", str(tmp_path), code=code)
    assert len(told) == len(files)
    done = run("saga", "templates", str(tmp_path))
    assert done.returncode == code
    for name, template in files.items():
        assert (f"{name}.json" if not template else "order@1.2.0") in done.stdout
