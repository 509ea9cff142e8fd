"""The reference receiver against contract 1, by hand: each answer it gives, each way it misbehaves, and
that what it answered for survives kill -9. No daemon here."""

import base64
import gzip
import hashlib
import http.client
import json
import os
import pathlib
import signal
import socket
import sqlite3
import ssl
import struct
import subprocess
import sys
import threading
import uuid

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "receiver"))

import contract  # noqa: E402
from receiver import Receiver, Remote  # noqa: E402

STREAM = "5d3c1f9e-0000-5000-8000-000000000001"
OTHER = "0b7e0000-0000-5000-8000-000000000002"
RUN = "c2f10000-0000-4000-8000-000000000003"
RUN2 = "c2f10000-0000-4000-8000-000000000004"
BOOT = "b0070000-0000-4000-8000-000000000005"
T0 = 1763798400000000


def seq(n, run=2):
    return run << 28 | n


def beat(n, bpm=71, run=2, **more):
    return {
        "seq": seq(n, run), "t_us": T0 + n * 1000000, "clk": "utc", "bpm": bpm, "rr_1024": [865],
        "contact": True,
    } | more


def strip(n, values):
    data = base64.b64encode(struct.pack(f"<{len(values)}i", *values)).decode()
    return {
        "seq": seq(n), "t_us": T0 + n * 561000, "clk": "est", "dt_ns": 7689500, "n": len(values),
        "data": data,
    }


def entry(samples, stream=STREAM, after=0, run=RUN, kind="heart_rate", **more):
    return {
        "stream": stream, "run": run, "kind": kind, "device": "a0:b1:c2:d3:e4:f5", "subject": "u-1",
        "after": after, "samples": samples,
    } | ({"unit": "uV"} if kind == "ecg" else {}) | more


def body(*entries, **more):
    text = json.dumps(entries)
    return {
        "schema": "wearable-batch/1", "batch": str(uuid.uuid5(uuid.NAMESPACE_OID, text)),
        "gateway": "gw-1", "boot_id": BOOT, "streams": list(entries),
    } | more


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def entry(self):
        return self.json["streams"][0]


def connect(receiver, timeout=5):
    return http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=timeout)


def post(receiver, value, zipped=True, headers=None, path="/v1/batches", connection=None):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    all_headers = {"Content-Type": "application/json", "X-Sent-At-Us": "1763798461000000",
                   "X-Clock": "synced; error_us=1200"}
    if zipped:
        data = gzip.compress(data, mtime=0)
        all_headers["Content-Encoding"] = "gzip"
    if isinstance(value, dict) and "batch" in value:
        all_headers["Idempotency-Key"] = f'"{value["batch"]}"'
    c = connection or connect(receiver)
    try:
        c.request("POST", path, data, all_headers | (headers or {}))
        return Answer(c.getresponse())
    finally:
        if not connection:
            c.close()


def get(receiver, path, **headers):
    c = connect(receiver)
    try:
        c.request("GET", path, headers=headers)
        return Answer(c.getresponse())
    finally:
        c.close()


@pytest.fixture
def receiver(tmp_path):
    with Receiver(tmp_path / "r.db", control=True) as r:
        yield r


def test_receipt_and_what_is_held(receiver):
    a = post(receiver, body(entry([beat(1), beat(2, contact=False), beat(3, energy_kj=9)])))
    assert a.status == 200 and a.headers["X-Ingest-Contract"] == "1"
    assert a.entry == {"stream": STREAM, "acked_through": seq(3), "accepted": 3, "duplicate": 0,
                       "rejected": []}
    rows = receiver.query("SELECT seq, t_us, clk, type, payload, sent_at_us FROM records")
    assert [r[0] for r in rows] == [seq(1), seq(2), seq(3)]
    assert contract.unpack("heart_rate", rows[1][4]) == {
        "bpm": 71, "contact": 1, "energy_kj": -1, "rr_1024": [865]}
    assert contract.unpack("heart_rate", rows[2][4])["energy_kj"] == 9
    assert rows[0][1:4] == (T0 + 1000000, 1, "heart_rate") and rows[0][5] == 1763798461000000
    assert receiver.wait(5, requests=1)
    log = receiver.query("SELECT status, records, accepted, clock, encoding FROM request")
    assert log == [(200, 3, 3, "synced; error_us=1200", "gzip")]


