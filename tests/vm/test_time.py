"""Honest time with the real clock of a kernel: a guest boots in 1970, its clock is set, synchronised, set forward and
back and bent, under a vitald as installed. What the receiver holds is compared with when the straps said it, on the
clock that nobody sets: CLOCK_BOOTTIME."""

import json
import statistics

import pytest

from installed import CONFIG, ETC, SYNCHRONISE, Installed, b, catalog

IDS = catalog()
HOUR = 3600
NEAR_US = 20_000
AT_ONCE_S = 2  # of an emulated machine; the daemon looks by itself each 5 s
TIME = """[time]
clock_wait = 5s
"""

# adjtimex(2) in the manner of an NTP client: struct timex as longs; modes, and places of status, seconds and tick.
ADJTIMEX = """python3 -c 'import ctypes
t = (ctypes.c_long * 26)()
ctypes.c_uint.from_buffer(t).value = {modes:#x}
t[9], t[11] = {seconds}, {tick}
assert ctypes.CDLL(None).adjtimex(t) >= 0'"""
SET_OFFSET, TICK, MAXERROR, ESTERROR, STATUS = 0x100, 0x4000, 4, 8, 0x10


class Clock(Installed):
    def setup(self):
        self.start()
        self.install()
        # 1970, as far as the kernel lets it: not before its own uptime.
        self.began = int(self.must("date +%s"))
        self.must(f"date -s @1800 && echo right >/run/token && install -m 0640 -o root -g vitald /run/token {ETC}/token")
        self.write(f"{ETC}/vitald.conf.d/time.conf", CONFIG + TIME)
        self.start_receiver()
        self.must("systemctl restart vitald")
        self.start_straps("truth", "--straps", "3", "--ecg", "0")

    def offset(self):
        """CLOCK_REALTIME minus CLOCK_BOOTTIME, microseconds."""
        return int(self.must("python3 -c 'from time import *\n"
                             "print(min((clock_gettime_ns(7) - (a := clock_gettime_ns(7)), time_ns() - a)"
                             " for _ in range(9))[1] // 1000)'"))

    def set_offset(self, seconds):
        """A step by who disciplines the clock, as timesyncd and chrony make it: it stays synchronised."""
        self.must(ADJTIMEX.format(modes=SET_OFFSET | MAXERROR | ESTERROR | STATUS, seconds=seconds, tick=0))

    def tick(self, us):
        """How long the kernel takes its 10 ms to be: 10 % is what chrony slews by at most."""
        self.must(ADJTIMEX.format(modes=TICK, seconds=0, tick=us))

    def monotonic(self):
        return float(self.must("cut -d' ' -f1 /proc/uptime"))

    def said(self, message_id):
        """Seconds since boot of each such line."""
        out = self.must(f"journalctl -b -q --no-pager -o json -u vitald MESSAGE_ID={message_id}")
        return [int(json.loads(line)["__MONOTONIC_TIMESTAMP"]) / 1e6 for line in out.splitlines()]

    def notes(self):
        return self.receiver.query("SELECT boot_id, boot_us, utc_us FROM clock ORDER BY boot_us")

    def pairs(self):
        """[(when it was said on CLOCK_BOOTTIME, seq, stream, t_us, clk)], in order: of each strap, what was heard."""
        self.settle()
        found = []
        with open(self.share / "truth", encoding="utf-8") as file:
            when = {line["n"]: line["t_boot_us"] for line in map(json.loads, file) if "hex" in line}
        sent = [one for one in b.read_truth(self.share / "truth")[0] if one.expected]
        for device in {one.device for one in sent}:
            rows = self.receiver.query("SELECT stream, seq, t_us, clk FROM records WHERE type = 'heart_rate'"
                                       f" AND device = '{device}' ORDER BY seq")
            mine = [one for one in sent if one.device == device]
            assert len(rows) == len(mine)
            found += [(when[one.n], *row) for one, row in zip(mine, rows)]
        self.tell("resume")
        return found


@pytest.fixture
def hub(guests):
    return guests(Clock, Clock.setup)


pytestmark = pytest.mark.usefixtures("one_after_the_other")


def near(errors):
    """Of an emulated machine that others use: the many are right, none is far off."""
    assert statistics.median(map(abs, errors)) < NEAR_US, sorted(errors)
    assert max(map(abs, errors)) < 2_000_000, sorted(errors)


