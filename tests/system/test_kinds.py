"""Every kind of record that Polar's sensors make, from bytes on a socket to a receiver that balances. The simulated
strap is told the bytes, since it has no sensors of that sort; the way from there on is that of any other."""

import struct

from hub import until
from scenario import judge, settle

import contract

STRAP = "c0:de:00:00:00:01"
PMD_DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
WANTED = "heart_rate ecg ecg_counts acceleration ppg ppi".split()
ECG, PPG, ACC, PPI = range(4)
N = 12  # frames of each kind


def frame(type_, i, period_ns, layout, data):
    """Frame number i of a sensor whose clock shows 5 s before the first."""
    return (bytes([type_]) + struct.pack("<QB", 5 * 10**9 + i * period_ns, layout) + data).hex()


def acceleration(i):
    return frame(ACC, i, 200_000_000, 1, b"".join(struct.pack("<3h", i, -i * 100, 1000 + k) for k in range(10)))


def ppg(i):
    rows = b"".join(v.to_bytes(3, "little", signed=True) for k in range(11) for v in (i, -i, 300000 + k, 77))
    return frame(PPG, i, 200_000_000, 0, rows)


def ppi(i):
    return frame(PPI, i, 2_000_000_000, 0, struct.pack("<BHHBBHHB", 74, 810 + i, 5, 6, 75, 800, 5, 6))


def counts(i):
    return frame(ECG, i, 100_000_000, 1, bytes.fromhex("010200") * 12 + bytes([i, 0, 0]))


def held(hub):
    return dict(hub.receiver.query("SELECT kind, count(*) FROM records WHERE type <> 'gap' GROUP BY kind"))


def start(hub):
    """Until its bytes would be heard."""
    hub.start_straps("--straps", 1, "--ecg", 1)
    hub.start_daemon()
    until(lambda: hub.status()["devices"][0]["frames"], 10, "it is heard")


def test_every_kind(new_hub):
    hub = new_hub({f'device "{STRAP}"': {"streams": "heart_rate ecg acceleration ppg ppi"}})
    start(hub)
    for i in range(N):
        for make in (acceleration, ppg, ppi, counts):
            hub.tell("malformed", 0, PMD_DATA, make(i))
    hub.tell("malformed", 0, PMD_DATA, acceleration(N - 1))  # twice
    hub.tell("malformed", 0, PMD_DATA, acceleration(N + 2))  # two are missing
    wanted = {"acceleration": N + 1, "ppg": N, "ppi": 2 * N, "ecg_counts": N}
    until(lambda: all(held(hub).get(kind) == n for kind, n in wanted.items()), 20, wanted)
    device = hub.status()["devices"][0]
    assert device["duplicates"] == 1 and device["undecodable"] == 0 and device["gaps"] == 1
    for text in ("acceleration 50 Hz", "ppg 55 Hz", "ppi 800 ms", "ecg counts 130 Hz"):
        assert text in device["readings"]
    settle(hub)
    result = judge(hub, kinds=WANTED)
    assert result["total"]["gaps"] == {"missing_frames": 1} and result["total"]["repeated"] == 1
    for kind, n in wanted.items():
        assert result["streams"][f"{STRAP} {kind}"]["matched"] == n
    rows = hub.receiver.query("SELECT payload FROM records WHERE kind = 'acceleration' AND type = 'samples' ORDER BY seq")
    seconds = [contract.unpack("samples", payload) for (payload,) in rows]
    assert seconds[0]["dt_ns"] == seconds[1]["dt_ns"] == 20_000_000
    assert seconds[1]["rows"][9] == (1, -100, 1009)
    ((reason, n),) = [
        (x["reason"], x["n"]) for (p,) in hub.receiver.query("SELECT payload FROM records WHERE type = 'gap'")
        for x in [contract.unpack("gap", p)]]
    assert (reason, n) == ("missing_frames", 2)


def test_what_waits_survives_a_kill(new_hub):
    """The server is down, the daemon is killed: what lies in the tail and in the log arrives, once."""
    hub = new_hub({f'device "{STRAP}"': {"streams": "acceleration ppi"}})
    hub.receiver.down()
    start(hub)
    for i in range(N):
        hub.tell("malformed", 0, PMD_DATA, acceleration(i))
        hub.tell("malformed", 0, PMD_DATA, ppi(i))
    until(lambda: sum(s["records"] for s in hub.status()["streams"]) == 3 * N, 10, "all is admitted")
    hub.kill()
    hub.start_daemon()
    hub.receiver.up()
    until(lambda: held(hub) == {"acceleration": N, "ppi": 2 * N}, 20, "all of it")
    settle(hub)
    judge(hub, kinds=["acceleration", "ppi"])


def test_not_wanted(new_hub):
    """Shown, and neither stored nor sent."""
    hub = new_hub({f'device "{STRAP}"': {"streams": "heart_rate"}})
    start(hub)
    hub.tell("malformed", 0, PMD_DATA, acceleration(0))
    until(lambda: "acceleration 50 Hz" in hub.status()["devices"][0]["readings"], 10, "it is shown")
    until(lambda: held(hub).get("heart_rate"), 10, "a beat")
    settle(hub)
    judge(hub, kinds=["heart_rate"])
    assert set(held(hub)) == {"heart_rate"}
