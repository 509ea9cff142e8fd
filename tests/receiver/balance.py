#!/usr/bin/python3
"""What the straps sent against what the receiver holds: the balance that nobody can argue with, because
it shares no code with the daemon. It decodes the bytes of the truth file itself.

Truth (`vitald simulate`), JSON Lines, one object a notification:
    {"n", "t_wall_us", "device", "char": "2a37" | "fb005c82-..." | "2a19", "hex", "handed": "yes" | ...}
and later {"unread": n}: lay unread in a socket when the daemon died; {"event": ...} is left alone.

Expected at the receiver is each notification that was handed over, is well-formed, was not left unread
and does not repeat the sensor's timestamp (a heart-rate value that repeats is a new sample). In
each (device, kind) these and the receiver's records are paired by content, the closest in time first
in order, never crossing within one content. What is left over:
    here and there, close in time      altered
    only in the truth                  quarantined, in the hand at a kill, waiting, else lost
    only at the receiver               duplicated (its twin was paired), kept radio duplicate, invented
"""

import argparse
import bisect
import collections
import json
import pathlib
import re
import sqlite3
import struct
import sys
from dataclasses import dataclass

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import contract  # noqa: E402

HEART_RATE = "2a37"
PMD_DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
OXIMETRY, TEMPERATURE, BLOOD_PRESSURE = "2a5f", "2a1c", "2a35"
# What carries records; of which kind, where it is malformed.
CARRIERS = {HEART_RATE: "heart_rate", PMD_DATA: "ecg", OXIMETRY: "oximetry", TEMPERATURE: "temperature",
            BLOOD_PRESSURE: "blood_pressure"}
NO_VALUE = -(2**31)
BASE_UUID = re.compile(r"0000([0-9a-f]{4})-0000-1000-8000-00805f9b34fb")
WANTED = "heart_rate ecg ecg_counts oximetry temperature blood_pressure".split()  # where nobody says
NEAR_US = 3_000_000  # between arrival and t_us: the mapping of a sensor's clock is loose
EXACT_MAX = 1_000_000  # cells of the exact alignment; above it the greedy one
IN_HAND_US = 2_000_000
INVENTED_SHOWN = 5  # of each stream


class Malformed(ValueError):
    pass


def decode_heart_rate(data):
    """Heart Rate Service 1.0, 3.1: -> (bpm, contact, energy_kj, rr...)."""
    if not data:
        raise Malformed("empty")
    flags, at = data[0], 1
    wide = flags & 1
    if len(data) < 2 + wide:
        raise Malformed("no heart rate")
    bpm = int.from_bytes(data[at : at + 1 + wide], "little")
    at += 1 + wide
    contact = 0 if not flags & 4 else 2 if flags & 2 else 1
    energy = -1
    if flags & 8:
        if len(data) < at + 2:
            raise Malformed("no energy")
        energy = int.from_bytes(data[at : at + 2], "little")
        at += 2
    rr = ()
    if flags & 16:
        n = (len(data) - at) // 2
        rr = struct.unpack_from(f"<{n}H", data, at)
    return (bpm, contact, energy, *rr)


def _unpack_deltas(data):
    """Delta-compressed ECG, one channel of 24 bits: a reference, then blocks of bits, count, deltas."""
    if len(data) < 3:
        raise Malformed("no reference sample")
    values, at = [int.from_bytes(data[:3], "little", signed=True)], 3
    while at < len(data):
        if len(data) < at + 2:
            raise Malformed("half a block")
        bits, count = data[at], data[at + 1]
        size = (bits * count + 7) // 8
        if bits > 32 or len(data) < at + 2 + size:
            raise Malformed("a block too short")
        packed = int.from_bytes(data[at + 2 : at + 2 + size], "little")
        for i in range(count):
            delta = packed >> (i * bits) & ((1 << bits) - 1)
            if bits and delta >> (bits - 1):
                delta -= 1 << bits
            values.append(values[-1] + delta)
        at += 2 + size
    return values


def _rows(data, channels, width):
    size = channels * width
    if not data or len(data) % size:
        raise Malformed("not a whole number of rows")
    flat = [int.from_bytes(data[i : i + width], "little", signed=True) for i in range(0, len(data), width)]
    return [tuple(flat[i : i + channels]) for i in range(0, len(flat), channels)]


