"""The house rules that a machine can check."""

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from svc.kernel.settings import table
from tools import gen

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "svc").rglob("*.py"))
NAMES_THAT_SAY_NOTHING = {"utils", "common", "helpers", "core", "base", "managers", "interfaces", "impl"}
LONGEST_MODULE = 400
LOCKS = ["requirements.txt", "requirements-dev.txt"]


def test_generated_code_is_what_the_contracts_say():
    assert gen.stale() == [], "run `make gen` and commit the result"


def test_every_import_respects_the_floors():
    command = [Path(sysconfig.get_path("scripts"), "lint-imports"), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_is_too_long_to_hold_in_the_head():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_every_module_name_says_what_is_inside():
    names = {part for path in MODULES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert names & NAMES_THAT_SAY_NOTHING == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes(lock):
    packages = _locked(lock)
    assert packages
    assert [name for name, entry in packages.items() if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_place_to_download_from(lock):
    text = (ROOT / lock).read_text()
    assert re.findall(r"://|--index-url|--extra-index-url|--find-links|--trusted-host", text) == []


def test_development_installs_what_runs_in_production():
    running, developing = (_locked(lock) for lock in LOCKS)
    assert {
        name: _version(entry) for name, entry in running.items() if _version(developing[name]) != _version(entry)
    } == {}


def test_the_readme_has_every_setting_as_it_is():
    rows = [f"| `{name}` | {f'`{default}`' if default else 'empty'} | {what} |" for name, default, what in table()]
    told = (ROOT / "README.md").read_text().split("<!-- settings:")[1].split("<!-- end of settings -->")[0]
    assert [line for line in told.splitlines() if line.startswith("| `")] == rows


def test_the_readme_names_the_commands_that_there_are():
    readme = (ROOT / "README.md").read_text()
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z-]+)`", readme)) <= set(targets)
    assert {"run", "test", "check"} <= set(re.findall(r"`make ([a-z-]+)`", readme))


def _locked(lock: str) -> dict[str, str]:
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text())
    return {entry.split("==")[0]: entry for entry in entries}


def _version(entry: str) -> str:
    return entry.split("==")[1].split()[0]
