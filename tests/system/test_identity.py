"""Two hubs, or two times of one, that use the same names: each case is recognised, told in `status` and in the journal,
and at its end everything that was emitted is at the server as often as it must be, with its content and times.

A hub is what it has: its state directory. So a cloned card is a copy of that directory under another runtime
directory, a backup that is put back is the directory of an hour ago, and another machine is another hash in `meta`."""

import collections
import json
import re
import shutil
import signal
import sqlite3
import time

import balance as b
import pytest
from hub import until
from scenario import (EDGE_US, SINK, accepted, age_heartbeat, files, fill_while_down, freeze, gaps, happened, judge, problems,
                      settle, sink, sink_state, thaw)

STRAPS = ("--straps", 3, "--ecg", 2)


def begin(hub, *straps):
    hub.start_straps(*(straps or STRAPS))
    hub.start_daemon()
    accepted(hub, 30)


def incarnations(hub):
    """[(number, reason)] in their order."""
    return [(one["number"], one["reason"]) for one in hub.status()["incarnations"]]


def renamed(hub, *reasons, timeout=20):
    """Until names were changed for these reasons, in that order."""
    want = [(1, "first")] + [(i + 2, reason) for i, reason in enumerate(reasons)]
    until(lambda: incarnations(hub) == want, timeout, f"{want}")


def streams_at(receiver, gateway="gw-test"):
    return {one["stream"] for one in receiver.streams(gateway)}


def names_of(hub, old=False):
    return {one["id"] for one in hub.status()["streams"] if one["old"] == old}


