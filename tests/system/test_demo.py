"""`make demo` as a stranger starts it, in a tenth of its time."""

import os
import pathlib
import subprocess
import sys

from hub import build_dir

DEMO = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "demo"


def test_demo(tmp_path):
    page = tmp_path / "demo.html"
    done = subprocess.run(
        [sys.executable, DEMO, "--seconds", "12", "--page", page, "--vitald", build_dir() / "vitald",
         "--vitalctl", build_dir() / "vitalctl"],
        text=True, capture_output=True, timeout=120, env=os.environ | {"TERM": "dumb"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("nothing lost, nothing altered")
    assert "</html>" in page.read_text()