def test_a_boot_in_1970(hub):
    """Estimates after clock_wait; then it is set and synchronised, and what was learnt corrects them."""
    assert hub.receiver.wait(timeout=60, accepted=9), hub.journal()
    assert "the clock is not synchronised" in hub.sh("vitalctl status")[1]
    assert hub.receiver.query("SELECT DISTINCT clk FROM records") == [[2]]
    assert hub.receiver.query("SELECT max(t_us) < 3600000000 FROM records") == [[1]]
    assert hub.said(IDS["CLOCK_UNSYNCED"])
    hub.must(f"date -s @{hub.began + 60}")
    hub.must(SYNCHRONISE)
    right = hub.offset()
    assert hub.receiver.wait(timeout=60, sql="SELECT count(*) >= 9 FROM records WHERE clk = 1"), hub.journal()
    assert hub.receiver.wait(timeout=60, sql="SELECT count(*) = 1 FROM clock"), hub.journal()
    ((boot_id, boot_us, utc_us),) = hub.notes()
    assert boot_id == hub.must("cat /proc/sys/kernel/random/boot_id").strip()
    assert abs(utc_us - boot_us - right) < NEAR_US
    found = hub.pairs()
    true = {(stream, seq): true_us
            for stream, seq, true_us in hub.receiver.query("SELECT stream, seq, true_us FROM corrected")}
    estimates = [true[stream, seq] - right - said for said, stream, seq, _, clk in found if clk == 2]
    assert len(estimates) >= 9
    near(estimates)
    near([t_us - right - said for said, _, _, t_us, clk in found if clk == 1])
    assert not hub.said(IDS["CLOCK_STEPPED"])  # this is how every boot begins


def test_steps(hub):
    """Forward and back while it is synchronised: noticed at once, noted, told; each record has the time of then."""
    steps = [(0, hub.offset())]
    for n, seconds in enumerate((HOUR, -2 * HOUR)):
        before = hub.monotonic()
        hub.set_offset(seconds)
        hub.until(f"test $(journalctl -b -q -u vitald MESSAGE_ID={IDS['CLOCK_STEPPED']} -o cat | wc -l) -gt {n}", "it is told")
        after = hub.said(IDS["CLOCK_STEPPED"])[-1] - before
        print(f"told after {after:.1f} s")
        assert after < AT_ONCE_S
        steps.append((before * 1e6, hub.offset()))
        assert abs(steps[-1][1] - steps[-2][1] - seconds * 1e6) < NEAR_US
        assert hub.receiver.wait(timeout=60, sql=f"SELECT count(*) = {n + 2} FROM clock"), hub.journal()
        hub.accepted(6)
        assert f"the clock was set {'forward by 1 h' if seconds > 0 else 'back by 2 h'}" in hub.sh("vitalctl status")[1]
    noted = [utc_us - boot_us for _, boot_us, utc_us in hub.notes()]
    assert all(abs(a - b_) < NEAR_US for a, (_, b_) in zip(noted, steps)), (noted, steps)
    errors = []
    for said, _, _, t_us, clk in hub.pairs():
        if clk == 1:  # within a second of a step it may be either
            near_by = [offset for at, offset in steps if at < said + 1e6][-2:]
            past = [offset for at, offset in steps if at < said - 1e6][-1:]
            errors.append(min(abs(t_us - said - offset) for offset in (past if past == near_by[-1:] else near_by)))
    near(errors)
    assert hub.audit()["balanced"]


def test_bent(hub):
    """Slewing bends CLOCK_BOOTTIME with CLOCK_REALTIME: their offset stays, and there is nothing to note."""
    before, notes = hub.offset(), hub.notes()
    raw = "import time; print(time.clock_gettime_ns(1) - time.clock_gettime_ns(4))"
    bent = int(hub.must(f"python3 -c '{raw}'"))
    hub.tick(11000)
    hub.must("python3 -c 'import time; time.sleep(12)'")  # what a slew does it does in time alone
    hub.tick(10000)
    assert int(hub.must(f"python3 -c '{raw}'")) - bent > 500_000_000  # it was bent, by a tenth
    assert abs(hub.offset() - before) < 1000
    assert hub.notes() == notes
    assert len(hub.said(IDS["CLOCK_STEPPED"])) == 2
    hub.accepted(6)


def test_set_by_hand(hub):
    """date -s without an NTP client: the kernel calls it unsynchronised, and records go on with the time that was right."""
    before = hub.offset()
    hub.must(f"date -s @{hub.began + 10 * HOUR}")
    hub.until("vitalctl status | grep -q 'not synchronised any more'", "it is told")
    since = hub.monotonic() * 1e6
    hub.accepted(9)
    near([t_us - before - said for said, _, _, t_us, _ in hub.pairs() if said > since])
    assert len(hub.said(IDS["CLOCK_STEPPED"])) == 2
    assert hub.audit()["balanced"]