def _counts(frame, data):
    """ECG of frame types 1 to 3: what the converter counted."""
    width = 7 if frame == 3 else 3
    if not data or len(data) % width:
        raise Malformed("not a whole number of samples")
    for i in range(0, len(data), width):
        value = int.from_bytes(data[i : i + 3], "little", signed=frame == 3)
        yield (value & {1: 0x3FFF, 2: 0x3FFFF, 3: -1}[frame],)


def _samples(unit, rows, sensor_ns, exponents=()):
    return (unit, sensor_ns, tuple(exponents) if any(exponents) else (), *rows)


def _ieee11073(data, at, size):
    """-> (mantissa, exponent) of 2 or 4 bytes; what is no number has neither."""
    word, bits = int.from_bytes(data[at : at + size], "little"), 12 if size == 2 else 24
    if len(data) < at + size:
        raise Malformed("no value")
    mantissa, exponent = word & ((1 << bits) - 1), word >> bits
    if exponent == 0 and 0 <= mantissa - ((1 << bits - 1) - 2) <= 4:
        return NO_VALUE, 0
    signed = lambda value, width: value - (1 << width) if value >> width - 1 else value  # noqa: E731
    return signed(mantissa, bits), signed(exponent, size * 8 - bits)


def decode_medical(uuid, data):
    """Pulse oximeter, thermometer, blood pressure -> [(kind, ts_ns, content)]; [] with a time of their own or with
    more than the usual values, which no simulator sends."""
    if not data:
        raise Malformed("empty")
    flags, one = data[0], data[0] & 1
    if uuid == OXIMETRY:
        kind, unit, size, n, strange = "oximetry", "%", 2, 2, 0x1F
    elif uuid == TEMPERATURE:
        kind, unit, size, n, strange = "temperature", ("Cel", "[degF]")[one], 4, 1, 0x02
    else:
        kind, unit, size, n, strange = "blood_pressure", ("mm[Hg]", "kPa")[one], 2, 3 + (flags >> 2 & 1), 0x12
    if flags & strange:
        return []
    values = [_ieee11073(data, 1 + i * size, size) for i in range(n)]
    return [(kind, 0, _samples(unit, [tuple(m for m, _ in values)], 0, [e for _, e in values]))]


def _beats(ts_ns, data):
    """PPI: each interval is a record; the frame's time is that of the last beat."""
    if not data or len(data) % 6:
        raise Malformed("not a whole number of beats")
    rows = list(struct.iter_unpack("<BHHB", data))
    for i, row in enumerate(rows):
        after = sum(r[1] for r in rows[i + 1 :]) * 10**6
        yield "ppi", 0, _samples("/min", [row], ts_ns - after if ts_ns > after else 0)


def decode_pmd(data):
    """Polar Measurement Data: -> [(kind, ts_ns, content)]; [] for what this program cannot read."""
    if len(data) < 10:
        raise Malformed("no header")
    ts_ns = int.from_bytes(data[1:9], "little")
    frame, rest = data[9], data[10:]
    match data[0] & 0x3F, frame:
        case 0, 0x80:
            return [("ecg", ts_ns, tuple(_unpack_deltas(rest)))]
        case 0, 0:
            return [("ecg", ts_ns, tuple(value for (value,) in _rows(rest, 1, 3)))]
        case 0, (1 | 2 | 3):
            return [("ecg_counts", ts_ns, _samples("{count}", _counts(frame, rest), ts_ns))]
        case 1, 0:
            return [("ppg", ts_ns, _samples("{count}", _rows(rest, 4, 3), ts_ns))]
        case 2, (0 | 1 | 2):
            return [("acceleration", ts_ns, _samples("m[g]", _rows(rest, 3, frame + 1), ts_ns))]
        case 3, 0:
            return list(_beats(ts_ns, rest))
    return []


@dataclass(eq=False)
class Sent:
    """A notification of the truth."""

    n: int
    t_us: int
    device: str
    kind: str
    handed: str
    what: str
    unread: bool = False
    content: tuple | None = None  # None: malformed
    ts_ns: int = 0
    repeats: bool = False
    pair: object = None

    @property
    def heard(self):
        return self.handed == "yes" and not self.unread

    @property
    def expected(self):
        return self.heard and self.content is not None and not self.repeats


