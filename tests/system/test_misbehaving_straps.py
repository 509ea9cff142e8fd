"""Straps that drop, repeat, mangle, go away, and whose clocks jump: gaps with the right reason, bad frames counted and
kept, and never anything invented."""

import json
import sqlite3

import pytest

from hub import until
from scenario import accepted, gaps, judge, settle

import balance as b

ZERO, ONE = "c0:de:00:00:00:01", "c0:de:00:00:00:02"


def two_straps(new_hub, speed):
    hub = new_hub()
    hub.start_straps("--straps", 2, "--ecg", 1, "--speed", speed)
    hub.start_daemon()
    accepted(hub, 10)
    return hub


@pytest.fixture
def hub(new_hub):
    return two_straps(new_hub, 10)


@pytest.fixture
def slow_hub(new_hub):
    """At real speed, where as much time passes here as by the sensor's clock: else frames that are missing are a clock
    that was set."""
    return two_straps(new_hub, 1)


def device(hub, address=ZERO):
    return next((d for d in hub.status()["devices"] if d["address"] == address), {})


def reasons(hub, address, kind):
    return [reason for reason, *_ in gaps(hub)[address, kind]]


def truth_events(hub, name):
    with open(hub.truth, encoding="utf-8") as file:
        return [line for line in map(json.loads, file) if line.get("event") == name]


def test_missing_frames(slow_hub):
    """The sensor's timestamps jump: a gap, and how many are missing."""
    slow_hub.tell("gap", 0, 5)
    until(lambda: device(slow_hub)["gaps"] == 1, 10, "a gap")
    accepted(slow_hub, 10)
    settle(slow_hub)
    judge(slow_hub)
    (gap,) = gaps(slow_hub)[ZERO, "ecg"]
    assert (gap[0], gap[3]) == ("missing_frames", 5)
    lost = [one.t_us for one in b.read_truth(slow_hub.truth)[0] if one.handed == "lost_in_air"]
    assert len(lost) == 5
    assert list(gaps(slow_hub)) == [(ZERO, "ecg")]


@pytest.mark.parametrize("command, reason", (("link_loss", "link_loss"), ("disconnect", "disconnected")))
def test_link(hub, command, reason):
    """Both streams of that strap have a gap over the time it was gone; the other one has none."""
    hub.tell(command, 0, 10)
    until(lambda: device(hub)["connected"] is False, 10, "it is gone")
    assert device(hub)["why"]
    until(lambda: device(hub)["connected"] is True, 10, "it is back")
    until(lambda: device(hub)["gaps"] == 2, 10, "both gaps")
    accepted(hub, 10)
    settle(hub)
    judge(hub)
    assert reasons(hub, ZERO, "ecg") == reasons(hub, ZERO, "heart_rate") == [reason]
    assert not reasons(hub, ONE, "heart_rate")
    away = [one for one in b.read_truth(hub.truth)[0] if one.handed == "no_link"]
    assert away and all(one.device == ZERO for one in away)
    for kind in ("ecg", "heart_rate"):
        ((_, first, last, _),) = gaps(hub)[ZERO, kind]
        for one in away:
            if one.kind == kind:
                assert first <= one.t_us <= last + 600_000  # a frame at speed 10 seems to begin 0.56 s earlier


def test_clock_reset(hub):
    hub.tell("clock_reset", 0)
    until(lambda: device(hub)["gaps"] == 1, 10, "a gap")
    accepted(hub, 10)
    settle(hub)
    judge(hub)
    assert reasons(hub, ZERO, "ecg") == ["clock_reset"]
    assert not reasons(hub, ZERO, "heart_rate")


def test_mute(slow_hub):
    """Linked, but silent: the frames that did not come are missing."""
    slow_hub.tell("mute", 0, 3)
    until(lambda: device(slow_hub)["gaps"] == 1, 10, "a gap")
    settle(slow_hub)
    judge(slow_hub)
    assert reasons(slow_hub, ZERO, "ecg") == ["missing_frames"]


