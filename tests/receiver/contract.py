"""Contract 1 as bytes: the body of POST /v1/batches -> entries of records, and the canonical bytes of
a record. Written from the contract alone and shared with nothing of the daemon, so that the two can
disagree.

Canonical bytes, little-endian: seq u64, t_us i64, clk u8 (utc 1, est 2), then the payload
    heart_rate  bpm u16, contact u8 (0 unsupported, 1 no contact, 2 contact), energy_kj i32 or -1,
                n u16, rr u16 * n (1/1024 s)
    ecg         dt_ns u32, n u32, i32 * n (microvolts)
    gap         reason u8, from_us i64, to_us i64, n u32
    samples     (every other kind) sensor_ns u64, dt_ns u32, status u32, unit u8, channels u8,
                exponent i8 * channels, n u32, i32 * n * channels; NONE where there is no value

A value is its integer times 10 to the exponent of its channel. `device_time` is sensor_ns, counted
from 2000-01-01 on whatever clock the sensor has.

What makes the identity of a record doubtful (seq, t_us, clk, the entry around it) refuses the whole
batch: 400. What is wrong inside one record rejects that record only.
"""

import base64
import binascii
import datetime
import decimal
import json
import re
import struct
import uuid
from dataclasses import dataclass, field

SCHEMA = "wearable-batch/1"
CLK = {"utc": 1, "est": 2}
CLK_NAME = {number: name for name, number in CLK.items()}
REASON = {
    "link_loss": 1,
    "disconnected": 2,
    "daemon_down": 3,
    "power_cut": 4,
    "missing_frames": 5,
    "clock_reset": 6,
    "store_full": 7,
    "adapter": 8,
    "bluetoothd": 9,
    "silent": 10,
    "backfilled": 11,
    "salvage": 12,
}
REASON_NAME = {number: name for name, number in REASON.items()}
UNIT = {"%": 1, "Cel": 2, "[degF]": 3, "mm[Hg]": 4, "kPa": 5, "m[g]": 6, "{count}": 7, "/min": 8}
UNIT_NAME = {number: name for name, number in UNIT.items()}
KIND_UNITS = {
    "oximetry": ("%",),
    "temperature": ("Cel", "[degF]"),
    "blood_pressure": ("mm[Hg]", "kPa"),
    "acceleration": ("m[g]",),
    "ppg": ("{count}",),
    "ppi": ("/min",),
    "ecg_counts": ("{count}",),
}
CHANNELS = {
    "oximetry": ("spo2", "pulse_rate", "pulse_amplitude_index"),
    "temperature": ("temperature",),
    "blood_pressure": ("systolic", "diastolic", "mean", "pulse_rate"),
    "acceleration": ("x", "y", "z"),
    "ppi": ("bpm", "interval_ms", "error_ms", "flags"),
    "ecg_counts": ("ecg",),
}
KINDS = ("heart_rate", "ecg", *KIND_UNITS)
MAX_CHANNELS = 17
MAX_VALUES = 1536
NONE = -(2**31)
EXACT = decimal.Context(prec=400, traps=[decimal.Inexact, decimal.InvalidOperation])
SENSOR_EPOCH = datetime.datetime(2000, 1, 1)
SEQ_N_BITS = 28
UUID_RE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME_RE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{9}))?")
DEVICE_RE = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")

HEAD = struct.Struct("<QqB")
HEART_RATE = struct.Struct("<HBiH")
ECG = struct.Struct("<II")
GAP = struct.Struct("<BqqI")
SAMPLES = struct.Struct("<QIIBB")


class BadBatch(ValueError):
    """The whole body is refused: 400."""


class BadRecord(ValueError):
    """One record is rejected: code, detail."""

    def __init__(self, code, detail):
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass
class Record:
    seq: int
    t_us: int
    clk: int
    boot_us: int | None = None  # of an estimate: the same moment on the clock of the batch's boot
    type: str = ""  # heart_rate, ecg, samples, gap; "" while bad
    payload: bytes = b""
    bad: BadRecord | None = None

    @property
    def canonical(self):
        return HEAD.pack(self.seq, self.t_us, self.clk) + self.payload


