"""scripts/run-unit: what it counts is what `make test` believes, so a program that says nothing, or is gone before
it says how it ended, has failed, and those beside it are counted all the same."""

import pathlib
import subprocess

import pytest

RUN_UNIT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "run-unit"
PASSED, FAILED = "echo '[       OK ] one'\n", "echo '[  FAILED  ] two'\necho '[  FAILED  ] two'\nexit 1\n"
PROGRAMS = {
    "well": PASSED + PASSED,
    "bad": PASSED + FAILED,
    "mute": "exit 1\n",
    "killed": PASSED + "kill -9 $$\n",
    "gone": PASSED + "kill -9 $PPID\n",  # with the shell that would have written how it ended
    "skips": PASSED + "echo '[  SKIPPED ] 1 test(s), listed below:'\necho '[  SKIPPED ] three'\n",
}


def run(tmp_path, names):
    for name in names.split():
        program = tmp_path / name
        program.write_text("#!/bin/sh\n" + PROGRAMS[name])
        program.chmod(0o755)
    done = subprocess.run([RUN_UNIT, *(tmp_path / name for name in names.split())], text=True, capture_output=True,
                          timeout=60)
    return done.returncode, done.stdout


@pytest.mark.parametrize("names, counts", [
    ("well", "2 passed, 0 failed"),
    ("well skips", "3 passed, 0 failed, 1 skipped"),
    ("bad", "1 passed, 1 failed"),
    ("mute", "0 passed, 1 failed"),
    ("killed", "1 passed, 1 failed"),
    ("gone", "1 passed, 1 failed"),
    ("well bad mute killed skips", "5 passed, 3 failed, 1 skipped"),
])
def test_counts(tmp_path, names, counts):
    code, said = run(tmp_path, names)
    assert said.splitlines()[-1] == f"unit: {counts}", said
    assert code == (0 if " 0 failed" in counts else 1), said
    for name in names.split():
        assert (f"{tmp_path / name} exited" in said) == (name not in ("well", "skips")), said


def test_a_program_that_is_gone_takes_nobody_with_it(tmp_path):
    """Those that could not be started because of it have failed as well: nobody knows how they are."""
    code, said = run(tmp_path, "gone well skips")
    assert code == 1 and int(said.splitlines()[-1].split()[3]) >= 1, said
