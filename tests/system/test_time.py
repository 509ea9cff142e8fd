"""Honest time. A real daemon, whose clocks this test moves (told-clock.c), lives in 1970, is synchronised, is set
forward and back, sleeps; and what the receiver holds is compared with when the straps measured it. Sample times of ECG
are within 20 ms of that, by quartzes that are off by 500 ppm, over a radio that is late and stalls."""

import functools
import json
import pathlib
import statistics
import struct
import subprocess
import time

import pytest

import balance as b
import contract
from hub import build_dir, until
from receiver import Receiver
from scenario import SINK, accepted, problems, settle, sink, sink_state

HOUR = 3_600_000_000
NEAR_US = 20_000
ZERO, ONE = "c0:de:00:00:00:01", "c0:de:00:00:00:02"
TRUST = {"time": {"trust_clock": "auto", "clock_wait": "1s"}}


class Told:
    """The clocks of a daemon."""

    def __init__(self, path, synchronised=True, set_us=0):
        self.path = pathlib.Path(path)
        self.path.write_bytes(bytes(24))
        self.set_us, self.slept_us, self.synchronised = set_us, 0, synchronised
        self.set()

    def set(self, **what):
        for name, value in what.items():
            assert hasattr(self, name)
            setattr(self, name, value)
        with open(self.path, "r+b") as file:
            file.write(struct.pack("<qqq", self.set_us, self.slept_us, self.synchronised))


def told_hub(new_hub, tmp_path, config=None, **clock):
    told = Told(tmp_path / "told", **clock)
    program = build_dir() / "tests" / "vitald-told"
    assert program.exists(), f"make {program}"
    hub = new_hub(config or TRUST, vitald=program)
    # Of the daemon alone: the straps live in our time.
    hub.start_daemon = functools.partial(hub.start_daemon, env={"VITALD_TOLD_CLOCK": str(told.path)})
    return hub, told


def taken(hub):
    """{n of a notification: wall time of when it was measured}"""
    with open(hub.truth, encoding="utf-8") as file:
        return {line["n"]: line["taken_us"] for line in map(json.loads, file) if "taken_us" in line}


def pairs(hub, device, kind):
    """[(measured_us, stream, seq, t_us of the last sample, clk)]: what was heard and what the receiver has of it, in order; nothing
    is missing."""
    when = taken(hub)
    sent = [one for one in b.read_truth(hub.truth)[0] if one.expected and (one.device, one.kind) == (device, kind)]
    rows = hub.receiver.query(
        "SELECT stream, seq, t_us, clk, payload FROM records WHERE device = ? AND kind = ? AND type != 'gap' ORDER BY seq",
        (device, kind))
    assert len(sent) == len(rows) > 0
    found = []
    for one, (stream, seq, t_us, clk, payload) in zip(sent, rows):
        assert one.content == b._content(kind, payload)
        if kind == "ecg":
            what = contract.unpack("ecg", payload)
            t_us += (len(what["uv"]) - 1) * what["dt_ns"] // 1000
        found.append((when[one.n], stream, seq, t_us, clk))
    return found


def near(errors, limit=NEAR_US):
    """Whoever hands over and reads them shares this machine with others: a few are late, and by as much wrong where
    only their arrival tells; the many are not, and nothing is far off."""
    errors = sorted(map(abs, errors))
    assert statistics.median(errors) < limit, errors
    assert errors[-1] < 1_000_000, errors


def notes(hub):
    return hub.receiver.query("SELECT boot_id, boot_us, utc_us FROM clock ORDER BY boot_us")


def clock_notes(hub, n):
    until(lambda: len(notes(hub)) >= n, 15, f"{n} clock notes")
    return notes(hub)