@dataclass
class Entry:
    stream: str
    run: str
    kind: str
    device: str
    subject: str
    after: int
    records: list = field(default_factory=list)

    @property
    def run_number(self):
        return self.records[0].seq >> SEQ_N_BITS


@dataclass
class Batch:
    id: str
    gateway: str
    boot_id: str
    entries: list
    unknown: list  # names of fields that the contract does not know: let pass, but counted


def is_int(value, low, high):
    return type(value) is int and low <= value <= high


def _need(condition, message):
    if not condition:
        raise BadBatch(message)


def _int(sample, name, low, high, default=None):
    value = sample.get(name, default)
    if type(value) is not int:
        raise BadRecord("malformed", f"{name} is not a whole number")
    if not low <= value <= high:
        raise BadRecord("value_out_of_range", f"{name} {value}")
    return value


def _heart_rate(sample):
    bpm = _int(sample, "bpm", 0, 0xFFFF)
    rr = sample.get("rr_1024")
    if type(rr) is not list or len(rr) > 256 or not all(is_int(x, 0, 0xFFFF) for x in rr):
        raise BadRecord("malformed", "rr_1024 is not a list of u16")
    if "contact" not in sample:
        contact = 0
    elif type(sample["contact"]) is bool:
        contact = 2 if sample["contact"] else 1
    else:
        raise BadRecord("malformed", "contact is neither true nor false nor left out")
    energy = _int(sample, "energy_kj", 0, 0xFFFF) if "energy_kj" in sample else -1
    return HEART_RATE.pack(bpm, contact, energy, len(rr)) + struct.pack(f"<{len(rr)}H", *rr)


