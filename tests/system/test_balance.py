"""balance.py against truths and receivers made by hand: it finds each thing that can go wrong, and
nothing when nothing did."""

import base64
import json
import pathlib
import struct
import subprocess
import sys
import uuid

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "receiver"))

import balance as b  # noqa: E402
import contract  # noqa: E402
from records import Came, Records  # noqa: E402

DEVICE = "a0:b1:c2:d3:e4:f5"
T0 = 1763798400000000
SECOND = 1000000


def beat_hex(bpm, rr=()):
    return (bytes([0x16, bpm]) + struct.pack(f"<{len(rr)}H", *rr)).hex()


def frame_hex(ts_ns, values):
    return (b"\0" + struct.pack("<Q", ts_ns) + b"\0"
            + b"".join(v.to_bytes(3, "little", signed=True) for v in values)).hex()


class World:
    """Writes a truth and a receiver's database, line by line."""

    def __init__(self, path):
        self.truth = path / "truth.jsonl"
        self.db = path / "r.db"
        self.records = Records(self.db)
        self.n = 0
        self.seq = {}
        self.file = open(self.truth, "w", encoding="utf-8")

    def line(self, **what):
        self.file.write(json.dumps(what) + "\n")
        self.file.flush()

    def send(self, t, hex_, char=b.HEART_RATE, handed="yes", what="ok"):
        self.n += 1
        self.line(n=self.n, t_boot_us=t, t_wall_us=T0 + t, device=DEVICE, char=char, hex=hex_,
                  handed=handed, what=what)
        return self.n

    def sample(self, t, bpm, rr):
        return {"t_us": T0 + t, "clk": "utc", "bpm": bpm, "rr_1024": list(rr), "contact": True}

    def hold(self, sample, kind="heart_rate", delay=100000, seq=None, reject=lambda e, r: None):
        last = self.seq.get(kind, 1 << 28)
        seq = seq or last + 1
        self.seq[kind] = max(last, seq)
        entry = {"stream": str(uuid.uuid5(uuid.NAMESPACE_OID, kind)), "run": str(uuid.UUID(int=7)),
                 "kind": kind, "device": DEVICE, "subject": "", "after": 0, "unit": "uV",
                 "samples": [{"seq": seq} | sample]}
        body = {"schema": contract.SCHEMA, "batch": str(uuid.uuid5(uuid.NAMESPACE_OID, str(seq))),
                "gateway": "g", "boot_id": str(uuid.UUID(int=1)), "streams": [entry]}
        batch = contract.parse(json.dumps(body))
        came = Came(self.records.next_request(), sample["t_us"] + delay, None)
        self.records.take(batch, came, reject)

    def beat(self, t, bpm, rr=(), held=True, **more):
        n = self.send(t, beat_hex(bpm, rr), **more)
        if held:
            self.hold(self.sample(t, bpm, rr))
        return n

    def frame(self, t, ts_ns, values, held=True, **more):
        n = self.send(t, frame_hex(ts_ns, values), char=b.PMD_DATA, **more)
        if held:
            self.hold(self.strip(t, values), kind="ecg", delay=560000 + 100000)
        return n

    def strip(self, t, values):
        data = base64.b64encode(struct.pack(f"<{len(values)}i", *values)).decode()
        return {"t_us": T0 + t - 560000, "clk": "utc", "dt_ns": 7692308, "n": len(values), "data": data}

    def balance(self, **more):
        return b.balance(self.truth, self.db, **more)


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    yield w
    w.records.close()
    w.file.close()


def test_decoders():
    assert b.decode_heart_rate(bytes.fromhex("103c1104")) == (60, 0, -1, 1041)
    assert b.decode_heart_rate(bytes.fromhex("1f0101050061046204ff")) == (257, 2, 5, 1121, 1122)
    assert b.decode_heart_rate(bytes.fromhex("0440")) == (64, 1, -1)
    assert b.decode_heart_rate(bytes.fromhex("1040")) == (64, 0, -1)
    for bad in ("", "00", "0140", "084000"):
        with pytest.raises(b.Malformed):
            b.decode_heart_rate(bytes.fromhex(bad))
    assert b.decode_pmd(bytes.fromhex(frame_hex(5, [-1, 8388607]))) == [("ecg", 5, (-1, 8388607))]
    assert b.decode_pmd(b"\x05" + bytes(20)) == []
    # reference 100, then 3 deltas of 4 bits: +1, -1, +7
    packed = b"\0" + bytes(8) + b"\x80" + bytes([100, 0, 0, 4, 3, 0xF1, 0x07])
    assert b.decode_pmd(packed) == [("ecg", 0, (100, 101, 100, 107))]
    for bad in (b"\0" * 9, b"\0" * 10, b"\0" * 12, packed[:-1], b"\2" * 10, b"\3" + bytes(14)):
        with pytest.raises(b.Malformed):
            b.decode_pmd(bad)
    assert b.characteristic("00002A37-0000-1000-8000-00805F9B34FB") == b.HEART_RATE