def copy_state(hub, to):
    """The card as it is: the owner's lock is no part of it."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(hub.state_dir, to)


def put_back(hub, copy):
    shutil.rmtree(hub.state_dir)
    shutil.copytree(copy, hub.state_dir)


def sql(hub, text, *args):
    db = sqlite3.connect(hub.state_dir / "store.db")
    db.execute(text, args)
    db.commit()
    db.close()


def test_identity_conflict(new_hub):
    """A server that knows our run under another nonce: new names for all streams, nothing is held for long."""
    hub = new_hub()
    begin(hub)
    before = names_of(hub)

    def match(entry, record):
        return entry.kind == "ecg"

    hub.receiver.misbehave("identity_conflict", match=match, n=1)
    renamed(hub, "conflict")
    assert not before & names_of(hub) and names_of(hub, old=True) == before
    accepted(hub, 60)
    assert "copy" in problems(hub)
    assert sink(hub)["state"] == "up" and not any(a["held"] for a in hub.ctl_json("anchors"))
    assert {a["old"] for a in hub.ctl_json("anchors")} == {False, True}
    settle(hub)
    judge(hub)
    assert "goes on under new names" in hub.said()


def test_server_ahead(new_hub):
    """Numbers that we have not given out: nothing is sent under the old names any more."""
    hub = new_hub()
    begin(hub)
    assert hub.stop() == 0
    held = {one["stream"]: one["last_seq"] for one in hub.receiver.streams("gw-test")}
    hub.receiver.misbehave("ahead", path="streams", by=9, n=1)
    hub.start_daemon()
    renamed(hub, "ahead")
    accepted(hub, 30)
    now = {one["stream"]: one["last_seq"] for one in hub.receiver.streams("gw-test")}
    assert {stream: now[stream] for stream in held} == held and len(now) == 2 * len(held)
    settle(hub)
    judge(hub)


def test_a_server_that_always_says_so(new_hub):
    """It cannot make us change for ever: after some times it is held, with words, and the others go on."""
    hub = new_hub()
    hub.start_straps(*STRAPS)
    hub.receiver.misbehave("identity_conflict")
    hub.start_daemon()
    until(lambda: len(incarnations(hub)) == 4, 30, "three changes")
    until(lambda: "helped nothing" in problems(hub), 20, "it is told")
    assert len(incarnations(hub)) == 4
    hub.receiver.clear()
    assert hub.stop() == 0
    sql(hub, "UPDATE incarnation SET began_us = began_us - 3600000000")
    hub.start_daemon()  # an hour later
    renamed(hub, *["conflict"] * 4)
    settle(hub)
    judge(hub)


# -- several truths, one server


def merged(tmp_path, *truths):
    """What was sent in several phases, or by the straps of two hubs, as one truth."""
    path = tmp_path / "all.jsonl"
    with open(path, "w", encoding="utf-8") as out:
        for i, truth in enumerate(truths):
            for line in truth.read_text().splitlines():
                one = json.loads(line)
                one |= {key: one[key] + i * 1_000_000 for key in ("n", "unread") if isinstance(one.get(key), int)
                        and one.get("event") != "end"}
                if one.get("event") != "end":
                    out.write(json.dumps(one) + "\n")
    return path


def exactly_once(tmp_path, db, *truths):
    result = b.balance(merged(tmp_path, *truths), db)
    total = result["total"]
    words = b.table(result)
    assert total["expected"] > 30, words
    for what in ("lost", "altered", "duplicated", "invented", "two_contents"):
        assert total[what] == 0, words


def next_truth(hub):
    """Straps that begin anew write a truth of their own."""
    hub.truth = hub.truth.with_name(f"truth-{hub.truth.name}")
    return hub.truth


def ledger(hub):
    audit = hub.audit()
    assert audit["balanced"] and b.count_of(audit, "waiting") == 0, audit


# -- the cases


def test_cloned_card(new_hub, tmp_path):
    """Both copies run at once, against one server: the second to speak gets names of its own, nothing is mixed up."""
    hub = new_hub()
    straps = ("--straps", 2, "--ecg", 1, "--speed", 5)
    begin(hub, *straps)
    settle(hub)  # what waits on both cards is sent by both, and nobody can know
    first = hub.truth
    other = new_hub({SINK: {"url": hub.receiver.url, "token_file": hub.token_file}}, receiver=False)
    copy_state(hub, other.state_dir)
    next_truth(hub)
    hub.start_straps(*straps)
    hub.start_daemon()
    accepted(hub, 20)
    other.start_straps(*straps, "--seed", 77)
    other.start_daemon()
    until(lambda: incarnations(other)[-1][1] in ("ahead", "conflict"), 20, "the copy takes other names")
    accepted(hub, 60)
    assert len(incarnations(hub)) == 1 and len(incarnations(other)) == 2
    assert not names_of(hub) & names_of(other)
    assert "copied" in problems(other) and "new names" in problems(other)
    for one in (hub, other):
        one.stop_straps()
        until(lambda one=one: one.waiting() == 0, 60, "everything is confirmed")
        assert one.stop() == 0
        ledger(one)
    exactly_once(tmp_path, hub.db, first, hub.truth, other.truth)


@pytest.mark.parametrize("reboot", (False, True), ids=("same-boot", "reboot"))
def test_a_copy_is_put_back(new_hub, tmp_path, reboot):
    """A copy of an hour ago in place of the store: what it would number anew the server has already."""
    hub = new_hub()
    begin(hub)
    settle(hub)
    truths = [hub.truth]
    copy_state(hub, tmp_path / "copy")
    truths.append(next_truth(hub))
    begin(hub)
    settle(hub)
    held = {one["stream"]: one["last_seq"] for one in hub.receiver.streams("gw-test")}
    put_back(hub, tmp_path / "copy")
    if reboot:  # what lay in memory is gone, and only the server can tell
        (hub.runtime_dir / "tail").unlink()
    truths.append(next_truth(hub))
    begin(hub)
    assert incarnations(hub)[1:] == [(2, "ahead" if reboot else "backup")]
    assert "new names" in problems(hub)
    settle(hub)
    ledger(hub)
    now = {one["stream"]: one["last_seq"] for one in hub.receiver.streams("gw-test")}
    assert {stream: now[stream] for stream in held} == held
    exactly_once(tmp_path, hub.db, *truths)


def test_a_marked_backup(new_hub):
    """A copy that says of itself that it is one: new names before the first record, what waited in it is sent."""
    hub = new_hub()
    fill_while_down(hub, 60)
    assert hub.stop() == 0
    sql(hub, "INSERT INTO meta VALUES('backup', '2026-03-01 07:30:00')")
    hub.start_daemon()
    assert incarnations(hub) == [(1, "first"), (2, "backup")]
    assert "2026-03-01" in hub.status()["incarnations"][1]["detail"]
    old = names_of(hub, old=True)
    hub.receiver.up()
    accepted(hub, 60)
    settle(hub)
    judge(hub)
    assert old and not old & streams_at(hub.receiver)


@pytest.mark.parametrize("waits", (False, True), ids=("all-sent", "some-wait"))
def test_the_gap_of_new_names(new_hub, waits):
    """Of the time when the daemon was down, no more: it begins where each stream was last heard, under its old name."""
    hub = new_hub()
    begin(hub, "--straps", 2, "--ecg", 1)
    if waits:
        hub.receiver.down()
        until(lambda: hub.waiting() >= 8, 20, "records wait")
    assert hub.stop() == 0
    stopped = time.time_ns() // 1000
    last = {key: max(one.t_us for one in records if one.heard) for key, records in said(hub).items()}
    sql(hub, "INSERT INTO meta VALUES('backup', '2026-03-01 07:30:00')")
    until(lambda: time.time_ns() // 1000 > stopped + 2 * EDGE_US, 10, "it is down for longer than an edge")
    hub.receiver.up()
    started = time.time_ns() // 1000
    hub.start_daemon()
    accepted(hub, 30)
    settle(hub)
    judge(hub)
    assert len(last) == 3
    for key, before in last.items():
        ((reason, from_us, to_us, _),) = gaps(hub)[key]
        assert reason == "daemon_down" and abs(from_us - before) < EDGE_US and to_us > started - EDGE_US


def said(hub):
    """{(device, kind): [Sent]}"""
    found = collections.defaultdict(list)
    for one in b.read_truth(hub.truth)[0]:
        found[one.device, one.kind].append(one)
    return found


def test_a_request_under_way(new_hub):
    """A clean stop waits for its answer: what the server has does not come again under new names."""
    hub = new_hub()
    begin(hub)
    hub.receiver.misbehave("slow", delay=0.4)
    happened(hub, "slow", 1)
    assert hub.stop() == 0
    hub.receiver.clear()
    sql(hub, "INSERT INTO meta VALUES('backup', '2026-03-01 07:30:00')")
    hub.start_daemon()
    renamed(hub, "backup")
    accepted(hub, 30)
    settle(hub)
    judge(hub)


def test_a_wiped_store(new_hub, tmp_path):
    """Nothing is left of it: what comes is sent whole, what the server has stays, and it is told."""
    hub = new_hub()
    begin(hub)
    settle(hub)
    truths = [hub.truth, next_truth(hub)]
    held = {one["stream"]: one["last_seq"] for one in hub.receiver.streams("gw-test")}
    shutil.rmtree(hub.state_dir)
    (hub.runtime_dir / "tail").unlink()
    begin(hub)
    assert f"holds {len(held)} streams" in problems(hub) and "does not know" in problems(hub)
    assert "wiped or replaced" in hub.said()
    settle(hub)
    ledger(hub)
    now = {one["stream"]: one["last_seq"] for one in hub.receiver.streams("gw-test")}
    assert {stream: now[stream] for stream in held} == held and len(now) == 2 * len(held)
    exactly_once(tmp_path, hub.db, *truths)


def test_a_swapped_card(new_hub):
    """The card of another hub: its names stay with that hub, what waited on it is sent under new ones."""
    hub = new_hub()
    fill_while_down(hub, 60)
    assert hub.stop() == 0
    db = sqlite3.connect(hub.state_dir / "store.db")
    noted = db.execute("SELECT value FROM meta WHERE key = 'machine'").fetchone()
    db.close()
    if not noted:
        pytest.skip("this machine has neither a serial number nor a machine-id")
    other = " ".join(part.split(":")[0] + ":" + "0" * 32 for part in bytes(noted[0]).decode().split())
    sql(hub, "UPDATE meta SET value = ? WHERE key = 'machine'", other.encode())
    hub.start_daemon()
    assert incarnations(hub) == [(1, "first"), (2, "machine")]
    assert "another machine" in problems(hub)
    old = names_of(hub, old=True)
    hub.receiver.up()
    accepted(hub, 60)
    assert hub.stop() == 0
    hub.start_daemon()
    assert len(incarnations(hub)) == 2
    settle(hub)
    judge(hub)
    assert not old & streams_at(hub.receiver)


def test_another_subject_in_an_outage(new_hub):
    """A strap is handed to somebody else while the server is away, and names change: everybody keeps what is theirs."""
    straps = [f'device "c0:de:00:00:00:0{i}"' for i in (1, 2, 3)]
    hub = new_hub({strap: {"subject": "u-1"} for strap in straps})
    fill_while_down(hub, 60)
    handed = time.time_ns() // 1000
    hub.configure({strap: {"subject": "u-2"} for strap in straps})
    hub.daemon.send_signal(signal.SIGHUP)
    until(lambda: "The new config is in force" in hub.said(), 10, "it is read")
    until(lambda: {one["subject"] for one in hub.status()["streams"]} == {"u-1", "u-2"}, 20, "both are heard")
    until(lambda: hub.waiting() >= 150, 20, "more records wait")
    hub.receiver.misbehave("identity_conflict", n=1)
    hub.receiver.up()
    renamed(hub, "conflict")
    settle(hub)
    judge(hub)
    wrong = hub.receiver.query(
        "SELECT count(*) FROM records WHERE type != 'gap' AND "
        "((subject = 'u-1' AND t_us > ?) OR (subject = 'u-2' AND t_us < ?) OR subject NOT IN ('u-1', 'u-2'))",
        (handed + EDGE_US, handed - EDGE_US))
    assert wrong[0][0] == 0
    assert hub.receiver.query("SELECT count(DISTINCT subject) FROM records")[0][0] == 2


def test_a_server_that_is_set_back(new_hub):
    """Over a change of names: what it lost of either comes again, once."""
    hub = new_hub()
    begin(hub)
    hub.receiver.snapshot("early")
    accepted(hub, 30)
    hub.receiver.misbehave("identity_conflict", n=1)
    renamed(hub, "conflict")
    accepted(hub, 30)
    hub.receiver.rollback("early")
    assert hub.stop() == 0
    hub.start_daemon()
    accepted(hub, 60)
    assert "was set back" in hub.said() and len(incarnations(hub)) == 2
    assert '"demo" had lost' in problems(hub)
    settle(hub)
    judge(hub)


def test_killed_while_it_moves(new_hub):
    """SIGKILL again and again in the middle of it: nothing is lost, and nothing is sent under two names."""
    hub = new_hub()
    fill_while_down(hub, 3000, "--straps", 4, "--ecg", 4, "--speed", 60)
    assert hub.stop() == 0
    sql(hub, "INSERT INTO meta VALUES('backup', 'a moment ago')")
    hub.start_daemon()
    for i in range(6):
        hub.kill()
        if i == 3:
            hub.receiver.up()
        hub.start_daemon()
    settle(hub, 120)
    assert len(incarnations_of(hub)) == 2
    audit = hub.audit()
    assert audit["balanced"], audit
    total = hub.balance(waiting=audit)["total"]
    assert total["lost"] == total["altered"] == total["duplicated"] == total["invented"] == 0, total


def incarnations_of(hub):
    db = sqlite3.connect(hub.state_dir / "store.db")
    rows = db.execute("SELECT number, reason FROM incarnation").fetchall()
    db.close()
    return rows


def test_drain_beside_a_hung_daemon(new_hub):
    """It sends what it can read and changes nothing; the daemon takes new names when it wakes."""
    hub = new_hub()
    fill_while_down(hub, 60)
    freeze(hub)
    age_heartbeat(hub, 60)
    before = files(hub)
    hub.receiver.misbehave("identity_conflict", n=1)
    hub.receiver.up()
    hub.drain()
    assert files(hub) == before
    hub.receiver.clear()
    hub.receiver.misbehave("identity_conflict", n=1)
    thaw(hub)
    renamed(hub, "conflict")
    accepted(hub, 20)
    hub.stop_straps()
    assert hub.wait_empty(60) and hub.stop() == 0
    audit = hub.audit()
    assert audit["balanced"], audit
    total = hub.balance()["total"]
    assert total["lost"] == total["altered"] == total["invented"] == 0, total


def test_a_drain_takes_new_names(new_hub):
    """Without a daemon: the drain owns the store, so it does what the daemon would."""
    hub = new_hub()
    fill_while_down(hub, 100)
    hub.stop_straps()
    hub.kill()
    hub.receiver.misbehave("identity_conflict", n=1)
    hub.receiver.up()
    status, said = hub.drain()
    assert status == 0 and "goes on under new names" in said, said
    judge(hub)


def test_another_url(new_hub):
    """Held until its owner says that it is the same server, with one command."""
    hub = new_hub()
    begin(hub)
    url = hub.receiver.url
    assert "127.0.0.1" in url
    hub.configure({SINK: {"url": url.replace("127.0.0.1", "localhost") + "/"}})
    hub.daemon.send_signal(signal.SIGHUP)
    state = sink_state(hub, "held")
    assert "url was changed" in state["reason"] and "anchors accept demo" in problems_remedy(hub)
    seen = hub.receiver.state()["totals"]["requests"]
    until(lambda: hub.waiting() > 20, 20, "records wait")
    status, said, error = hub.ctl("sync")
    assert status == 0, error
    assert re.match(r"demo: not tried, \d+ records wait: its url was changed", said), said
    assert hub.receiver.state()["totals"]["requests"] == seen
    assert hub.ctl("anchors", "accept", "nobody")[0] != 0
    assert hub.ctl("anchors", "accept")[0] == 64
    status, said, error = hub.ctl("anchors", "accept", "demo")
    assert status == 0 and "tried now" in said, error
    sink_state(hub, "up")
    status, said, error = hub.ctl("anchors", "accept", "demo")
    assert status == 0 and "nothing was changed" in said and "tried" not in said, error
    assert hub.ctl_json("anchors", "accept", "demo")["changed"] is False
    settle(hub)
    judge(hub)
    hub.start_daemon()
    assert hub.stop() == 0 and hub.said().count("another url") == 1


def problems_remedy(hub):
    return " | ".join(problem["remedy"] for problem in hub.status()["problems"])
