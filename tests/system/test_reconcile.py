"""Missed data: a server that has lost what it had confirmed gets back exactly that, from a daemon that compares windows
with it; what only it holds is noted, what differs is held. And beside a daemon that hangs nothing is sent that the
server has already."""

import json
import os
import re
import signal
import sqlite3
import subprocess

import pytest

from hub import until
from scenario import (
    accepted, age_heartbeat, end_drain, files, freeze, happened, judge, problems, sink_state, start_drain, thaw,
)

STRAPS = ("--straps", 3, "--ecg", 2, "--speed", 20)
NEVER = {"sync": {"reconcile_interval": "30d"}}  # only when it is asked


def filled(new_hub, records=400, config=NEVER, straps=STRAPS, quiet=True):
    """A daemon with so many records confirmed, and nothing that waits. `quiet`: no straps any more."""
    hub = new_hub(config)
    hub.start_straps(*straps)
    hub.start_daemon()
    accepted(hub, records)
    if quiet:
        hub.stop_straps()
        assert hub.wait_empty(30)
    return hub


def held(hub):
    return {tuple(row) for row in hub.receiver.query("SELECT stream, seq, t_us, clk, type, payload FROM record")}


def requests(hub, path="/v1/batches"):
    return hub.receiver.query(
        "SELECT number, path, status, records, accepted, duplicate FROM request WHERE path LIKE ? ORDER BY number",
        (path + "%",))


def last_request(hub):
    return hub.receiver.query("SELECT coalesce(max(number), 0) FROM request")[0][0]


def sent_since(hub, number):
    """(records, duplicates) of all batches after that request."""
    rows = [row for row in requests(hub) if row[0] > number]
    return sum(row[3] or 0 for row in rows), sum(row[5] or 0 for row in rows)


def reconcile(hub, *options, code=0, timeout=40):
    """`vitalctl reconcile --wait`: the row of the one sink, and the findings."""
    status, said, errors = hub.ctl("reconcile", "--wait", "--json", *options, timeout=timeout)
    assert status == code, said + errors
    report = json.loads(said)
    return report["reconcile"][0], report["findings"]


def balanced(hub):
    audit = hub.audit()
    assert audit and audit["balanced"], audit


def test_holds_everything(new_hub):
    hub = filled(new_hub)
    n = hub.receiver.records.count()
    before = last_request(hub)
    result, findings = reconcile(hub)
    assert result["ended"] and result["compared"] == n and findings == [], result
    assert result["again"] == result["server_only"] == result["conflicts"] == 0
    assert sent_since(hub, before) == (0, 0)
    assert "holds everything" in hub.said()
    assert hub.ctl("reconcile", "--show")[0] == 0
    assert f"{n} records equal" in hub.ctl("reconcile", "--show")[1]


def test_wiped(new_hub):
    """Everything that is still held here comes back, each record once."""
    hub = filled(new_hub)
    had = held(hub)
    hub.receiver.wipe()
    before = last_request(hub)
    result, findings = reconcile(hub)
    assert result["again"] == len(had), result
    assert {one["what"] for one in findings} == {"lacked"} and sum(one["records"] for one in findings) == len(had)
    assert hub.wait_empty(30)
    assert {row[1:] for row in held(hub)} == {row[1:] for row in had}
    assert sent_since(hub, before) == (len(had), 0)
    balanced(hub)
    assert re.search(rf"lacked {len(had)} records of \d+ streams: sent again", hub.said())
    event = [one for one in hub.ctl_json("events") if one["type"] == "reconcile"]
    assert sum(one["count"] for one in event) == len(had) and all(one["success"] for one in event)
    # twice is safe
    before = last_request(hub)
    result, _ = reconcile(hub)
    assert result["again"] == 0 and result["compared"] == len(had)
    assert sent_since(hub, before) == (0, 0)
    assert hub.stop() == 0
    judge(hub)