@dataclass(eq=False)
class Got:
    """A record of the receiver."""

    stream: str
    seq: int
    t_us: int
    content: tuple
    received_us: int
    answered_us: int
    pair: object = None


def characteristic(uuid):
    uuid = uuid.lower()
    short = BASE_UUID.fullmatch(uuid)
    return short.group(1) if short else uuid


def _sent(line):
    """The records that this notification has to become, as [Sent]; one with no content if none."""
    uuid = characteristic(line["char"])
    if uuid not in CARRIERS:
        return []
    data = bytes.fromhex(line["hex"])
    try:
        if uuid == HEART_RATE:
            found = [("heart_rate", 0, decode_heart_rate(data))]
        else:
            found = decode_pmd(data) if uuid == PMD_DATA else decode_medical(uuid, data)
    except Malformed:
        found = [(CARRIERS[uuid], 0, None)]
    return [
        Sent(line["n"], line["t_wall_us"], line["device"].lower(), kind, line["handed"],
             line.get("what", "ok"), content=content, ts_ns=ts_ns)
        for kind, ts_ns, content in found
    ]


def read_truth(path, kinds=WANTED):
    """-> [Sent] in the order of n, of these kinds; a last line that is cut (the simulator was killed) is
    left out."""
    sent, unread, ignored = [], set(), 0
    with open(path, encoding="utf-8") as file:
        for text in file:
            if not text.endswith("\n"):
                break
            line = json.loads(text)
            if "event" in line:
                continue  # the last one has a member `unread` too: a total
            if "unread" in line:
                unread.add(line["unread"])
            elif "hex" in line:
                found = [one for one in _sent(line) if one.kind in kinds]
                sent += found
                ignored += not found
    last = {}
    for one in sent:
        one.unread = one.n in unread
        if one.ts_ns and one.heard and one.content is not None:
            one.repeats = last.get((one.device, one.kind)) == one.ts_ns
            last[one.device, one.kind] = one.ts_ns
    return sent, ignored


def _content(type_, payload):
    what = contract.unpack(type_, payload)
    if type_ == "heart_rate":
        return (what["bpm"], what["contact"], what["energy_kj"], *what["rr_1024"])
    if type_ == "samples":
        return _samples(what["unit"], what["rows"], what["sensor_ns"], what["exponents"])
    return tuple(what["uv"])


def open_db(path):
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)


def read_receiver(path):
    """-> {(device, kind): [Got]}, gaps, rejected, the number of conflicts, holes."""
    got = collections.defaultdict(list)
    gaps = collections.defaultdict(collections.Counter)
    rejected = collections.defaultdict(collections.Counter)
    db = open_db(path)
    for device, kind, stream, seq, t_us, type_, payload, received, answered in db.execute(
        "SELECT device, kind, stream, seq, t_us, type, payload, r.received_us, q.answered_us "
        "FROM records r LEFT JOIN request q ON q.number = r.request "
        "ORDER BY device, kind, seq, stream"
    ):
        if type_ == "gap":
            gaps[device, kind][contract.unpack("gap", payload)["reason"]] += 1
        else:
            got[device, kind].append(
                Got(stream, seq, t_us, _content(type_, payload), received, answered or received)
            )
    for device, kind, type_, payload in db.execute(
        "SELECT device, kind, type, payload FROM rejected r JOIN stream s ON s.number = r.stream"
    ):
        if type_ in ("heart_rate", "ecg", "samples"):
            rejected[device, kind][_content(type_, payload)] += 1
    conflicts = db.execute("SELECT count(*) FROM conflict").fetchone()[0]
    (holes,) = db.execute(
        "WITH held AS (SELECT stream, seq FROM record UNION SELECT stream, seq FROM rejected) "
        "SELECT coalesce(sum(last - n), 0) FROM (SELECT max(seq & 268435455) AS last, count(*) AS n "
        "FROM held GROUP BY stream, seq >> 28)"
    ).fetchone()
    db.close()
    return got, gaps, rejected, conflicts, holes