def test_a_boot_in_1970(new_hub, tmp_path):
    """Records wait for the clock, go as estimates, and are corrected by what was learnt later."""
    config = {"time": {"trust_clock": "auto", "clock_wait": "6s"}}
    hub, told = told_hub(new_hub, tmp_path, config, synchronised=False, set_us=-time.time_ns() // 1000 + 30_000_000)
    hub.start_straps("--straps", 2, "--ecg", 1)
    hub.start_daemon()
    until(lambda: (hub.waiting() or 0) >= 3, 15, "records wait for the clock")
    assert hub.receiver.state()["totals"].get("accepted", 0) == 0
    assert "the clock is not synchronised" in problems(hub)
    assert hub.status()["summary"]["clock_synchronised"] is False
    accepted(hub, 5)
    assert "records go out with estimated times" in hub.said()
    assert not notes(hub)  # nothing is known yet
    frozen = dict(hub.receiver.query("SELECT n || stream, t_us FROM records"))
    assert all(0 <= t_us < 600_000_000 for t_us in frozen.values())
    assert hub.receiver.query("SELECT DISTINCT clk FROM records") == [(contract.CLK["est"],)]
    told.set(set_us=0, synchronised=1)
    assert hub.receiver.wait(20, sql=f"SELECT count(*) >= 8 FROM records WHERE clk = {contract.CLK['utc']}")
    ((boot_id, boot_us, utc_us),) = clock_notes(hub, 1)
    assert abs(utc_us - boot_us - (time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1000) < NEAR_US
    assert boot_id == pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert hub.status()["summary"]["clock_synchronised"] is True
    assert "clock" not in problems(hub)
    settle(hub)
    assert hub.audit()["balanced"]
    now = dict(hub.receiver.query("SELECT n || stream, t_us FROM records"))
    assert all(now[key] == t_us for key, t_us in frozen.items())  # for ever
    true = {(stream, seq): true_us - t_us
            for stream, seq, t_us, true_us in hub.receiver.query("SELECT stream, seq, t_us, true_us FROM corrected")}
    corrected, right = [], []
    for device, kind in ((ZERO, "ecg"), (ZERO, "heart_rate"), (ONE, "heart_rate")):
        found = pairs(hub, device, kind)
        estimates = [one for one in found if one[4] == contract.CLK["est"]]
        assert estimates and len(estimates) < len(found)
        corrected += [t_us + true[stream, seq] - measured for measured, stream, seq, t_us, _ in estimates]
        right += [t_us - measured for measured, _, _, t_us, clk in found if clk == contract.CLK["utc"]]
    near(corrected)
    near(right)


def test_a_certificate_of_the_future(new_hub, tmp_path):
    """In 1970 no certificate is valid yet: that is the clock's fault, and ends with it, at once."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    hub, told = told_hub(new_hub, tmp_path, TRUST, synchronised=False, set_us=-time.time_ns() // 1000 + 30_000_000)
    hub.receiver.stop()
    hub.receiver = Receiver(hub.db, token="demo-token", cert=str(cert), key=str(key)).start()
    hub.configure({SINK: {"url": f"https://127.0.0.1:{hub.receiver.port}", "ca_file": cert}})
    hub.start_straps("--straps", 2, "--ecg", 0)
    hub.start_daemon()
    down = sink_state(hub, "down")
    assert "not valid at this time" in down["reason"], down
    until(lambda: (hub.waiting() or 0) >= 4, 15, "records wait")
    assert sink(hub)["state"] == "down"  # never held: there is nothing for the owner to do
    told.set(set_us=0, synchronised=1)
    accepted(hub, 4, timeout=10)
    assert sink_state(hub, "up")
    settle(hub)
    assert hub.audit()["balanced"]
    assert len(pairs(hub, ZERO, "heart_rate")) > 1


def test_synchronised_while_they_wait(new_hub, tmp_path):
    """Within clock_wait: no estimates at all, right times from the first record on."""
    config = {"time": {"trust_clock": "auto", "clock_wait": "10min"}}
    hub, told = told_hub(new_hub, tmp_path, config, synchronised=False, set_us=-HOUR * 24 * 365 * 20)
    hub.start_straps("--straps", 2, "--ecg", 1)
    hub.start_daemon()
    until(lambda: (hub.waiting() or 0) >= 6, 20, "records wait for the clock")
    hub.kill()  # and the next one of this boot answers for them
    hub.start_daemon()
    until(lambda: (hub.waiting() or 0) >= 10, 20, "more wait")
    told.set(set_us=0, synchronised=1)
    accepted(hub, 12)
    settle(hub)
    assert hub.receiver.query("SELECT DISTINCT clk FROM records") == [(contract.CLK["utc"],)]
    result = hub.balance()  # pairs by time, within 3 s
    assert result["total"]["lost"] == 0, result


def test_steps(new_hub, tmp_path):
    """Forward and back by an hour, while it is synchronised: new records have the new time, none is lost, none is
    written anew, the server and the owner are told."""
    hub, told = told_hub(new_hub, tmp_path)
    hub.start_straps("--straps", 2, "--ecg", 1)
    hub.start_daemon()
    steps = []
    for n, set_us in enumerate((0, HOUR, -HOUR)):
        steps.append((time.time_ns() // 1000, set_us))
        told.set(set_us=set_us)
        accepted(hub, 8)
        clock_notes(hub, n + 1)
        if n == 1:
            assert "the clock was set forward by 1 h 0 min" in problems(hub)
            assert "set forward by 1 h 0 min at" in hub.ctl("status")[1].replace("\n  ", " ")
            assert hub.status()["summary"]["clock_step_us"] == pytest.approx(HOUR, abs=NEAR_US)
            assert hub.status()["summary"]["state"] == "healthy"
    assert "the clock was set back by 2 h 0 min" in problems(hub)
    assert "The clock was set forward by 3600.0" in hub.said() and "The clock was set back by 7200.0" in hub.said()
    settle(hub)
    assert hub.audit()["balanced"]
    offsets = [utc_us - boot_us for _, boot_us, utc_us in notes(hub)]
    assert [round((offset - offsets[0]) / 1e6) for offset in offsets] == [0, 3600, -3600]
    for device, kind in ((ZERO, "ecg"), (ZERO, "heart_rate"), (ONE, "heart_rate")):
        errors = []
        for measured, _, _, t_us, clk in pairs(hub, device, kind):
            assert clk == contract.CLK["utc"]
            # By what was known when it was stored, which may be a little after it was measured.
            now = [set_us for at, set_us in steps if at <= measured + 100_000]
            before = [set_us for at, set_us in steps if at <= measured]
            errors.append(min(abs(t_us - measured - set_us) for set_us in (now or [0])[-1:] + (before or [0])[-1:]))
        near(errors)


def test_set_by_hand(new_hub, tmp_path):
    """While nothing disciplines the clock, what somebody sets it to is not believed."""
    hub, told = told_hub(new_hub, tmp_path)
    hub.start_straps("--straps", 1, "--ecg", 0)
    hub.start_daemon()
    accepted(hub, 2)
    clock_notes(hub, 1)
    told.set(set_us=5 * HOUR, synchronised=0)
    until(lambda: "the clock is not synchronised any more" in problems(hub), 15, "it is told")
    accepted(hub, 3)
    told.set(set_us=0, synchronised=1)
    until(lambda: "clock" not in problems(hub), 15, "it is right again")
    accepted(hub, 2)
    settle(hub)
    found = pairs(hub, ZERO, "heart_rate")
    assert all(clk == contract.CLK["utc"] for *_, clk in found)
    near([t_us - measured for measured, _, _, t_us, _ in found])
    assert len(notes(hub)) == 1 and "The clock was set" not in hub.said()


def test_sleep(new_hub, tmp_path):
    """Eight hours of suspend: CLOCK_BOOTTIME goes on, so does the time of records; it is noted."""
    hub, told = told_hub(new_hub, tmp_path)
    hub.start_straps("--straps", 2, "--ecg", 0)
    hub.start_daemon()
    accepted(hub, 4)
    clock_notes(hub, 1)
    slept = time.time_ns() // 1000
    told.set(slept_us=8 * HOUR + 1000)  # else it may be 7 h 59 min
    accepted(hub, 6)
    until(lambda: "The machine slept for 8 h" in hub.said(), 15, "it is told")
    found = clock_notes(hub, 2)
    assert abs((found[1][2] - found[1][1]) - (found[0][2] - found[0][1])) < NEAR_US  # the offset stays
    assert sink(hub)["state"] == "up"
    settle(hub)
    for device in (ZERO, ONE):
        near([min(abs(t_us - measured), abs(t_us - measured - 8 * HOUR) if measured > slept - 100_000 else 1 << 60)
              for measured, _, _, t_us, _ in pairs(hub, device, "heart_rate")])
        assert any(t_us - measured > 7 * HOUR for measured, _, _, t_us, _ in pairs(hub, device, "heart_rate"))


def test_the_daily_care(new_hub, tmp_path):
    """No timer fires: the daemon's own clock does it, half an hour after the start and once a day."""
    hub, told = told_hub(new_hub, tmp_path)
    hub.start_straps("--straps", 1, "--ecg", 0)
    hub.start_daemon()
    accepted(hub, 2)
    assert "Cleanup: " not in hub.said()
    for times, slept_us in enumerate((HOUR, 26 * HOUR), 1):
        told.set(slept_us=slept_us)
        until(lambda times=times: hub.said().count("Cleanup: ") == times, 15, "it looks after the store")
    settle(hub)
    assert hub.audit()["balanced"]


@pytest.mark.parametrize("code", (404, 405))
def test_a_server_without_clocks(new_hub, tmp_path, code):
    """It does without; nobody is told of an error."""
    hub, told = told_hub(new_hub, tmp_path)
    hub.receiver.misbehave("status", path="clocks", code=code)
    hub.start_straps("--straps", 1, "--ecg", 0)
    hub.start_daemon()
    asked = "SELECT count(*) FROM request WHERE path LIKE '%clocks%'"
    until(lambda: hub.receiver.query(asked)[0][0] == 1, 15, "it was asked")
    accepted(hub, 2)
    told.set(set_us=HOUR)
    accepted(hub, 3)
    assert hub.status()["summary"]["state"] == "healthy"
    settle(hub)
    assert hub.receiver.query(asked)[0][0] == 1
    assert not notes(hub)
    assert "error" not in hub.said().lower()


def test_clocks_are_never_in_the_way(new_hub, tmp_path):
    """A server that never answers POST /v1/clocks gets its data all the same, as quickly."""
    hub, told = told_hub(new_hub, tmp_path)
    hub.receiver.misbehave("stall", path="clocks")
    hub.start_straps("--straps", 2, "--ecg", 1)
    hub.start_daemon()
    accepted(hub, 15)
    assert sink(hub)["state"] == "up"
    hub.receiver.clear()
    settle(hub)
    result = hub.balance()
    assert result["total"]["lost"] == 0
    latest = hub.receiver.query("SELECT max(received_us - t_us) FROM records WHERE type = 'heart_rate'")[0][0]
    assert latest < 3_000_000


@pytest.mark.long
def test_accuracy(new_hub):
    """Quartzes fast and slow by 500 ppm, 0 to 50 ms of delay, stalls of a second, a reset to 2019 in the middle."""
    hub = new_hub()
    began = time.monotonic()
    hub.start_straps("--straps", 5, "--ecg", 5, "--drift-ppm", "0,500,-500,40,500", "--jitter", 0.05,
                     "--stall-every", 20, "--stall", 1)
    hub.start_daemon()
    accepted(hub, 20)
    hub.tell("clock_reset", 3)
    hub.tell("clock_jump", 4, 1800)
    until(lambda: time.monotonic() - began > 78, 90, "a minute of streaming, and some more", tick=0.5)
    settle(hub)
    errors = []
    for i in range(5):
        found = pairs(hub, f"c0:de:00:00:00:0{i + 1}", "ecg")
        first = found[0][0]
        errors += [abs(t_us - measured) for measured, _, _, t_us, _ in found if measured > first + 66_000_000]
    errors.sort()
    print(f"{len(errors)} frames: p50 {errors[len(errors) // 2]} us, p99 {errors[len(errors) * 99 // 100]} us, max {errors[-1]} us")
    assert len(errors) > 50
    assert errors[len(errors) * 99 // 100] < NEAR_US