def test_older_backup_during_streaming(new_hub):
    """The server is set back while hearts go on beating: the difference comes back, the newest was never late."""
    hub = filled(new_hub, quiet=False)
    hub.receiver.snapshot("old")
    accepted(hub, 300)
    hub.receiver.rollback("old")
    result, findings = reconcile(hub)  # a receipt that misses what comes before may have begun one already
    assert result["ended"] and result["conflicts"] == 0, result
    assert {one["what"] for one in findings} == {"lacked"} and sum(one["records"] for one in findings) >= 300
    accepted(hub, 20)
    hub.stop_straps()
    assert hub.wait_empty(30)
    result, _ = reconcile(hub)
    assert result["again"] == 0
    assert hub.stop() == 0
    judge(hub)


# Of how many records it is every which: all in one window, and spread over many.
@pytest.mark.parametrize("pick", ["seq % 50 = 7", "seq & 268435455 = 1", "seq & 268435455 BETWEEN 11 AND 30",
                                  "seq % 2 = 0", "seq = (SELECT max(seq) FROM record r WHERE r.stream = record.stream)"])
def test_exactly_what_is_missing(new_hub, pick):
    hub = filled(new_hub)
    had = held(hub)
    hub.receiver.query(f"DELETE FROM record WHERE {pick}")
    missing = len(had) - len(held(hub))
    assert missing > 0
    before = last_request(hub)
    result, findings = reconcile(hub)
    assert result["again"] == missing and result["compared"] == len(had) - missing, result
    assert sum(one["records"] for one in findings) == missing
    assert hub.wait_empty(30)
    assert sent_since(hub, before) == (missing, 0), "not one more than necessary"
    assert held(hub) == had
    balanced(hub)
    assert hub.stop() == 0
    judge(hub)


def test_altered(new_hub):
    """Other content under one of our numbers: told, that stream is held, the others go on."""
    hub = filled(new_hub)
    stream, seq = hub.receiver.query(
        "SELECT s.uuid, r.seq FROM record r JOIN stream s ON s.number = r.stream WHERE s.kind = 'heart_rate' LIMIT 1 OFFSET 9")[0]
    hub.receiver.query("UPDATE record SET t_us = t_us + 1 WHERE seq = ? AND stream = "
                       "(SELECT number FROM stream WHERE uuid = ?)", (seq, stream))
    hub.receiver.query("DELETE FROM record WHERE seq = ? AND stream = (SELECT number FROM stream WHERE uuid = ?)",
                       (seq + 2, stream))
    before = last_request(hub)
    result, findings = reconcile(hub, code=1)
    assert result["conflicts"] == 1 and result["again"] == 1 and result["ended"], result
    conflict = [one for one in findings if one["what"] == "conflict"]
    assert [(one["first_seq"], one["last_seq"], one["records"]) for one in conflict] == [(seq, seq, 1)], findings
    anchors = hub.ctl_json("anchors")
    assert [one["held"] for one in anchors].count(True) == 1
    assert "other data under the number" in hub.said()
    assert problems(hub), "nobody is told"
    assert sent_since(hub, before) == (0, 0), "of a stream that is held nothing is sent"
    balanced(hub)
    result, again = reconcile(hub, code=1)
    assert len([one for one in again if one["what"] == "conflict"]) == 1, "the same finding twice"


def test_only_at_the_server(new_hub):
    """Records that nobody here knows, of a run that has ended: noted, and no ledger cares."""
    hub = filled(new_hub)
    assert hub.stop() == 0
    hub.start_daemon()
    hub.receiver.query("INSERT INTO record SELECT stream, max(seq) + 3, t_us, clk, type, payload, received_us, sent_at_us,"
                       " request FROM record GROUP BY stream")
    hub.receiver.query("INSERT INTO record SELECT stream, max(seq) + 1, t_us, clk, type, payload, received_us, sent_at_us,"
                       " request FROM record GROUP BY stream")
    streams = hub.receiver.query("SELECT count(*) FROM stream")[0][0]
    before = last_request(hub)
    result, findings = reconcile(hub)
    assert result["server_only"] == 2 * streams and result["again"] == result["conflicts"] == 0, result
    assert {one["what"] for one in findings} == {"server_only"} and len(findings) == streams
    assert sum(one["records"] for one in findings) == 2 * streams
    assert sent_since(hub, before) == (0, 0)
    balanced(hub)


