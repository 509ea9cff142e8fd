"""A daemon that is stopped, hung, dead or at work, and `vitald drain` beside it."""

import os
import re
import sqlite3
import time

import pytest

from hub import until
from scenario import (
    accepted, age_heartbeat, die_while_down, end_drain, files, fill_while_down, freeze, happened, judge, settle,
    start_drain, thaw,
)

DRAINED = re.compile(r"Drain: (\d+) records confirmed, (\d+) still wait")


def drain_beside_hung(hub, waiting):
    """It gets out what it can read, moves nothing, says so."""
    before = files(hub)
    held = hub.receiver.state()["totals"]["accepted"]
    hub.receiver.up()
    status, said = end_drain(hub, start_drain(hub), 40)
    assert files(hub) == before, "the drain moved something that is not its own"
    assert status == 0, said
    confirmed, left = map(int, DRAINED.search(said).groups())
    assert confirmed >= waiting and left == 0, said
    assert "hung" in said and "nothing was moved" in said, said
    assert hub.receiver.state()["totals"]["accepted"] - held == confirmed
    return said


def wakes(hub):
    """It sends the same again, and goes on as if nothing had been."""
    thaw(hub)
    assert hub.receiver.wait(30, until=lambda r: r.totals["duplicate"] > 0), "nothing was sent again"
    accepted(hub, 10)
    settle(hub)
    result = judge(hub, near_us=20_000_000)
    assert hub.receiver.totals["duplicate"] > 0
    return result


def test_stopped_idle(new_hub):
    """Its heartbeat is fresh: the drain asks, waits in vain, and then helps itself."""
    hub = new_hub()
    fill_while_down(hub, 60)
    waiting = hub.waiting()
    freeze(hub)
    said = drain_beside_hung(hub, waiting)
    assert "does not answer" in said
    wakes(hub)


def freeze_inside_commit(hub, tries=400):
    """Stops it again and again until it stops with a write transaction open."""
    db = sqlite3.connect(hub.state_dir / "store.db", timeout=0, isolation_level=None)
    try:
        for i in range(tries):
            freeze(hub)
            try:
                db.execute("BEGIN IMMEDIATE")
                db.execute("ROLLBACK")
            except sqlite3.OperationalError as why:
                assert "locked" in str(why)
                return i
            thaw(hub)
            time.sleep((i % 17) * 0.0007)  # waits for nothing: another moment than the last
    finally:
        db.close()
    return None


def test_stopped_inside_a_commit(new_hub):
    hub = new_hub({"sync": {"durability_window": "0"}})
    fill_while_down(hub, 60, "--straps", 8, "--ecg", 6, "--speed", 60)
    if freeze_inside_commit(hub) is None:
        pytest.fail("it could not be stopped inside a commit")
    age_heartbeat(hub, 60)
    said = drain_beside_hung(hub, 60)
    assert "60 s ago" in said
    wakes(hub)


def test_stopped_and_the_server_is_down(new_hub):
    hub = new_hub()
    fill_while_down(hub, 20)
    freeze(hub)
    age_heartbeat(hub, 60)
    before = files(hub)
    status, said = end_drain(hub, start_drain(hub))
    assert status == 75 and "still wait" in said
    assert files(hub) == before
    thaw(hub)
    hub.receiver.up()
    settle(hub)
    judge(hub)


def test_dead(new_hub):
    """It recovers the tail and uploads all of it."""
    hub = new_hub()
    die_while_down(hub, 60)
    assert hub.audit()["balanced"]
    hub.receiver.up()
    status, said = hub.drain()
    assert status == 0 and DRAINED.search(said).group(2) == "0", said
    assert re.search(r"[1-9]\d* records of the last run were in the tail", said), said
    judge(hub)


def test_dead_with_the_server_down(new_hub):
    hub = new_hub()
    die_while_down(hub, 40)
    status, said = hub.drain()
    assert status == 75 and "because sink demo" in said, said
    assert hub.audit()["balanced"] and hub.waiting() > 0
    hub.receiver.up()
    assert hub.drain()[0] == 0
    judge(hub)


def stalled_drain(hub):
    """A drain that waits for an answer which does not come."""
    hub.receiver.up()
    hub.receiver.misbehave("stall")
    drain = start_drain(hub)
    happened(hub, "stall", 1)
    return drain


def test_hands_over_to_a_daemon_that_starts(new_hub):
    hub = new_hub()
    fill_while_down(hub, 40)
    hub.kill()
    drain = stalled_drain(hub)
    began = time.monotonic()
    hub.start_daemon()
    took = time.monotonic() - began
    status, said = end_drain(hub, drain)
    assert status == 0 and "a daemon wants the store" in said, said
    assert took < 4, f"handing over took {took:.1f} s"
    hub.receiver.clear()
    settle(hub)
    judge(hub)


def test_told_to_stop_midway(new_hub):
    hub = new_hub()
    die_while_down(hub, 40)
    drain = stalled_drain(hub)
    drain.terminate()
    status, said = end_drain(hub, drain)
    assert status == 0 and "it was told to stop" in said, said
    assert hub.audit()["balanced"] and hub.waiting() > 0
    hub.receiver.clear()
    assert hub.drain()[0] == 0
    judge(hub)


def test_killed_midway(new_hub):
    """A drain is an owner like any other: the next one takes over what it left."""
    hub = new_hub()
    die_while_down(hub, 40)
    drain = stalled_drain(hub)
    drain.kill()
    end_drain(hub, drain)
    assert hub.audit()["balanced"]
    hub.receiver.clear()
    assert hub.drain()[0] == 0
    judge(hub)


def test_two_drains(new_hub):
    hub = new_hub()
    die_while_down(hub, 40)
    first = stalled_drain(hub)
    status, said = hub.drain()
    assert status == 0 and f"Another drain (pid {first.pid}) is at work" in said, said
    first.terminate()
    assert end_drain(hub, first)[0] == 0
    hub.receiver.clear()
    assert hub.drain()[0] == 0
    judge(hub)


def test_alive(new_hub):
    """It asks the daemon, which then does not wait for its backoff."""
    hub = new_hub({"sync": {"backoff_min": "5min", "backoff_max": "15min"}})
    fill_while_down(hub, 40)
    pid = hub.daemon.pid
    until(lambda: "is down" in hub.said(), 10, "the daemon gave up for now")
    hub.receiver.up()
    status, said = hub.drain()
    assert status == 0 and f"The daemon (pid {pid}) is at work and was asked" in said, said
    accepted(hub, 40)
    settle(hub)
    judge(hub)


def test_no_store(new_hub):
    hub = new_hub()
    hub.state_dir.rmdir()
    status, said = hub.drain()
    assert status == 0 and "no store" in said
    assert not hub.state_dir.exists()


def test_bad_config(new_hub):
    hub = new_hub({"sync": {"linger": "soon"}})
    status, said = hub.drain()
    assert status == 78 and f"{hub.config_file}:" in said
    assert not os.listdir(hub.state_dir)
