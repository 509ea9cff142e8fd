"""`vitalctl capture` from a daemon that listens to straps, and `type = replay` in another: the same records come
out. And all that can end a capture, or refuse it."""

import collections
import json
import os
import signal
import socket
import struct
import subprocess

import pytest

import balance as b
from hub import until
from scenario import accepted, judge, settle

STRAPS = ("--straps", 3, "--ecg", 2, "--speed", 4)
PAUSE_US = 50_000  # how far apart two records may be moved: what the clock of this machine is corrected by


class Capturing:
    """A `vitalctl capture` at work, whose file has its first packets."""

    def __init__(self, hub, *options, name="capture"):
        self.hub = hub
        self.path = hub.dir / name
        self.process = subprocess.Popen(
            [hub.vitalctl, "--config", str(hub.config_file), "--json", "capture", str(self.path), *map(str, options)],
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=hub.env)
        until(lambda: self.size() > 16 or self.process.poll() is not None, 10, "a capture")

    def size(self):
        return self.path.stat().st_size if self.path.exists() else 0

    def end(self, how=signal.SIGINT, status=0):
        """-> (summary, what it complained of)"""
        if how:
            self.process.send_signal(how)
        said, complaints = self.process.communicate(timeout=20)
        self.hub.heard(complaints)
        assert self.process.returncode == status, complaints
        return json.loads(said) if said else None, complaints


def records(hub):
    """{(device, kind): [(content, t_us)]}"""
    return {key: [(one.content, one.t_us) for one in got] for key, got in b.read_receiver(hub.db)[0].items()}


def replay(hub, capture, pace="fast", **source):
    """Plays it into this hub until everything it holds was taken."""
    hub.configure({"source": {"type": "replay", "socket": None, "file": capture, "pace": pace, **source}})
    hub.start_daemon()
    words = until(lambda: (w := (hub.status() or {}).get("summary", {}).get("source", "")).find("capture") > 0 and w,
                  60, "the capture ended")
    assert hub.wait_empty(30)
    return words


def packets(path):
    """[(type, data)], and the dropped ones."""
    data = path.read_bytes()
    assert data[:16] == b"btsnoop\0" + struct.pack(">II", 1, 2001)
    found, at, dropped = [], 16, 0
    while at < len(data):
        whole, kept, flags, dropped, _ = struct.unpack_from(">IIIIq", data, at)
        assert whole == kept
        found.append((flags & 0xFFFF, data[at + 24:at + 24 + kept]))
        at += 24 + kept
    assert at == len(data)
    return found, dropped


def dropped(path):
    """The same of a file that is being written; 0 while its last packet is not whole."""
    try:
        return packets(path)[1]
    except (AssertionError, struct.error):
        return 0


def notifications(path):
    """By handle of the connection."""
    found = collections.Counter()
    for kind, data in packets(path)[0]:
        if kind == 5 and data[8] == 0x1B:
            found[data[0]] += 1
    return found


def same(first, second):
    assert first.keys() == second.keys()
    for key, sent in first.items():
        assert len(sent) > 10, key
        got = second[key]
        assert [content for content, _ in sent] == [content for content, _ in got], key
        for (_, a), (_, c) in zip(sent, got):
            assert abs((a - sent[0][1]) - (c - got[0][1])) < PAUSE_US, key


@pytest.mark.parametrize("pace", ("fast", "real"))
def test_round_trip(new_hub, pace):
    """Straps -> daemon -> capture -> another daemon: the same records, as far apart as they were."""
    first = new_hub()
    first.start_daemon()
    capture = Capturing(first)
    first.start_straps(*STRAPS)
    accepted(first, 120)
    first.stop_straps()
    assert first.wait_empty(30)
    summary, complaints = capture.end()
    assert first.stop() == 0
    judge(first)
    assert summary["dropped"] == 0 and summary["packets"] == len(packets(capture.path)[0]), complaints
    assert capture.path.stat().st_mode & 0o777 == 0o600
    second = new_hub()
    words = replay(second, capture.path, pace)
    assert "is at its end" in words and "handles" not in words, words
    assert second.stop() == 0
    same(records(first), records(second))