def windows_asked(hub, since=0):
    return [row for row in requests(hub, "/v1/streams/%windows") if row[0] > since]


def test_stopped_in_the_middle(new_hub):
    """SIGTERM while a server thinks: it ends at once, and the next one does it all."""
    hub = filled(new_hub)
    had = held(hub)
    hub.receiver.wipe()
    hub.receiver.misbehave("stall", path="windows", skip=1)
    assert hub.ctl("reconcile")[0] == 0
    happened(hub, "stall", 1)
    assert hub.stop(10) == 0
    hub.receiver.clear()
    hub.start_daemon()
    result, _ = reconcile(hub)
    assert result["ended"] and result["conflicts"] == 0
    assert hub.wait_empty(30)
    assert {row[1:] for row in held(hub)} == {row[1:] for row in had}
    balanced(hub)
    assert hub.stop() == 0
    judge(hub)


def test_reloaded_in_the_middle(new_hub):
    """Who asked for everything gets everything, though the uploader is another one now."""
    hub = filled(new_hub)
    had = held(hub)
    assert reconcile(hub)[0]["ended"]  # or everything would be compared in any case
    hub.receiver.wipe()
    hub.receiver.misbehave("stall", path="windows", skip=1)
    assert hub.ctl("reconcile", "--all")[0] == 0
    happened(hub, "stall", 1)
    hub.receiver.clear()
    os.kill(hub.daemon.pid, signal.SIGHUP)
    row = until(lambda: (row := hub.ctl_json("reconcile", "--show")["reconcile"][0])["ended"] and
                row["phase"] == "idle" and row["everything"] and row, 30, "it ends")
    assert row["conflicts"] == 0
    assert hub.wait_empty(30)
    assert {row[1:] for row in held(hub)} == {row[1:] for row in had}
    balanced(hub)
    assert hub.stop() == 0
    judge(hub)


def test_server_goes_in_the_middle(new_hub):
    hub = filled(new_hub)
    had = held(hub)
    hub.receiver.query("DELETE FROM record WHERE seq % 3 = 0")
    hub.receiver.misbehave("stall", path="windows", skip=2, n=1)
    assert hub.ctl("reconcile")[0] == 0
    happened(hub, "stall", 1)
    hub.receiver.down()
    hub.receiver.clear()
    assert until(lambda: (row := hub.ctl_json("reconcile", "--show")["reconcile"][0])["problem"] and row, 30, "it gives up")
    balanced(hub)
    hub.receiver.up()
    assert hub.ctl("sync")[0] == 0
    result, _ = reconcile(hub)
    assert result["ended"], result
    assert hub.wait_empty(30)
    assert held(hub) == had
    assert hub.stop() == 0
    judge(hub)


def test_nobody_compares(new_hub):
    """Nothing passes for compared when it was not: not by a server that is down, not by a daemon that ends meanwhile."""
    hub = filled(new_hub)
    assert reconcile(hub)[0]["ended"]
    hub.receiver.down()
    assert hub.ctl("sync")[0] == 0
    hub.start_straps("--straps", 1)
    sink_state(hub, "down")
    result, _ = reconcile(hub, code=1)
    assert result["phase"] == "waiting" and result["ended"], result
    assert hub.ctl("reconcile", "--show")[0] == 1
    hub.receiver.up()
    sink_state(hub, "up")
    hub.stop_straps()
    hub.receiver.misbehave("stall", path="windows", n=1)
    waits = subprocess.Popen([hub.vitalctl, "--config", str(hub.config_file), "reconcile", "--wait"], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=hub.env)
    happened(hub, "stall", 1)
    hub.kill()
    said, errors = waits.communicate(timeout=30)
    assert waits.returncode == 69 and "not running" in errors and said == "", said + errors
    status, said, _ = hub.ctl("reconcile", "--show")
    assert "not running" in said.splitlines()[0] and "last compared" in said, (status, said)