def test_plain_chunked_and_keep_alive(receiver):
    c = connect(receiver)
    assert post(receiver, body(entry([beat(1)])), zipped=False, connection=c).entry["accepted"] == 1
    value = body(entry([beat(2)], after=seq(1)))
    c.request("POST", "/v1/batches", iter([json.dumps(value).encode()]),
              {"Content-Type": "application/json"}, encode_chunked=True)
    assert Answer(c.getresponse()).entry["accepted"] == 1
    c.close()


def test_expect_100_continue(receiver):
    data = json.dumps(body(entry([beat(1)]))).encode()
    with socket.create_connection(("127.0.0.1", receiver.port), 5) as s:
        s.sendall(b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                  b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data))
        assert s.recv(1000).startswith(b"HTTP/1.1 100 ")
        s.sendall(data)
        assert s.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_ecg_and_gap(receiver):
    gap = {"seq": seq(2), "t_us": T0, "clk": "utc",
           "gap": {"reason": "link_loss", "from_us": T0, "to_us": T0, "n": 8}}
    assert post(receiver, body(entry([strip(1, [-5, 0, 2000000]), gap], kind="ecg"))).entry["accepted"] == 2
    rows = receiver.query("SELECT type, clk, payload FROM records")
    assert contract.unpack(rows[0][0], rows[0][2]) == {"dt_ns": 7689500, "uv": [-5, 0, 2000000]}
    assert rows[0][1] == 2
    assert contract.unpack(*rows[1][::2]) == {"reason": "link_loss", "from_us": T0, "to_us": T0, "n": 8}


def spot(n, values, unit="%", **more):
    return {"seq": seq(n), "t_us": T0, "clk": "utc", "unit": unit, "values": values} | more