def test_duplicates(hub):
    """A frame with the timestamp of the one before is the same one; a heart rate that repeats is a new one."""
    for _ in range(3):
        before = device(hub)["duplicates"]
        hub.tell("duplicate", 0)
        until(lambda: device(hub)["duplicates"] == before + 1, 10, "it is counted")
    hub.tell("duplicate", 1, "2a37")
    accepted(hub, 10)
    settle(hub)
    total = judge(hub)["total"]
    assert total["repeated"] == 3 and not total["gaps"]
    doubled = [one for one in b.read_truth(hub.truth)[0] if one.what == "duplicate"]
    assert {one.kind for one in doubled} == {"ecg", "heart_rate"}


BAD = (("2a37", "01"), ("2a37", "0140"), ("2a37", "-"), ("2a37", "184000"), ("2a19", "-"), ("2a19", "ff"),
       ("fb005c82-02e7-f387-1cad-8acd2d8df0c8", "00"), ("fb005c82-02e7-f387-1cad-8acd2d8df0c8", "0000000000000000000001"))


def test_malformed(hub):
    """Counted, kept with the bytes and the reason, and nothing else is disturbed."""
    for uuid, bytes_ in BAD:
        before = device(hub)["undecodable"]
        hub.tell("malformed", 0, uuid, bytes_)
        until(lambda: device(hub)["undecodable"] == before + 1, 10, f"{uuid} {bytes_} is counted")
    accepted(hub, 10)
    assert hub.status()["summary"]["undecoded"] == len(BAD)
    settle(hub)
    judge(hub)
    db = sqlite3.connect(f"file:{hub.state_dir}/store.db?mode=ro", uri=True)
    kept = db.execute("SELECT device, why, data FROM undecoded ORDER BY number").fetchall()
    db.close()
    assert [(row[0], row[2].hex()) for row in kept] == [(ZERO, "" if h == "-" else h) for _, h in BAD]
    assert all(row[1] for row in kept)
    assert "cannot be decoded" in hub.said()


def test_drift(new_hub):
    """Crystals that are off by 200 ppm to either side, and one that is broken: no gap, no loss."""
    hub = new_hub()
    hub.start_straps("--straps", 3, "--ecg", 3, "--speed", 10, "--drift-ppm", "200,-200,5000")
    hub.start_daemon()
    accepted(hub, 150)
    settle(hub)
    assert not judge(hub)["total"]["gaps"]


def test_all_at_once(new_hub):
    """Everything goes wrong for a while, on four straps; what was handed over is there, once."""
    hub = new_hub()
    hub.start_straps("--straps", 4, "--ecg", 3, "--speed", 3, "--drop", 0.05, "--duplicate", 0.05, "--malformed", 0.05,
                     "--link-loss-every", 17, "--disconnect-every", 23, "--away", 4, "--clock-reset-every", 31,
                     "--drift-ppm", "50,-50,500,0", "--seed", 7)
    hub.start_daemon()
    wanted = {"link_loss", "disconnected", "clock_reset", "missing_frames"}
    until(lambda: wanted <= {reason for told in gaps(hub).values() for reason, *_ in told}, 60, "each kind of gap")
    accepted(hub, 200)
    undecodable = lambda: sum(d["undecodable"] for d in hub.status()["devices"])  # noqa: E731
    hub.stop_straps()
    assert hub.wait_empty(30)
    counted = undecodable()
    assert hub.stop() == 0
    total = judge(hub)["total"]
    assert set(total["gaps"]) == wanted
    with open(hub.truth, encoding="utf-8") as file:
        text = file.read()
    battery = sum('"char":"2a19"' in line and '"what":"malformed"' in line and '"handed":"yes"' in line
                  for line in text.splitlines())
    assert counted == total["undecodable"] + battery