@pytest.mark.parametrize("code", [404, 405])
def test_server_without_windows(new_hub, code):
    """Told once, no error, nothing sent."""
    hub = filled(new_hub)
    hub.receiver.misbehave("status", code=code, path="windows")
    before = last_request(hub)
    for _ in range(2):
        result, findings = reconcile(hub, code=1)
        assert result["unsupported"] and not result["ended"] and findings == []
    assert "cannot be compared" in hub.ctl("reconcile", "--show")[1]
    assert hub.said().count("cannot be compared") == 1
    assert sent_since(hub, before) == (0, 0)


@pytest.mark.parametrize("rule", [
    {"do": "captive"}, {"do": "status", "code": 500}, {"do": "cut_json"}, {"do": "truncated"}, {"do": "reset_answer"},
    {"do": "status", "code": 200, "body": "[{\"first\":1,\"last\":1,\"count\":9,\"sha256\":\"\"}]"},
    {"do": "status", "code": 401}, {"do": "status", "code": 429, "retry_after": 1}], ids=lambda r: str(r.get("code", r["do"])))
def test_answers_that_are_none(new_hub, rule):
    """Whatever the server says, nothing is sent because of it, and nothing stops; then it is well again."""
    hub = filled(new_hub)
    before = last_request(hub)
    number = hub.receiver.misbehave(**rule | {"path": "windows"})
    result, findings = reconcile(hub, code=1)
    assert not result["ended"] and result["problem"] and findings == [], result
    assert sent_since(hub, before) == (0, 0)
    hub.receiver.clear(number)
    result, _ = reconcile(hub)
    assert result["ended"] and result["compared"] == hub.receiver.records.count()


def test_by_itself(new_hub):
    hub = filled(new_hub, config={"sync": {"reconcile_interval": "1s"}})
    had = held(hub)
    hub.receiver.query("DELETE FROM record WHERE seq % 7 = 0")
    assert hub.receiver.wait(20, until=lambda r: r.records.count() == len(had))
    assert held(hub) == had


@pytest.mark.parametrize("feature", ["reconcile", "timers"])
def test_not_by_itself(new_hub, feature):
    """Switched off: by hand only."""
    hub = filled(new_hub, config={"sync": {"reconcile_interval": "1s"}, "features": {feature: "no"}})
    hub.receiver.query("DELETE FROM record WHERE seq % 7 = 0")
    assert hub.ctl_json("reconcile", "--show")["reconcile"][0]["due_us"] is None
    assert windows_asked(hub) == []
    result, _ = reconcile(hub)
    assert result["again"] > 0


def test_everything_after_a_long_time(new_hub):
    """The last minute, but everything when nobody has compared for longer than reconcile_all_after."""
    hub = filled(new_hub, config={"sync": {
        "reconcile_interval": "30d", "reconcile_window": "1min", "reconcile_all_after": "1h"}})
    result, _ = reconcile(hub)
    assert result["everything"], "it was never compared before"
    result, _ = reconcile(hub)
    assert not result["everything"]
    result, _ = reconcile(hub, "--all")
    assert result["everything"]
    assert hub.stop() == 0
    db = sqlite3.connect(hub.state_dir / "store.db")
    assert db.execute("SELECT confirmed_us > 0, reconciled_us > 0 FROM sink").fetchall() == [(1, 1)]
    db.execute("UPDATE sink SET reconciled_us = reconciled_us - 7200000000")
    db.commit()
    db.close()
    hub.start_daemon()
    result, _ = reconcile(hub)
    assert result["everything"]


def test_missing_after(new_hub):
    """A receipt says that the record before is missing: that stream is compared, once an hour."""
    hub = filled(new_hub, config={"sync": {"reconcile_interval": "30d", "linger": "5ms"}}, quiet=False)
    before = last_request(hub)
    hub.receiver.misbehave("missing_after", n=30)
    accepted(hub, 100)
    asked = windows_asked(hub, before)
    streams = hub.receiver.query("SELECT count(*) FROM stream")[0][0]
    assert 0 < len(asked) <= streams, asked
    assert len({row[1].split("/")[3] for row in asked}) == len(asked), "a stream twice within the hour"
    hub.stop_straps()
    assert hub.wait_empty(30)
    balanced(hub)


