"""The lock check sees each way in which lock and pyprojects can drift apart."""

from pathlib import Path

import pytest

from tests import lock

HASH = f" \\\n    --hash=sha256:{'0' * 64}\n"


def house(root: Path, *, pins: str, dependencies: str = '"pytest>=8"') -> Path:
    (root / "libs/common").mkdir(parents=True)
    (root / lock.LOCK).write_text(pins)
    (root / "pyproject.toml").write_text('[dependency-groups]\ndev = ["pluggy"]\n')
    (root / "libs/common/pyproject.toml").write_text(
        f'[project]\ndependencies = [{dependencies}, "prag-other"]\n'
    )
    return root


def test_this_house_and_its_lock_agree() -> None:
    assert lock.problems() == []
    assert len(lock.read_pins((lock.ROOT / lock.LOCK).read_text())) > 50


VERSIONS = {
    "iniconfig": "2.1",
    "packaging": "25",
    "pluggy": "1.6",
    "pygments": "2.19",
    "pytest": "9.0",
}
GOOD = "".join(f"{name}=={version}{HASH}" for name, version in VERSIONS.items())


def test_a_lock_that_agrees_raises_no_problem(tmp_path: Path) -> None:
    pins = f"{GOOD}pywin32==311 ; sys_platform == 'plan9'{HASH}"

    assert lock.problems(house(tmp_path, pins=pins)) == []


@pytest.mark.parametrize(
    ("pins", "problem"),
    [
        (GOOD.replace(f"1.6{HASH}", "1.6\n"), "pluggy has no hash"),
        (f"--index-url https://example.org/simple\n{GOOD}", ":1: names an index"),
        (f"--find-links wheels\n{GOOD}", ":1: names an index"),
        (f"{GOOD}# from https://example.org/x.whl\n", "names an index"),
        (GOOD.replace("pluggy==", "other=="), "pluggy is not in requirements.lock"),
        (GOOD.replace("pytest==9.0", "pytest==7.4"), "pytest>=8 is not met by 7.4"),
        (f"{GOOD}hypothesis==6.1{HASH}", "nothing asks for hypothesis"),
    ],
)
def test_a_lock_that_drifted_is_a_problem(tmp_path: Path, pins: str, problem: str) -> None:
    found = lock.problems(house(tmp_path, pins=pins))

    assert any(problem in line for line in found), found


def test_the_packages_of_an_extra_are_needed_only_with_the_extra(tmp_path: Path) -> None:
    pins = f"{GOOD}sqlalchemy==2.1{HASH}greenlet==3.3{HASH}typing-extensions==4.15{HASH}"

    with_extra = house(tmp_path, pins=pins, dependencies='"pytest", "sqlalchemy[asyncio]"')
    assert lock.problems(with_extra) == []

    pyproject = with_extra / "libs/common/pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("[asyncio]", ""))
    assert lock.problems(with_extra) == [
        "requirements.lock: nothing asks for greenlet: run make lock"
    ]