def test_decoders_of_other_kinds():
    head = struct.pack("<Q", 7)
    assert b.decode_pmd(b"\0" + head + b"\x01" + bytes.fromhex("ffff00")) == [
        ("ecg_counts", 7, ("{count}", 7, (), (0x3FFF,)))]
    assert b.decode_pmd(b"\0" + head + b"\x03" + bytes.fromhex("ffffff00000000")) == [
        ("ecg_counts", 7, ("{count}", 7, (), (-1,)))]
    assert b.decode_pmd(b"\2" + head + b"\x01" + struct.pack("<6h", 1, 2, 3, -4, -5, -6)) == [
        ("acceleration", 7, ("m[g]", 7, (), (1, 2, 3), (-4, -5, -6)))]
    assert b.decode_pmd(b"\1" + head + b"\0" + bytes.fromhex("010000 020000 030000 ffffff")) == [
        ("ppg", 7, ("{count}", 7, (), (1, 2, 3, -1)))]
    beats = b"\3" + struct.pack("<Q", 10**9) + b"\0" + struct.pack("<BHHBBHHB", 74, 810, 5, 6, 75, 800, 5, 6)
    assert b.decode_pmd(beats) == [
        ("ppi", 0, ("/min", 2 * 10**8, (), (74, 810, 5, 6))), ("ppi", 0, ("/min", 10**9, (), (75, 800, 5, 6)))]


def test_all_is_well(world):
    world.line(event="connect", device=DEVICE)
    for i in range(20):
        world.beat(i * SECOND, 60 + i % 3, (1000 + i,))
        world.frame(i * 561000, i * 561000000, [i, i + 1, -i])
        world.send(i * SECOND, "55", char="2a19")
    result = world.balance()
    total = result["total"]
    assert result["ok"] and total["matched"] == 40 and total["holes"] == 0 and result["ignored"] == 20
    assert not any(total[x] for x in ("lost", "altered", "duplicated", "invented", "order_violations"))
    assert result["latency"]["all"]["p50"] == pytest.approx(100)
    assert "lost" in b.table(result)


def test_equal_values_are_new_samples(world):
    for i in range(30):
        world.beat(i * SECOND, 60, held=i != 17)
    total = world.balance()["total"]
    assert (total["matched"], total["lost"]) == (29, 1)
    assert world.balance()["streams"][f"{DEVICE} heart_rate"]["missing"] == [18]


def test_what_was_not_heard_is_not_lost(world):
    world.beat(0, 60, handed="full", held=False)
    world.beat(SECOND, 60, handed="lost_in_air", held=False)
    n = world.beat(2 * SECOND, 60, held=False)
    world.line(unread=n)
    world.send(3 * SECOND, "00", what="malformed")
    world.frame(0, 7, [1, 2])
    world.frame(1000, 7, [1, 2], held=False, what="duplicate")
    result = world.balance()
    total = result["total"]
    assert result["ok"] and total["unread"] == 1 and total["undecodable"] == 1 and total["repeated"] == 1
    assert result["streams"][f"{DEVICE} heart_rate"]["not_handed"] == {"full": 1, "lost_in_air": 1}