def rows(n, channels, *values, **more):
    data = base64.b64encode(struct.pack(f"<{len(values)}i", *values)).decode()
    return {"seq": seq(n), "t_us": T0, "clk": "utc", "unit": "m[g]", "dt_ns": 20000000,
            "n": len(values) // channels, "channels": channels, "data": data} | more


def test_samples(receiver):
    """Single values and rows, of every kind, come back as the integers that they were."""
    sent = [
        entry([spot(1, {"spo2": 97, "pulse_rate": None}, status=64)], str(uuid.uuid5(uuid.NAMESPACE_OID, "1")),
              kind="oximetry"),
        entry([spot(1, {"temperature": 37.0}, "Cel", exponent=[-1], device_time="2000-01-01T00:00:01.000000002")],
              str(uuid.uuid5(uuid.NAMESPACE_OID, "2")), kind="temperature"),
        entry([spot(1, {"systolic": 120, "diastolic": 80, "mean": 93, "pulse_rate": 6000}, "mm[Hg]",
                    exponent=[0, 0, 0, 2])], str(uuid.uuid5(uuid.NAMESPACE_OID, "3")), kind="blood_pressure"),
        entry([rows(1, 3, 1, 2, 3, -4, -5, -6), rows(2, 3, 7, 8, contract.NONE, exponent=[0, 0, -2])],
              str(uuid.uuid5(uuid.NAMESPACE_OID, "4")), kind="acceleration"),
        entry([spot(1, {"bpm": 75, "interval_ms": 800, "error_ms": 5, "flags": 6}, "/min")],
              str(uuid.uuid5(uuid.NAMESPACE_OID, "5")), kind="ppi"),
        entry([rows(1, 17, *range(17), unit="{count}")], str(uuid.uuid5(uuid.NAMESPACE_OID, "6")), kind="ppg"),
    ]
    answer = post(receiver, body(*sent))
    assert [e["accepted"] for e in answer.json["streams"]] == [1, 1, 1, 2, 1, 1], answer.json
    got = [contract.unpack(*row) for row in receiver.query("SELECT type, payload FROM records ORDER BY kind, seq")]
    assert [x["rows"] for x in got] == [
        [(1, 2, 3), (-4, -5, -6)], [(7, 8, contract.NONE)], [(120, 80, 93, 60)], [(97, contract.NONE)],
        [tuple(range(17))], [(75, 800, 5, 6)], [(370,)]]
    assert [x["exponents"] for x in got if any(x["exponents"])] == [[0, 0, -2], [0, 0, 0, 2], [-1]]
    assert got[3]["status"] == 64 and got[6]["sensor_ns"] == 1000000002 and got[6]["unit"] == "Cel"
    assert not receiver.counters.get("unknown_field")
    again = post(receiver, body(*sent))
    assert sum(e["duplicate"] for e in again.json["streams"]) == 7


@pytest.mark.parametrize("kind, bad, code", [
    ("oximetry", {"unit": "kPa"}, "malformed"),
    ("oximetry", {"unit": None}, "malformed"),
    ("oximetry", {"values": {}}, "malformed"),
    ("oximetry", {"values": {"pulse_rate": 61}}, "malformed"),
    ("oximetry", {"values": {"spo2": "97"}}, "malformed"),
    ("oximetry", {"values": {"spo2": True}}, "malformed"),
    ("oximetry", {"values": {"spo2": 97.5}}, "malformed"),
    ("oximetry", {"values": {"spo2": 2**31}}, "value_out_of_range"),
    ("oximetry", {"values": {"spo2": -(2**31)}}, "value_out_of_range"),
    ("oximetry", {"values": {"spo2": 97}, "exponent": [0]}, "malformed"),
    ("oximetry", {"values": {"spo2": 97}, "exponent": [-1, 0]}, "malformed"),
    ("oximetry", {"status": 0}, "value_out_of_range"),
    ("oximetry", {"device_time": "1999-12-31T23:59:59"}, "value_out_of_range"),
    ("oximetry", {"device_time": "2025-02-30T00:00:00"}, "malformed"),
    ("oximetry", {"device_time": 5}, "malformed"),
    ("acceleration", {"channels": 0}, "value_out_of_range"),
    ("acceleration", {"channels": 18}, "value_out_of_range"),
    ("acceleration", {"channels": 2}, "malformed"),
    ("acceleration", {"n": 0}, "value_out_of_range"),
    ("acceleration", {"n": 513}, "value_out_of_range"),
    ("acceleration", {"data": "AQID"}, "malformed"),
])
def test_samples_that_are_refused(receiver, kind, bad, code):
    good = spot(1, {"spo2": 97}) if kind == "oximetry" else rows(1, 3, 1, 2, 3)
    a = post(receiver, body(entry([good | bad, good | {"seq": seq(2)}], kind=kind))).entry
    assert [(x["seq"], x["code"]) for x in a["rejected"]] == [(seq(1), code)]
    assert a["accepted"] == 1


def test_a_number_that_is_no_measurement(receiver):
    """Text that json.dumps would never write."""
    text = json.dumps(body(entry([spot(1, {"spo2": 12345})], kind="oximetry")))
    for number in ("1e999999999", "1e-999999999", "NaN", "Infinity"):
        a = post(receiver, text.replace("12345", number).encode()).entry
        assert len(a["rejected"]) == 1 and a["accepted"] == 0, number


def test_every_reason_of_a_gap(receiver):
    for n, reason in enumerate(contract.REASON, 1):
        gap = {"seq": seq(n), "t_us": T0, "clk": "utc",
               "gap": {"reason": reason, "from_us": T0, "to_us": T0, "n": 0}}
        assert post(receiver, body(entry([gap], kind="oximetry"))).entry["accepted"] == 1
    assert len(contract.REASON) == 12


def test_canonical_bytes_of_samples():
    """The same bytes as tests/unit/test-canonical.c has."""
    sample = rows(1, 2, 97, contract.NONE, -2, 257, unit="%", exponent=[-1, 3], status=0x80000040,
                  device_time="2002-04-20T13:17:39.790382856")
    batch = contract.parse(json.dumps(body(entry([sample], kind="oximetry"))))
    assert not batch.entries[0].records[0].bad
    assert batch.entries[0].records[0].payload.hex() == (
        "0807060504030201" "002d3101" "40000080" "01" "02" "ff03" "02000000"
        "61000000" "00000080" "feffffff" "01010000")


def test_canonical_bytes():
    batch = contract.parse(json.dumps(body(entry([beat(1, energy_kj=7)]))))
    assert batch.entries[0].records[0].canonical == bytes.fromhex(
        "0100002000000000" "40a225512a440600" "01" "4700" "02" "07000000" "0100" "6103")


def test_duplicates_and_conflict(receiver):
    post(receiver, body(entry([beat(1), beat(2)])))
    again = post(receiver, body(entry([beat(1), beat(2), beat(3)]))).entry
    assert (again["accepted"], again["duplicate"]) == (1, 2)
    other = post(receiver, body(entry([beat(2, bpm=72), beat(4)]))).entry
    assert other["accepted"] == 1 and other["acked_through"] == seq(4)
    assert [(r["seq"], r["code"]) for r in other["rejected"]] == [(seq(2), "conflict")]
    assert receiver.query("SELECT seq FROM conflict") == [(seq(2),)]
    assert receiver.counters["conflict_answered"] == 1


def test_nonce_binds_a_run(receiver):
    post(receiver, body(entry([beat(1)])))
    a = post(receiver, body(entry([beat(2)], run=RUN2))).entry
    assert a["identity_conflict"] and a["accepted"] == a["acked_through"] == 0
    assert receiver.records.count() == 1
    assert post(receiver, body(entry([beat(1, run=3)], run=RUN2))).entry["accepted"] == 1


def test_missing_after(receiver):
    assert "missing_after" not in post(receiver, body(entry([beat(1)]))).entry
    a = post(receiver, body(entry([beat(5)], after=seq(4)))).entry
    assert a["missing_after"] and a["accepted"] == 1
    receiver.misbehave("reject", seqs=[seq(6)])
    post(receiver, body(entry([beat(6)], after=seq(5))))
    assert "missing_after" not in post(receiver, body(entry([beat(7)], after=seq(6)))).entry


def test_rejected_entries(tmp_path):
    with Receiver(tmp_path / "r.db", bpm_range=(1, 250)) as r:
        a = post(r, body(entry([beat(1, bpm=0), beat(2), beat(3, rr_1024="x"), beat(4, bpm=65536)]))).entry
        assert [(x["seq"], x["code"]) for x in a["rejected"]] == [
            (seq(1), "value_out_of_range"), (seq(3), "malformed"), (seq(4), "value_out_of_range")]
        assert (a["accepted"], a["acked_through"]) == (1, seq(4))
        assert get(r, "/v1/streams?gateway=gw-1").json == [{"stream": STREAM, "last_seq": seq(4)}]


@pytest.mark.parametrize("change", [
    {"schema": "x"}, {"batch": "nonsense"}, {"batch": BOOT}, {"gateway": ""}, {"boot_id": None},
    {"streams": []}, {"streams": [entry([])]}, {"streams": [entry([beat(2), beat(1)])]},
    {"streams": [entry([beat(1)], after=seq(1))]}, {"streams": [entry([beat(1), beat(1, run=3)])]},
    {"streams": [entry([beat(1)]), entry([beat(2)])]}, {"streams": [entry([beat(1, clk="maybe")])]},
    {"streams": [entry([strip(1, [1])], kind="ecg", unit="mV")]},
])
def test_bad_batches_are_refused_whole(receiver, change):
    assert post(receiver, body(entry([beat(1)])) | change).status == 400
    assert receiver.records.count() == 0


def test_bad_encodings(receiver):
    good = json.dumps(body(entry([beat(1)]))).encode()
    assert post(receiver, b"{", zipped=True).status == 400
    assert post(receiver, good, zipped=False, headers={"Content-Encoding": "gzip"}).status == 400
    assert post(receiver, good, zipped=False, headers={"Content-Encoding": "zstd"}).status == 415
    assert post(receiver, good, zipped=False, headers={"Content-Type": "text/plain"}).status == 415
    assert post(receiver, good, headers={"Idempotency-Key": "unquoted"}).status == 400
    assert get(receiver, "/v1/batches").status == 405 and get(receiver, "/v2").status == 404


def test_same_batch_id_with_another_body_is_noticed(receiver):
    value = body(entry([beat(1)]))
    post(receiver, value)
    assert receiver.wait(5, requests=1)
    post(receiver, value)
    assert "same_batch_other_body" not in receiver.counters
    post(receiver, value | {"gateway": "gw-2"})
    assert receiver.counters["same_batch_other_body"] == 1


def test_token(tmp_path):
    with Receiver(tmp_path / "r.db", token="s3cret") as r:
        assert post(r, body(entry([beat(1)]))).status == 401
        assert post(r, body(entry([beat(1)])), headers={"Authorization": "Bearer s3cret"}).status == 200
        assert get(r, "/v1/streams?gateway=gw-1").status == 401


def test_streams_windows_clocks_uploads(receiver):
    post(receiver, body(entry([beat(n) for n in range(1, 11)]), entry([strip(1, [1])], OTHER, kind="ecg")))
    assert get(receiver, "/v1/streams?gateway=gw-1").json == [
        {"stream": OTHER, "last_seq": seq(1)}, {"stream": STREAM, "last_seq": seq(10)}]
    assert get(receiver, "/v1/streams?gateway=other").json == []
    assert get(receiver, "/v1/streams").status == 400
    a = get(receiver, f"/v1/streams/{STREAM}/windows?from_seq={seq(1)}&to_seq={seq(9)}&width=4").json
    assert [(w["first"], w["last"], w["count"]) for w in a] == [
        (seq(1), seq(4), 4), (seq(5), seq(8), 4), (seq(9), seq(9), 1)]
    batch = contract.parse(json.dumps(body(entry([beat(n) for n in range(5, 9)]))))
    digest = hashlib.sha256(b"".join(r.canonical for r in batch.entries[0].records)).hexdigest()
    assert a[1]["sha256"] == digest
    clocks = {"clocks": [{"boot_id": BOOT, "boot_us": 1, "utc_us": T0}]}
    assert post(receiver, clocks, path="/v1/clocks").status == 200
    assert receiver.query("SELECT boot_id, boot_us, utc_us FROM clock") == [(BOOT, 1, T0)]
    assert post(receiver, {"clocks": [{}]}, path="/v1/clocks").status == 400
    late = beat(11) | {"t_us": 7, "clk": "est", "boot_us": 3}
    post(receiver, body(entry([late], after=seq(10))))
    assert receiver.query("SELECT seq, t_us, true_us FROM corrected") == [(seq(11), 7, T0 + 2)]

    data = b"EDF"
    ask = {"stream": OTHER, "first_seq": 1, "last_seq": 2, "size": 3,
           "sha256": hashlib.sha256(data).hexdigest()}
    where = post(receiver, ask, path="/v1/uploads").json["url"]
    c = connect(receiver)
    c.request("PUT", where.removeprefix(receiver.url), data)
    assert Answer(c.getresponse()).status == 200
    c.close()
    assert post(receiver, ask, path="/v1/uploads").json == {"already": True}


# -- misbehaviour

@pytest.mark.parametrize("code", [202, 204, 302, 400, 401, 403, 404, 405, 407, 408, 409, 413, 415, 422,
                                  425, 429, 500, 502, 503, 504, 511])
def test_any_status(receiver, code):
    receiver.misbehave("status", code=code, n=1, retry_after=1)
    a = post(receiver, body(entry([beat(1)])))
    assert a.status == code and a.headers["Retry-After"] == "1"
    assert "X-Ingest-Contract" not in a.headers
    assert receiver.records.count() == 0 and receiver.counters == {f"status_{code}": 1}
    assert post(receiver, body(entry([beat(1)]))).status == 200


def test_rules_skip_repeat_and_end(receiver):
    number = receiver.misbehave("status", code=503, skip=1)
    assert [post(receiver, body(entry([beat(n)]))).status for n in (1, 2, 3)] == [200, 503, 503]
    receiver.clear(number)
    receiver.misbehave("status", code=500, p=0.5)
    seen = [post(receiver, body(entry([beat(4)]))).status for _ in range(40)]
    assert 8 < seen.count(500) < 32
    receiver.clear()
    assert post(receiver, body(entry([beat(4)]))).status == 200


def test_answers_that_are_no_receipts(receiver):
    receiver.misbehave("captive", n=1)
    a = post(receiver, body(entry([beat(1)])))
    assert a.status == 200 and a.body.startswith(b"<!DOCTYPE html>")
    receiver.misbehave("empty", n=1)
    a = post(receiver, body(entry([beat(1)])))
    assert a.status == 200 and a.body == b"" and a.headers["X-Ingest-Contract"] == "1"
    assert receiver.records.count() == 0


def test_spoiled_receipts(receiver):
    value = body(entry([beat(1)]))
    for do in ("no_contract", "other_contract", "wrong_batch", "acked_outside", "sums", "cut_json",
               "missing_after", "twice", "drip"):
        receiver.misbehave(do, n=1, delay=0.05)
    a = post(receiver, value)
    assert "X-Ingest-Contract" not in a.headers and a.entry["accepted"] == 1
    assert post(receiver, value).json["contract"] == 2
    assert post(receiver, value).json["batch"] != value["batch"]
    assert post(receiver, value).entry["acked_through"] > seq(1)
    a = post(receiver, value).entry
    assert a["accepted"] + a["duplicate"] == 2
    with pytest.raises(ValueError):
        post(receiver, value).json
    assert post(receiver, value).entry["missing_after"]
    value2 = body(entry([beat(2)]))
    assert post(receiver, value2).entry["duplicate"] == 1
    assert post(receiver, value).status == 200
    assert receiver.counters["drip"] == receiver.counters["twice"] == 1


@pytest.mark.parametrize("do,stored", [
    ("truncated", 1), ("reset_answer", 1), ("half_answer", 1), ("lose_answer", 1), ("reset_request", 0)])
def test_broken_connections(receiver, do, stored):
    receiver.misbehave(do, n=1)
    value = body(entry([beat(n) for n in range(1, 200)]))
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        a = post(receiver, value)
        # a header cut short is no error to this lenient client, but it is no receipt either
        assert "X-Ingest-Contract" not in a.headers or "Content-Length" not in a.headers
        raise http.client.IncompleteRead(a.body)
    assert receiver.wait(5, requests=1)
    assert receiver.records.count() == 199 * stored
    assert post(receiver, value).entry["duplicate"] == 199 * stored


def test_slow_and_stall(receiver):
    receiver.misbehave("slow", delay=0.3, n=1)
    with pytest.raises(TimeoutError):
        c = connect(receiver, timeout=0.1)
        post(receiver, body(entry([beat(1)])), connection=c)
    c.close()
    receiver.misbehave("stall", n=1)
    c = connect(receiver, timeout=0.2)
    with pytest.raises(TimeoutError):
        post(receiver, body(entry([beat(2)])), connection=c)
    c.close()
    assert receiver.wait(5, requests=2, stall=1)
    assert receiver.records.count() == 1


def test_limits_and_encodings(receiver):
    number = receiver.misbehave("too_large", records=2)
    assert post(receiver, body(entry([beat(1), beat(2), beat(3)]))).status == 413
    assert post(receiver, body(entry([beat(1), beat(2)]))).status == 200
    receiver.clear(number)
    receiver.misbehave("too_large", limit_json=100, n=1)
    assert post(receiver, body(entry([beat(3)]))).status == 413
    receiver.misbehave("no_gzip")
    assert post(receiver, body(entry([beat(3)]))).status == 415
    assert post(receiver, body(entry([beat(3)])), zipped=False).status == 200


def test_records_that_are_refused(receiver):
    number = receiver.misbehave("bad_batch", code=422, bpm=99)
    assert post(receiver, body(entry([beat(1), beat(2, bpm=99)]))).status == 422
    assert post(receiver, body(entry([beat(1)]))).status == 200
    receiver.clear(number)
    receiver.misbehave("reject", every=3, n=1, detail="bpm 0")
    a = post(receiver, body(entry([beat(n) for n in range(2, 9)]))).entry
    assert [r["detail"] for r in a["rejected"]] == ["bpm 0"] and a["accepted"] == 6
    receiver.misbehave("reject", match=lambda e, r: r.seq == seq(10))
    assert len(post(receiver, body(entry([beat(10)]))).entry["rejected"]) == 1
    receiver.misbehave("conflict", seqs=[seq(11)])
    assert post(receiver, body(entry([beat(11)]))).entry["rejected"][0]["code"] == "conflict"
    receiver.misbehave("identity_conflict", n=1)
    assert post(receiver, body(entry([beat(12)]))).entry["identity_conflict"]


def test_wipe_rollback_restart_and_ahead(receiver):
    post(receiver, body(entry([beat(1)])))
    receiver.snapshot("early")
    post(receiver, body(entry([beat(2)])))
    receiver.rollback("early")
    assert get(receiver, "/v1/streams?gateway=gw-1").json[0]["last_seq"] == seq(1)
    receiver.restart()
    assert receiver.records.count() == 1
    receiver.misbehave("ahead", path="streams", n=1)
    assert get(receiver, "/v1/streams?gateway=gw-1").json[0]["last_seq"] == seq(1, run=3)
    receiver.wipe()
    assert get(receiver, "/v1/streams?gateway=gw-1").json == []


def test_down_and_up_on_the_same_port(receiver):
    c = connect(receiver)
    post(receiver, body(entry([beat(1)])), connection=c)
    port = receiver.port
    receiver.down()
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        c.auto_open = False
        post(receiver, body(entry([beat(2)])), connection=c)
    with pytest.raises(ConnectionRefusedError):
        post(receiver, body(entry([beat(2)])))
    receiver.up()
    assert receiver.port == port
    assert post(receiver, body(entry([beat(2)]))).status == 200


def test_wait_is_told_by_events(receiver):
    later = threading.Timer(0.05, post, (receiver, body(entry([beat(1)]))))
    later.start()
    assert receiver.wait(5, accepted=1)
    assert not receiver.wait(0.01, accepted=2)
    later.join()


@pytest.fixture
def process(tmp_path):
    program = HERE.parent / "receiver" / "receiver.py"
    p = subprocess.Popen([str(program), "--db", str(tmp_path / "r.db"), "--control",
                          "--port-file", str(tmp_path / "port")], stdout=subprocess.PIPE, text=True)
    port, control = p.stdout.readline().split()
    assert (tmp_path / "port").read_text().split() == [port, control]
    p.remote = Remote(int(port), int(control))
    yield p
    p.kill()
    p.wait()
    p.stdout.close()


def test_an_answer_survives_kill_9(process, tmp_path):
    assert post(process.remote, body(entry([beat(1)]))).entry["accepted"] == 1
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with sqlite3.connect(tmp_path / "r.db") as db:
        assert db.execute("SELECT seq FROM records").fetchall() == [(seq(1),)]


def test_control_from_outside(process):
    remote = process.remote
    remote.misbehave("status", code=500, n=1)
    assert post(remote, body(entry([beat(1)]))).status == 500
    assert remote.wait(timeout=5, status_500=1)
    remote.down()
    with pytest.raises(ConnectionRefusedError):
        post(remote, body(entry([beat(1)])))
    remote.up()
    post(remote, body(entry([beat(1)])))
    assert remote.wait(timeout=5, accepted=1) and remote.counters["down"] == 1
    with pytest.raises(RuntimeError, match="no such misbehaviour"):
        remote.misbehave("nonsense")
    process.terminate()
    assert process.wait(5) == 0


def test_no_control_unless_asked(tmp_path):
    with Receiver(tmp_path / "r.db") as r:
        assert post(r, {"call": "wipe"}, path="/control", zipped=False).status == 404


def test_tls_and_client_certificates(tmp_path):
    cert, key = str(tmp_path / "cert"), str(tmp_path / "key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.create_default_context(cafile=cert)
    with Receiver(tmp_path / "r.db", cert=cert, key=key, client_ca=cert) as r:
        assert r.url.startswith("https://")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            c = http.client.HTTPSConnection("127.0.0.1", r.port, context=context, timeout=5)
            post(r, body(entry([beat(1)])), connection=c)
        c.close()
        context.load_cert_chain(cert, key)
        c = http.client.HTTPSConnection("127.0.0.1", r.port, context=context, timeout=5)
        assert post(r, body(entry([beat(1)])), connection=c).status == 200
        c.close()