def _greedy(sent, got, near_us):
    i = j = 0
    while i < len(sent) and j < len(got):
        apart = got[j].t_us - sent[i].t_us
        if abs(apart) <= near_us:
            yield sent[i], got[j]
            i, j = i + 1, j + 1
        elif apart < 0:
            j += 1
        else:
            i += 1


def _exact(sent, got, near_us):
    """The most pairs, then the least distance in time, none crossing another."""
    width = len(got) + 1
    best = [(0, 0)] * width
    choice = []
    for one in sent:
        row, picks = [(0, 0)], [0]
        for j in range(1, width):
            apart = abs(got[j - 1].t_us - one.t_us)
            options = [best[j], row[j - 1]]
            if apart <= near_us:
                pairs, cost = best[j - 1]
                options.append((pairs - 1, cost + apart))
            pick = min(range(len(options)), key=options.__getitem__)
            row.append(options[pick])
            picks.append(pick)
        best = row
        choice.append(picks)
    i, j = len(sent), len(got)
    while i and j:
        pick = choice[i - 1][j]
        if pick == 2:
            i, j = i - 1, j - 1
            yield sent[i], got[j]
        elif pick == 1:
            j -= 1
        else:
            i -= 1


def pair(sent, got, near_us=NEAR_US, content=lambda one: one.content):
    """Pairs what has the same content, by time; sets .pair on both sides."""
    groups = collections.defaultdict(lambda: ([], []))
    for one in sent:
        groups[content(one)][0].append(one)
    for one in got:
        groups[content(one)][1].append(one)
    for here, there in groups.values():
        here.sort(key=lambda one: one.t_us)
        there.sort(key=lambda one: one.t_us)
        how = _exact if len(here) * len(there) <= EXACT_MAX else _greedy
        for a, b in how(here, there, near_us):
            a.pair, b.pair = b, a


def _in_hand(sent, kills, count):
    """Which of the unpaired were in the hand at a kill: one a kill, the last handed over before it."""
    handed = [one for one in sent if one.heard and one.content is not None]
    found = []
    for kill in kills:
        at = bisect.bisect_right([one.t_us for one in handed], kill) - 1
        if at >= 0 and handed[at].expected and not handed[at].pair:
            if kill - handed[at].t_us <= IN_HAND_US and handed[at] not in found:
                found.append(handed[at])
    if count:
        after = {a.n: b for a, b in zip(sent, sent[1:])}
        for one in sent:
            followed = after.get(one.n)
            dark = followed is None or not followed.heard
            if one.expected and not one.pair and dark and len(found) < count:
                found.append(one)
    return found


