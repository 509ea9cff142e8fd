"""A machine that goes to sleep: the real daemon on a bus of its own, with a logind that is told when (fake-logind.c)."""

import contextlib
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile

import pytest

from hub import build_dir, until
from scenario import accepted, judge, settle, sink_state

BUS = """<busconfig><type>session</type><listen>unix:path={}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy>
</busconfig>
"""

pytestmark = pytest.mark.skipif(not shutil.which("dbus-daemon"), reason="no dbus-daemon")


class Logind:
    def __init__(self, env):
        program = build_dir() / "tests" / "fake-logind"
        assert program.exists(), f"make {program}"
        self.process = subprocess.Popen([program], env=os.environ | env, text=True, bufsize=1, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def tell(self, word):
        self.process.stdin.write(word + "\n")
        assert self.process.stdout.readline() == word + "\n"


@pytest.fixture
def bus():
    """The environment of those who are to find it."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="vitald-bus-", dir="/tmp"))  # the path of a socket has to be short
    (place / "conf").write_text(BUS.format(place))
    process = subprocess.Popen(["dbus-daemon", f"--config-file={place / 'conf'}", "--nofork", "--print-address"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        process.stdout.readline()
        yield {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={place}/bus"}
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(place)


@pytest.fixture
def logind(bus):
    one = Logind(bus)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.communicate()


def on_the_card(hub):
    """Records."""
    with contextlib.closing(sqlite3.connect(f"file:{hub.state_dir / 'store.db'}?mode=ro", uri=True, timeout=2)) as db:
        return db.execute("SELECT coalesce(sum(n), 0) FROM record").fetchone()[0]


def test_sleep(new_hub, bus, logind):
    """What only memory has is on the card before the machine sleeps, for its battery may run empty. When it wakes no
    pause is waited for."""
    hub = new_hub({"control": {"bus": "system"},
                   "sync": {"durability_window": "1min", "backoff_min": "5min", "backoff_max": "15min"}}, env=bus)
    hub.start_straps("--straps", 3, "--ecg", 1, "--speed", 10)
    hub.receiver.down()
    hub.start_daemon()
    sink_state(hub, "down")
    logind.tell("ready")
    waiting = until(lambda: (n := hub.waiting()) >= on_the_card(hub) + 50 and n, 20, "50 records are in memory only")
    logind.tell("sleep")
    assert on_the_card(hub) >= waiting
    hub.receiver.up()
    logind.tell("wake")
    accepted(hub, waiting)
    settle(hub)
    judge(hub)
