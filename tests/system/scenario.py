"""What the system tests have in common: quick settings, the final judgement, and ways to look."""

import collections
import hashlib
import os
import signal
import struct
import subprocess
import sys
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "receiver"))

import balance as b  # noqa: E402
import contract  # noqa: E402
from hub import until  # noqa: E402

LONG = bool(os.environ.get("VITALD_LONG"))
SINK = 'sink "demo"'

# The defaults are for a house; a test cannot wait that long. What they mean stays the same.
QUICK = {"sync": {
    "linger": "30ms", "immediate_retry_delays": "0 50ms 100ms", "backoff_min": "50ms", "backoff_max": "400ms",
}}

# Times in a gap record come from the straps' clock, arrivals from ours; at high speed a frame seems longer.
EDGE_US = 900_000

BREACHES = ("unknown_field", "same_batch_other_body", "bad_request")


def settle(hub, timeout=60):
    """The straps end, everything is sent, the daemon stops cleanly."""
    hub.stop_straps()
    assert hub.wait_empty(timeout), "something still waits"
    assert hub.stop() == 0


def judge(hub, *, two_contents=0, waiting=0, quarantined=0, **more):
    """The balance of a hub whose daemon has stopped: nothing lost, nothing altered, ledger balanced."""
    audit = hub.audit()
    assert audit and audit["balanced"], audit
    result = hub.balance(waiting=audit, quarantined=audit, **more)
    total = result["total"]
    words = b.table(result)
    assert total["lost"] == 0 and total["altered"] == 0, words
    assert total["duplicated"] == 0 and total["invented"] == 0, words
    assert total["two_contents"] == two_contents, words
    assert b.count_of(audit, "waiting") == waiting or (waiting is None and total["waiting"] > 0), audit
    assert b.count_of(audit, "quarantined") == quarantined, audit
    assert total["expected"] > 0, "nothing was sent: this test shows nothing"
    for breach in BREACHES:
        assert not hub.receiver.counters.get(breach), breach
    return result


def accepted(hub, more, timeout=20, **at_least):
    """Until the receiver took so many more records than it has now."""
    wanted = hub.receiver.state()["totals"]["accepted"] + more
    assert hub.receiver.wait(timeout, accepted=wanted, **at_least), (
        f"not {wanted} records: {hub.receiver.state()}")


def happened(hub, label, times, timeout=20):
    until(lambda: hub.receiver.counters.get(label, 0) >= times, timeout, f"{times} {label}", tick=0.005)


def sink(hub):
    """Of the status, the one sink there is."""
    report = hub.status()
    return report["sinks"][0] if report and report["sinks"] else {}


def sink_state(hub, *states, timeout=15):
    return until(lambda: (s := sink(hub)).get("state") in states and s, timeout, f"sink {' or '.join(states)}")


def problems(hub):
    return " | ".join(problem["what"] for problem in hub.status()["problems"])


def gaps(hub):
    """{(device, kind): [(reason, from_us, to_us, n)]} as the receiver holds them."""
    found = collections.defaultdict(list)
    db = b.open_db(hub.db)
    for device, kind, payload in db.execute("SELECT device, kind, payload FROM records WHERE type = 'gap'"):
        reason, first, last, n = contract.GAP.unpack(payload)
        found[device, kind].append((contract.REASON_NAME[reason], first, last, n))
    db.close()
    return found


def uncovered(hub, reasons, missing=()):
    """Notifications that nobody heard while a daemon was down, and that no gap record with one of `reasons`
    tells of. What a stream has after its last record is no gap yet: nothing has ended it. `missing`: numbers that
    were handed over, and lost with good reason."""
    sent, _ = b.read_truth(hub.truth)
    told = gaps(hub)
    got = b.read_receiver(hub.db)[0]
    first, last = {}, {}
    for one in sent:
        if one.heard and one.n not in missing:
            first.setdefault((one.device, one.kind), one.t_us)
    for key, records in got.items():
        last[key] = max(one.t_us for one in records)
    return [
        one for one in sent
        if (one.unread or one.handed == "no_listener" or one.n in missing)
        and first.get((one.device, one.kind), 1 << 62) < one.t_us < last.get((one.device, one.kind), 0) - EDGE_US
        and not any(reason in reasons and start - EDGE_US <= one.t_us <= end + EDGE_US
                    for reason, start, end, _ in told[one.device, one.kind])
    ]


def missing(result):
    """Numbers of the truth that should be at the receiver and are not."""
    return {n for one in result["streams"].values() for n in one["missing"]}


def files(hub):
    """What a process that moves nothing must leave as it is: the bytes of store, WAL and tail."""
    found = {}
    for path in (hub.state_dir / "store.db", hub.state_dir / "store.db-wal", hub.runtime_dir / "tail",
                 hub.runtime_dir / "events"):
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None
    return found


def freeze(hub):
    """SIGSTOP, and it has stopped."""
    pid = hub.daemon.pid
    os.kill(pid, signal.SIGSTOP)

    def stopped():
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == "T"

    until(stopped, 10, "the daemon is stopped", tick=0.001)


def thaw(hub):
    os.kill(hub.daemon.pid, signal.SIGCONT)


HEARTBEAT_AT = 96  # in the header of the tail: magic, size, incarnation, run, boot_id, start, end come first


def age_heartbeat(hub, seconds):
    """What the tail of a daemon that hangs for so long looks like."""
    with open(hub.runtime_dir / "tail", "r+b") as file:
        file.seek(HEARTBEAT_AT)
        (beat,) = struct.unpack("<Q", file.read(8))
        file.seek(HEARTBEAT_AT)
        file.write(struct.pack("<Q", beat - seconds * 1_000_000))


def start_drain(hub):
    """A `vitald drain` that can be looked at while it works."""
    return subprocess.Popen([hub.vitald, "drain", "--config", str(hub.config_file)], text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=hub.env)


def end_drain(hub, drain, timeout=20):
    """-> (exit status, what it said)."""
    try:
        said = drain.communicate(timeout=timeout)[0]
    except subprocess.TimeoutExpired:
        drain.kill()
        drain.communicate()
        raise
    hub.heard(said)
    return drain.returncode, said


def fill_while_down(hub, records, *options):
    """A daemon with so many records that wait, because the receiver is away; the straps are still there."""
    hub.start_straps(*(options or ("--straps", 3, "--ecg", 2, "--speed", 10)))
    hub.receiver.down()
    hub.start_daemon()
    until(lambda: (hub.waiting() or 0) >= records, 30, f"{records} records wait")


def die_while_down(hub, records):
    """The same, and then nobody is there."""
    fill_while_down(hub, records)
    hub.kill()
    hub.stop_straps()