def _data(sample, n):
    """n integers of 32 bits, as they came."""
    if sample.get("pack", "i32") != "i32":
        raise BadRecord("unknown_pack", str(sample["pack"])[:40])
    try:
        data = base64.b64decode(sample.get("data", ""), validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise BadRecord("malformed", "data is not base64") from None
    if len(data) != 4 * n:
        raise BadRecord("malformed", f"data holds {len(data)} bytes for {n} values")
    return data


def _ecg(sample):
    dt_ns = _int(sample, "dt_ns", 1, 0xFFFFFFFF)
    n = _int(sample, "n", 1, 1024)
    return ECG.pack(dt_ns, n) + _data(sample, n)


def channel_names(kind, n):
    known = CHANNELS.get(kind, ())
    return [known[i] if i < len(known) else f"channel_{i + 1}" for i in range(n)]


def _exponents(sample, n):
    if "exponent" not in sample:
        return [0] * n
    exponents = sample["exponent"]
    if type(exponents) is not list or len(exponents) != n or not all(is_int(x, -128, 127) for x in exponents):
        raise BadRecord("malformed", "exponent is not a list of i8, one a channel")
    if not any(exponents):
        raise BadRecord("malformed", "exponents that are all 0 are left out")
    return exponents


def _device_time(sample):
    if "device_time" not in sample:
        return 0
    text = sample["device_time"]
    parts = TIME_RE.fullmatch(text) if type(text) is str else None
    try:
        since = datetime.datetime.fromisoformat(parts.group(1)) - SENSOR_EPOCH
    except (AttributeError, ValueError):
        raise BadRecord("malformed", f"device_time {str(text)[:40]}") from None
    ns = (since.days * 86400 + since.seconds) * 10**9 + int(parts.group(2) or 0)
    if not 0 < ns < 2**64:
        raise BadRecord("value_out_of_range", f"device_time {text}")
    return ns


def _integer(name, value, exponent):
    """36.6 and -1 -> 366, exactly."""
    if value is None:
        return NONE
    if type(value) not in (int, decimal.Decimal):
        raise BadRecord("malformed", f"{name} is neither a number nor null")
    try:
        number = decimal.Decimal(value).scaleb(-exponent, EXACT)
    except ArithmeticError:
        raise BadRecord("value_out_of_range", f"{name} is no measurement") from None
    if not NONE < number < 2**31:
        raise BadRecord("value_out_of_range", f"{name} {value}")
    if number != number.to_integral_value():
        raise BadRecord("malformed", f"{name} {value} has digits below its exponent")
    return int(number)


def _samples(sample, kind):
    unit = sample.get("unit")
    if unit not in KIND_UNITS[kind]:
        raise BadRecord("malformed", f"unit {str(unit)[:40]} of {kind}")
    if "values" in sample:
        values = sample["values"]
        if type(values) is not dict or not 1 <= len(values) <= MAX_CHANNELS:
            raise BadRecord("malformed", "values is not an object of channels")
        names = channel_names(kind, len(values))
        if list(values) != names:
            raise BadRecord("malformed", f"channels {list(values)} of {kind}")
        dt_ns, n, channels = 0, 1, len(names)
        exponents = _exponents(sample, channels)
        numbers = [_integer(name, values[name], e) for name, e in zip(names, exponents)]
        data = struct.pack(f"<{channels}i", *numbers)
    else:
        dt_ns = _int(sample, "dt_ns", 0, 0xFFFFFFFF)
        channels = _int(sample, "channels", 1, MAX_CHANNELS)
        n = _int(sample, "n", 1, MAX_VALUES // channels)
        exponents = _exponents(sample, channels)
        data = _data(sample, n * channels)
    status = _int(sample, "status", 1, 0xFFFFFFFF) if "status" in sample else 0
    head = SAMPLES.pack(_device_time(sample), dt_ns, status, UNIT[unit], channels)
    return head + struct.pack(f"<{channels}bI", *exponents, n) + data


def _gap(sample):
    gap = sample["gap"]
    if type(gap) is not dict:
        raise BadRecord("malformed", "gap is not an object")
    reason = REASON.get(gap.get("reason"))
    if reason is None:
        raise BadRecord("malformed", f"gap reason {str(gap.get('reason'))[:40]}")
    first = _int(gap, "from_us", -(2**63), 2**63 - 1)
    last = _int(gap, "to_us", -(2**63), 2**63 - 1)
    if last < first:
        raise BadRecord("value_out_of_range", "gap ends before it begins")
    return GAP.pack(reason, first, last, _int(gap, "n", 0, 0xFFFFFFFF))


KNOWN_TOP = {"schema", "batch", "gateway", "boot_id", "streams"}
KNOWN_ENTRY = {"stream", "run", "kind", "device", "subject", "after", "samples", "unit"}
KNOWN_SAMPLE = {
    "heart_rate": {"seq", "t_us", "clk", "boot_us", "bpm", "rr_1024", "contact", "energy_kj"},
    "ecg": {"seq", "t_us", "clk", "boot_us", "dt_ns", "n", "data", "pack"},
    "samples": {"seq", "t_us", "clk", "boot_us", "unit", "values", "exponent", "status", "device_time", "dt_ns", "n",
                "channels", "data", "pack"},
    "gap": {"seq", "t_us", "clk", "boot_us", "gap"},
}
ENCODE = {"heart_rate": _heart_rate, "ecg": _ecg, "gap": _gap}


def _record(sample, kind, unknown):
    _need(type(sample) is dict, "a sample is not an object")
    seq, t_us, clk = sample.get("seq"), sample.get("t_us"), sample.get("clk")
    _need(is_int(seq, 1, 2**63 - 1) and seq & (2**SEQ_N_BITS - 1), f"seq {seq!r}")
    _need(is_int(t_us, -(2**63), 2**63 - 1), f"t_us {t_us!r}")
    _need(clk in CLK, f"clk {clk!r}")
    boot_us = sample.get("boot_us")
    _need(boot_us is None or is_int(boot_us, -(2**63), 2**63 - 1), f"boot_us {boot_us!r}")
    record = Record(seq, t_us, CLK[clk], boot_us)
    type_ = "gap" if "gap" in sample else "samples" if kind in KIND_UNITS else kind
    unknown.extend(sample.keys() - KNOWN_SAMPLE[type_])
    try:
        record.payload = _samples(sample, kind) if type_ == "samples" else ENCODE[type_](sample)
        record.type = type_
    except BadRecord as bad:
        record.bad = bad
    return record


def _entry(raw, unknown):
    _need(type(raw) is dict, "an entry is not an object")
    for name in ("stream", "run"):
        value = raw.get(name)
        _need(type(value) is str and UUID_RE.fullmatch(value), f"{name} {value!r} is not a UUID")
    _need(raw.get("kind") in KINDS, f"kind {raw.get('kind')!r}")
    device = raw.get("device")
    _need(type(device) is str and DEVICE_RE.fullmatch(device), f"device {device!r}")
    _need(type(raw.get("subject", "")) is str, "subject is not a string")
    _need(is_int(raw.get("after"), 0, 2**63 - 1), f"after {raw.get('after')!r}")
    if raw["kind"] == "ecg":
        _need(raw.get("unit") == "uV", f"unit {raw.get('unit')!r} of an ecg")
    samples = raw.get("samples")
    _need(type(samples) is list and samples, "an entry without samples")
    unknown.extend(raw.keys() - KNOWN_ENTRY)
    entry = Entry(raw["stream"], raw["run"], raw["kind"], device, raw.get("subject", ""), raw["after"])
    before = raw["after"]
    for sample in samples:
        record = _record(sample, entry.kind, unknown)
        _need(record.seq > before, f"seq {record.seq} does not follow {before}")
        before = record.seq
        entry.records.append(record)
    _need(entry.run_number == before >> SEQ_N_BITS, "an entry mixes runs")
    return entry


def parse(body):
    """The JSON of a request, uncompressed -> Batch, or BadBatch."""
    try:
        raw = json.loads(body, parse_float=decimal.Decimal)  # 36.6 is to stay 36.6
    except (ValueError, RecursionError) as why:
        raise BadBatch(f"not JSON: {why}") from None
    _need(type(raw) is dict and raw.get("schema") == SCHEMA, f"schema is not {SCHEMA}")
    for name in ("batch", "boot_id"):
        value = raw.get(name)
        _need(type(value) is str and UUID_RE.fullmatch(value), f"{name} {value!r} is not a UUID")
    _need(uuid.UUID(raw["batch"]).version == 5, "batch is not a UUIDv5")
    _need(type(raw.get("gateway")) is str and raw["gateway"], "no gateway")
    _need(type(raw.get("streams")) is list and raw["streams"], "no streams")
    unknown = list(raw.keys() - KNOWN_TOP)
    entries = [_entry(entry, unknown) for entry in raw["streams"]]
    _need(len({entry.stream for entry in entries}) == len(entries), "a stream stands there twice")
    return Batch(raw["batch"], raw["gateway"], raw["boot_id"], entries, unknown)


def unpack(type_, payload):
    """Payload bytes -> what they say, as the body named it."""
    if type_ == "heart_rate":
        bpm, contact, energy, n = HEART_RATE.unpack_from(payload)
        rr = list(struct.unpack_from(f"<{n}H", payload, HEART_RATE.size))
        return {"bpm": bpm, "contact": contact, "energy_kj": energy, "rr_1024": rr}
    if type_ == "ecg":
        dt_ns, n = ECG.unpack_from(payload)
        return {"dt_ns": dt_ns, "uv": list(struct.unpack_from(f"<{n}i", payload, ECG.size))}
    if type_ == "samples":
        sensor_ns, dt_ns, status, unit, channels = SAMPLES.unpack_from(payload)
        *exponents, n = struct.unpack_from(f"<{channels}bI", payload, SAMPLES.size)
        flat = struct.unpack_from(f"<{n * channels}i", payload, SAMPLES.size + channels + 4)
        rows = [flat[i : i + channels] for i in range(0, len(flat), channels)]
        return {"sensor_ns": sensor_ns, "dt_ns": dt_ns, "status": status, "unit": UNIT_NAME[unit],
                "exponents": exponents, "rows": rows}
    reason, first, last, n = GAP.unpack(payload)
    return {"reason": REASON_NAME[reason], "from_us": first, "to_us": last, "n": n}