def test_in_the_middle_and_of_one(new_hub):
    """Links that were up before are told; other straps are not in it; a time ends it; its file is nobody else's."""
    hub = new_hub()
    hub.start_straps(*STRAPS)
    hub.start_daemon()
    accepted(hub, 20)
    until(lambda: len([one for one in hub.status()["devices"] if one["connected"]]) == 3, 10, "three straps")
    device = "c0:de:00:00:00:02"
    capture = Capturing(hub, "--device", device.upper(), "--seconds", 2)
    summary, complaints = capture.end(how=None)
    assert summary["duration_us"] < 10_000_000 and not complaints
    settle(hub)
    judge(hub)
    assert len(notifications(capture.path)) == 1
    second = new_hub()
    replay(second, capture.path)
    held = records(second)
    assert {key[0] for key in held} == {device}
    for key, got in held.items():
        assert {content for content, _ in got} <= {content for content, _ in records(hub)[key]}
    assert second.stop() == 0


def test_the_daemon_ends_first(new_hub):
    hub = new_hub()
    hub.start_straps(*STRAPS)
    hub.start_daemon()
    capture = Capturing(hub)
    accepted(hub, 20)
    assert hub.stop() == 0
    summary, complaints = capture.end(how=None, status=69)
    assert "the daemon ended the capture" in complaints and summary["packets"] > 20
    assert len(packets(capture.path)[0]) == summary["packets"]


def test_nobody_waits_for_who_does_not_read(new_hub):
    """A capture that is stopped: packets are dropped and counted, the daemon goes on, and the count is in the file."""
    hub = new_hub()
    hub.start_straps("--straps", 4, "--ecg", 4, "--speed", 100)
    hub.start_daemon()
    capture = Capturing(hub)
    capture.process.send_signal(signal.SIGSTOP)
    accepted(hub, 4000, timeout=60)
    capture.process.send_signal(signal.SIGCONT)
    until(lambda: dropped(capture.path), 10, "a packet that says how many are missing before it")
    hub.stop_straps()
    summary, _ = capture.end()
    assert packets(capture.path)[1] == summary["dropped"]
    settle(hub)
    judge(hub)


def test_refusals(new_hub):
    """Not over a file that is there, not more than four, not without a daemon; then no file is left."""
    hub = new_hub()
    there = hub.dir / "there"
    there.write_text("mine")
    status, _, error = hub.ctl("capture", str(hub.dir / "new"))
    assert status == 69 and "not running" in error and not (hub.dir / "new").exists()
    hub.start_daemon()
    status, _, error = hub.ctl("capture", str(there))
    assert status == 69 and "File exists" in error and there.read_text() == "mine"
    for words, part in ((("--seconds", "0", "f"), "--seconds"), (("--device", "strap", "f"), "--device"), ((), "a file"),
                        (("f", "g"), '"g"'), (("--fast", "f"), '"--fast"'), (("f", "--seconds"), '"--seconds"')):
        status, _, error = hub.ctl("capture", *words)
        assert status == 64 and part in error, (words, error)
    four = [Capturing(hub, name=f"capture{i}") for i in range(4)]
    status, _, error = hub.ctl("capture", str(hub.dir / "fifth"))
    assert status == 69 and "as many captures" in error and not (hub.dir / "fifth").exists()
    for how, capture in zip((signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT), four):
        summary, _ = capture.end(how)
        assert summary["packets"] > 0
    Capturing(hub, name="again").end()
    hub.stop()


def test_killed_capture_frees_its_place(new_hub):
    hub = new_hub()
    hub.start_straps(*STRAPS)
    hub.start_daemon()
    for i in range(5):
        capture = Capturing(hub, name=f"capture{i}")
        capture.process.kill()
        capture.process.communicate()
        until(lambda: hub.said().count("a capture ended") == i + 1, 10, "its place is free")
    accepted(hub, 1)
    settle(hub)
    judge(hub)


def test_a_capture_that_breaks(new_hub):
    """What is before the break is played, and status says where it is."""
    first = new_hub()
    first.start_straps(*STRAPS)
    first.start_daemon()
    capture = Capturing(first)
    accepted(first, 60)
    capture.end()
    settle(first)
    size = capture.path.stat().st_size
    os.truncate(capture.path, size - 1)
    second = new_hub()
    words = replay(second, capture.path)
    assert "is broken at byte" in words and "in the middle of a packet" in words
    assert sum(map(len, records(second).values())) > 20
    assert second.stop() == 0