def test_lost_waiting_and_quarantined(world):
    for i in range(5):
        world.beat(i * SECOND, 60 + i, held=i < 2)
    assert world.balance()["total"]["lost"] == 3
    total = world.balance(waiting=2)["total"]
    assert (total["waiting"], total["lost"]) == (2, 1)
    audit = {"sinks": [{"name": "demo", "streams": [{"waiting": 1, "quarantined": 0},
                                                    {"waiting": 1, "quarantined": 1}]}]}
    total = world.balance(waiting=audit, quarantined=audit)["total"]
    assert (total["waiting"], total["quarantined"], total["lost"]) == (2, 1, 0)
    lines = [{"sink": x, "device": DEVICE, "data_type": "heart_rate", "waiting": n} for x, n in (("a", 2), ("b", 3))]
    result = world.balance(waiting={"audit": {"balanced": True, "lines": 2}, "lines": lines})
    assert result["ok"] and result["total"]["waiting"] == 3
    assert result["streams"][f"{DEVICE} heart_rate"]["lost"] == 0
    world.hold(world.sample(2 * SECOND, 62, ()), reject=lambda e, r: ("no", "no"))
    total = world.balance()["total"]
    assert (total["quarantined"], total["lost"]) == (1, 2)


def test_in_the_hand_at_a_kill(world):
    for i in range(10):
        world.beat(i * SECOND, 60 + i, held=i not in (4, 5, 7), handed="no_listener" if i == 5 else "yes")
    total = world.balance(kills=[T0 + 4 * SECOND + 1000])["total"]
    assert (total["in_hand"], total["lost"]) == (1, 1)
    total = world.balance(kill_count=1)["total"]
    assert (total["in_hand"], total["lost"]) == (1, 1)
    assert world.balance(kills=[T0 + 2 * SECOND])["total"]["in_hand"] == 0


def test_altered(world):
    world.beat(0, 60, (1000,))
    world.beat(SECOND, 61, (1001,), held=False)
    world.hold(world.sample(SECOND, 61, (1002,)))
    world.frame(2 * SECOND, 9, [5, 6, 7], held=False)
    world.hold(world.strip(2 * SECOND, [5, 6, 8]), kind="ecg")
    result = world.balance()
    assert not result["ok"] and result["total"]["altered"] == 2 and result["total"]["lost"] == 0


def test_duplicated_and_invented(world):
    world.beat(0, 60, (1000,))
    world.hold(world.sample(0, 60, (1000,)))
    world.hold(world.sample(60 * SECOND, 99, ()))
    result = world.balance()
    total = result["total"]
    assert (total["duplicated"], total["invented"], total["lost"]) == (1, 1, 0)
    assert b.table(result).count("invented: ") == 1


def test_order_holes_and_two_contents(world):
    for i in range(4):
        world.send(i * SECOND, beat_hex(60 + i))
    for i, n in ((0, 1), (2, 2), (1, 3), (3, 5)):
        world.hold(world.sample(i * SECOND, 60 + i, ()), seq=(1 << 28) + n)
    world.hold(world.sample(9 * SECOND, 70, ()), seq=(1 << 28) + 1)
    total = world.balance()["total"]
    assert (total["order_violations"], total["holes"], total["two_contents"]) == (1, 1, 1)


def test_latency_outside_outages(world):
    for i in range(10):
        world.send(i * SECOND, beat_hex(60 + i))
        world.hold(world.sample(i * SECOND, 60 + i, ()), delay=5 * SECOND if i == 3 else 200000)
    result = world.balance(outages=[(T0 + 3 * SECOND - 1, T0 + 3 * SECOND + 1)])
    assert result["latency"]["up"]["max"] == pytest.approx(200)
    assert result["latency"]["all"]["max"] == pytest.approx(5000)


def test_a_large_group_is_aligned_greedily(world, monkeypatch):
    monkeypatch.setattr(b, "EXACT_MAX", 1)
    for i in range(30):
        world.beat(i * 10 * SECOND, 60, held=i != 17)
    assert world.balance()["total"]["lost"] == 1


def test_command_line(world):
    world.beat(0, 60)
    program = [sys.executable, str(HERE.parent / "receiver" / "balance.py"), str(world.truth), str(world.db)]
    assert subprocess.run(program, capture_output=True, check=True).stdout.startswith(b" ")
    world.beat(SECOND, 61, held=False)
    done = subprocess.run([*program, "--json", "--outage", "1:2"], capture_output=True)
    assert done.returncode == 1 and json.loads(done.stdout)["total"]["lost"] == 1


def test_the_last_line_is_not_a_notification(world):
    world.beat(1000000, 60)
    world.beat(2000000, 61)
    world.line(event="end", emitted=2, yes=2, unread=1)
    result = world.balance()
    assert result["total"]["unread"] == 0 and result["total"]["expected"] == 2
    assert result["total"]["invented"] == 0