def test_missing_after_brings_it_back(new_hub):
    """A real one: the newest records of a stream are gone, and the next receipt tells."""
    hub = filled(new_hub, config={"sync": {"reconcile_interval": "30d", "linger": "5ms"}}, quiet=False)
    n = hub.receiver.query("SELECT count(*) FROM record WHERE seq & 268435455 BETWEEN 5 AND 15")[0][0]
    hub.receiver.query("DELETE FROM record WHERE seq & 268435455 > 5")
    assert hub.receiver.wait(20, sql=f"SELECT count(*) = {n} FROM record WHERE seq & 268435455 BETWEEN 5 AND 15")
    hub.stop_straps()
    assert hub.wait_empty(30)
    reconcile(hub)
    assert hub.wait_empty(30)
    assert hub.stop() == 0
    judge(hub)


def test_wiped_while_one_strap_speaks(new_hub):
    """The daemon runs on, and nobody asks: the first receipt that misses something has that stream compared, and what is
    found there has all others, of straps that lie in a drawer."""
    hub = filled(new_hub)
    assert reconcile(hub)[0]["ended"]  # or everything would be compared in any case
    had = {row[1:] for row in held(hub)}
    hub.start_straps("--straps", 1, "--ecg", 0)
    accepted(hub, 3)
    hub.receiver.wipe()
    until(lambda: had <= {row[1:] for row in held(hub)}, 30, "all of it is there again")
    assert hub.said().count("lacked") >= 2
    hub.stop_straps()
    assert hub.wait_empty(30)
    balanced(hub)


def hung(hub):
    """A daemon that hangs with records that wait."""
    hub.start_straps(*STRAPS)
    hub.start_daemon()
    accepted(hub, 50)
    hub.receiver.down()
    until(lambda: (hub.waiting() or 0) >= 300, 30, "300 records wait")
    waiting = hub.waiting()
    freeze(hub)
    age_heartbeat(hub, 60)
    hub.receiver.up()
    return waiting


def drain(hub):
    """Beside it: how many records it sent, and how many of them the server had already."""
    number, before = last_request(hub), files(hub)
    status, said = end_drain(hub, start_drain(hub), 40)
    assert status == 0, said
    assert files(hub) == before, "the drain moved something that is not its own"
    return sent_since(hub, number)


def wakes(hub):
    thaw(hub)
    hub.stop_straps()
    assert hub.wait_empty(30)
    assert hub.stop() == 0
    judge(hub, near_us=20_000_000)


def test_beside_a_hung_daemon(new_hub):
    """A drain sends only what the server does not hold, and writes nothing; so the next one sends nothing at all, and
    one after the server has lost some exactly that."""
    hub = new_hub(NEVER)
    waiting = hung(hub)
    sent, duplicates = drain(hub)
    assert sent >= waiting and duplicates == 0
    had = held(hub)
    assert drain(hub) == (0, 0)
    hub.receiver.query("DELETE FROM record WHERE seq % 10 = 3 AND received_us > (SELECT max(received_us) FROM record) - 1000000")
    missing = len(had) - len(held(hub))
    first = min(row[1] for row in had)
    assert missing > 0 and first
    sent, duplicates = drain(hub)
    assert duplicates == 0 and 0 < sent <= missing
    wakes(hub)


@pytest.mark.parametrize("rule", [{"do": "status", "code": 404}, {"do": "captive"}], ids=["none", "nonsense"])
def test_beside_a_hung_daemon_without_windows(new_hub, rule):
    """Where it cannot be compared everything is sent, as duplicates: rather twice than not."""
    hub = new_hub(NEVER)
    waiting = hung(hub)
    sent, duplicates = drain(hub)
    assert sent >= waiting and duplicates == 0
    hub.receiver.misbehave(**rule | {"path": "windows"})
    assert drain(hub) == (sent, sent)
    hub.receiver.clear()
    wakes(hub)