def _balance_one(sent, got, rejected, kills, kill_count, near_us):
    """One (device, kind) -> its line of the table."""
    expected = [one for one in sent if one.expected]
    pair(expected, got, near_us)
    left = [one for one in expected if not one.pair]
    over = [one for one in got if not one.pair]

    refused, rest = [], []
    rejected = collections.Counter(rejected)
    for one in left:
        (refused if rejected[one.content] > 0 else rest).append(one)
        rejected[one.content] -= 1
    twins = {}
    for one in sent:
        if one.heard and one.content is not None:
            twins.setdefault(one.content, []).append(one)
    doubled, kept, strange = [], [], []
    for one in over:
        near = [t for t in twins.get(one.content, ()) if abs(t.t_us - one.t_us) <= near_us]
        if any(t.repeats for t in near):
            kept.append(one)
        else:
            (doubled if near else strange).append(one)
    # what is left on both sides and close in time is one thing with two contents
    altered = list(_greedy(rest, sorted(strange, key=lambda one: one.t_us), near_us // 3))
    changed, became = {a for a, _ in altered}, {b for _, b in altered}
    invented = [one for one in strange if one not in became]
    lost = [one for one in rest if one not in changed]
    in_hand = set(_in_hand(sent, kills, kill_count)) & set(lost)
    order = [one.pair.n for one in got if one.pair]
    return {
        "emitted": len(sent),
        "handed": sum(one.handed == "yes" for one in sent),
        "not_handed": dict(collections.Counter(o.handed for o in sent if o.handed != "yes")),
        "unread": sum(one.unread for one in sent),
        "undecodable": sum(one.heard and one.content is None for one in sent),
        "repeated": sum(one.repeats for one in sent),
        "expected": len(expected),
        "received": len(got),
        "matched": sum(one.pair is not None for one in got),
        "quarantined": len(refused),
        "missing": [one.n for one in lost if one not in in_hand],
        "in_hand": len(in_hand),
        "altered": len(altered),
        "altered_n": [a.n for a, _ in altered],
        "duplicated": len(doubled),
        "repeats_kept": len(kept),
        "invented": len(invented),
        "invented_at": [(one.stream, one.seq, one.t_us) for one in invented],
        "order_violations": sum(b < a for a, b in zip(order, order[1:])),
    }


def latency(values):
    """us -> ms: mean and quantiles."""
    values = sorted(values)
    if not values:
        return {"n": 0, "mean": None, "p50": None, "p95": None, "p99": None, "max": None}
    at = lambda q: values[min(len(values) - 1, int(q * len(values)))] / 1000  # noqa: E731
    return {"n": len(values), "mean": sum(values) / len(values) / 1000, "p50": at(0.5),
            "p95": at(0.95), "p99": at(0.99), "max": values[-1] / 1000}


def count_of(report, name):
    """`name` ("waiting", "quarantined") out of a number, or of whatever JSON vitalctl gave: a total if
    it has one at the top, else the largest sum over one sink (every sink holds the same records)."""
    if report is None:
        return 0
    if isinstance(report, (int, float)):
        return int(report)
    if isinstance(report, dict) and isinstance(report.get(name), (int, float)):
        return int(report[name])
    if isinstance(report, dict):
        for key in ("total", "totals", "ledger"):
            inner = report.get(key)
            if isinstance(inner, dict) and isinstance(inner.get(name), (int, float)):
                return int(inner[name])
    by_sink = collections.Counter()

    def walk(value, sink):
        if isinstance(value, dict):
            own = value.get("sink", value.get("name"))
            sink = own if isinstance(own, str) else sink
            if isinstance(value.get(name), (int, float)):
                by_sink[sink] += int(value[name])
                return
            for key, inner in value.items():
                walk(inner, key if sink is None and isinstance(inner, dict) else sink)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, sink)

    walk(report, None)
    return max(by_sink.values(), default=0)


def waiting_by_stream(report):
    """{"device kind": n} out of the lines of `vitalctl audit --json`, the sink that lacks most; {} if
    there are none."""
    found = collections.Counter()
    for line in report.get("lines", []) if isinstance(report, dict) else []:
        if isinstance(line, dict) and isinstance(line.get("waiting"), int):
            key = f"{line.get('device')} {line.get('data_type')}"
            found[key] = max(found[key], line["waiting"])
    return found


COLUMNS = ("emitted handed unread undecodable repeated expected received matched quarantined in_hand "
           "altered duplicated repeats_kept invented order_violations").split()


def balance(truth_path, db_path, *, waiting=None, quarantined=None, kills=(), kill_count=0, outages=(),
            disturbed=(), near_us=NEAR_US, kinds=WANTED):
    """The whole balance as a dict. `waiting`, `quarantined`: numbers or vitalctl's JSON; they are taken
    off what would be called lost. `kills`: wall times in us of SIGKILLs, or `kill_count` if only their
    number is known. `outages`: [(from_us, to_us)] when the receiver was away; `disturbed`: the same of
    everything else that was done to it or to the daemon. `near_us`: more where the daemon stood still,
    since a heart rate gets its time when it is read. `kinds`: those that the config wants."""
    sent, ignored = read_truth(truth_path, kinds)
    got, gaps, rejected, conflicts, holes = read_receiver(db_path)
    by_key = collections.defaultdict(list)
    for one in sent:
        by_key[one.device, one.kind].append(one)
    streams = {}
    for key in sorted(by_key.keys() | got.keys()):
        one = _balance_one(by_key[key], got[key], rejected[key], kills, kill_count, near_us)
        streams[" ".join(key)] = one | {"gaps": dict(gaps[key])}
    total = {name: sum(one[name] for one in streams.values()) for name in COLUMNS}
    missing = sum(len(one["missing"]) for one in streams.values())
    by_stream = waiting_by_stream(waiting)
    for name, one in streams.items():
        one["waiting"] = min(by_stream[name], len(one["missing"])) if by_stream else None
        one["lost"] = len(one["missing"]) - (one["waiting"] or 0)
    total["waiting"] = sum(one["waiting"] or 0 for one in streams.values())
    if not by_stream:
        total["waiting"] = min(count_of(waiting, "waiting"), missing)
    missing -= total["waiting"]
    extra = max(0, count_of(quarantined, "quarantined") - total["quarantined"])
    total["quarantined"] += min(extra, missing)
    total["lost"] = missing - min(extra, missing)
    total["two_contents"] = conflicts
    total["holes"] = holes
    total["gaps"] = dict(sum((collections.Counter(c) for c in gaps.values()), collections.Counter()))
    delays = [(one.t_us, one.pair.answered_us - one.t_us) for one in sent if one.pair]
    outside = lambda t, windows: not any(a <= t <= b for a, b in windows)  # noqa: E731
    up = [(t, d) for t, d in delays if outside(t, outages)]
    calm = [d for t, d in up if outside(t, disturbed)]
    return {
        "ok": not total["lost"] and not total["altered"],
        "total": total,
        "streams": streams,
        "ignored": ignored,
        "latency": {"all": latency([d for _, d in delays]), "up": latency([d for _, d in up]),
                    "calm": latency(calm)},
        "delays_calm_us": calm,
    }


def table(result):
    """For people."""
    total = result["total"]
    head = "emitted handed expected received waiting quarantined in_hand lost duplicated altered".split()
    rows = [["", *(name.replace("_", " ") for name in head)]]
    for name, one in result["streams"].items():
        rows.append([name, *("" if one.get(column) is None else str(one[column]) for column in head)])
    rows.append(["all", *(str(total.get(column, "")) for column in head)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                       for i, (cell, w) in enumerate(zip(row, widths))) for row in rows]
    beside = [f"{name.replace('_', ' ')} {total[name]}" for name in
              "unread undecodable repeated repeats_kept invented order_violations two_contents holes".split()]
    lines.append("  ".join(beside))
    for name, one in result["streams"].items():
        lines += [f"invented: {name} {seq >> 28}:{seq & 0xFFFFFFF} of {stream}, at {t_us}"
                  for stream, seq, t_us in one["invented_at"][:INVENTED_SHOWN]]
    if total["gaps"]:
        lines.append("gap records: " + ", ".join(f"{n} {k}" for k, n in sorted(total["gaps"].items())))
    shown = 0
    for name, words in (("calm", "undisturbed"), ("up", "receiver up"), ("all", "all")):
        one = result["latency"][name]
        if one["n"] > shown:
            shown = one["n"]
            lines.append(f"latency, {words}: mean {one['mean']:.0f} ms, p50 {one['p50']:.0f}, "
                         f"p95 {one['p95']:.0f}, p99 {one['p99']:.0f} (n {one['n']})")
    return "\n".join(lines)


def _number_or_json(text):
    if text is None or text.isdecimal():
        return text and int(text)
    with open(text, encoding="utf-8") as file:
        return json.load(file)


def main():
    parser = argparse.ArgumentParser(description="compare a truth file with a receiver's database")
    parser.add_argument("truth")
    parser.add_argument("db")
    parser.add_argument("--waiting", help="a number, or a file with `vitalctl audit --json`")
    parser.add_argument("--quarantined", help="a number, or a file with `vitalctl audit --json`")
    parser.add_argument("--kill", type=int, action="append", default=[], help="wall time of a SIGKILL, us")
    parser.add_argument("--kills", type=int, default=0, help="how many, if the times are not known")
    parser.add_argument("--outage", action="append", default=[], help="FROM_US:TO_US")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = balance(
        options.truth, options.db, waiting=_number_or_json(options.waiting),
        quarantined=_number_or_json(options.quarantined), kills=options.kill, kill_count=options.kills,
        outages=[tuple(map(int, text.split(":"))) for text in options.outage],
    )
    if options.json:
        del result["delays_calm_us"]
        print(json.dumps(result, indent=1))
    else:
        print(table(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
