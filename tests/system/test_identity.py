"""Two hubs, or two times of one, that use the same names: each case is recognised, told in `status` and in the journal,
and at its end everything that was emitted is at the server as often as it must be, with its content and times.

A hub is what it has: its state directory. So a cloned card is a copy of that directory under another runtime
directory, a backup that is put back is the directory of an hour ago, and another machine is another hash in `meta`."""

import os
import shutil
import sqlite3

import balance as b
import pytest
from hub import until
from scenario import SINK, accepted, judge, problems, settle, sink, sink_state

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
