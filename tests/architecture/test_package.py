"""What is shipped, and what installing it brings along."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
REQUIREMENTS = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
MAX_DISTRIBUTIONS = 45


def closure(requirements: list[Requirement]) -> set[str]:
    """Name every distribution that installing ``requirements`` brings here."""
    found: set[tuple[str, str]] = set()
    todo = [(need.name, extra) for need in requirements for extra in ("", *need.extras)]
    while todo:
        name, extra = todo.pop()
        if (canonicalize_name(name), extra) in found:
            continue
        found.add((canonicalize_name(name), extra))
        for line in distribution(name).requires or ():
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                todo += [(need.name, wanted) for wanted in ("", *need.extras)]
    return {name for name, _ in found}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Build the wheel as the package index would get it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [file] = folder.iterdir()
    return zipfile.ZipFile(file)


def test_wheel_holds_the_packages_with_their_sql_and_nothing_else(wheel):
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = {"beat_schedule.py"} | {
        str(file.relative_to(ROOT))
        for package in ("orchestration", "tasks", "eventstore")
        for file in (ROOT / package).rglob("*")
        if file.suffix in {".py", ".sql", ".lua", ".typed"}
    }
    assert shipped == wanted
    assert any(name.endswith(".sql") for name in shipped)


def test_wheel_names_its_licence_and_its_command(wheel):
    about = {
        Path(name).name: wheel.read(name).decode()
        for name in wheel.namelist()
        if ".dist-info/" in name
    }
    assert "Apache License" in about["LICENSE"]
    assert "orchestration = orchestration.cli:main" in about["entry_points.txt"]


def test_an_install_brings_few_distributions():
    assert len(closure(REQUIREMENTS)) <= MAX_DISTRIBUTIONS


def test_each_direct_dependency_has_its_reason_in_the_docs():
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    explained = set(re.findall(r"^\| `([^`\[]+)(?:\[\w+\])?` \|", page, re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"].values()
    direct = [
        *REQUIREMENTS,
        *(Requirement(line) for lines in extras for line in lines),
    ]
    assert {need.name for need in direct} == explained


def test_redis_comes_with_celery_and_never_plain():
    by_name = {need.name: need for need in REQUIREMENTS}
    assert "redis" not in by_name, "plain redis lacks what kombu's transport imports"
    assert by_name["celery"].extras == {"redis"}
