"""Every way in which a server can answer, and that everything arrives in the end: only what is bad itself goes to
quarantine, and only that stream is held which is in conflict."""

import time

import pytest

from hub import until
from scenario import (
    SINK, accepted, happened, judge, problems, settle, sink, sink_state,
)

STRAPS = ("--straps", 3, "--ecg", 2, "--speed", 10)
FIRST = "c0:de:00:00:00:01"


def start(hub, *options):
    hub.start_straps(*(options or STRAPS))
    hub.start_daemon()
    accepted(hub, 5)


def finish(hub, **expected):
    settle(hub)
    return judge(hub, **expected)


def quarantined(hub):
    return hub.ctl_json("quarantine")


# Rules of misbehave.py that must delay and do nothing else. n is more than the immediate path has attempts, so that
# some of it goes by way of the queue.
PASSING = [
    {"do": "status", "code": 500}, {"do": "status", "code": 502}, {"do": "status", "code": 503},
    {"do": "status", "code": 408}, {"do": "status", "code": 425}, {"do": "status", "code": 429, "retry_after": 1, "n": 2},
    {"do": "status", "code": 409, "n": 2}, {"do": "status", "code": 202}, {"do": "status", "code": 204},
    {"do": "status", "code": 302}, {"do": "status", "code": 407}, {"do": "status", "code": 511},
    {"do": "status", "code": 200, "type": "text/html", "body": "<html>"},
    {"do": "captive"}, {"do": "empty"}, {"do": "stall", "n": 4}, {"do": "reset_request"},
    {"do": "lose_answer"}, {"do": "twice"}, {"do": "slow", "delay": 0.2}, {"do": "slow", "delay": 0.6, "n": 4},
    {"do": "drip", "delay": 0.2}, {"do": "no_contract"}, {"do": "other_contract"}, {"do": "wrong_batch"},
    {"do": "acked_outside"}, {"do": "sums"}, {"do": "truncated"}, {"do": "cut_json"}, {"do": "reset_answer"},
    {"do": "half_answer"}, {"do": "missing_after"},
    {"do": "status", "code": 500, "path": "streams", "n": 4}, {"do": "captive", "path": "streams", "n": 4},
    {"do": "cut_json", "path": "streams", "n": 4}, {"do": "stall", "path": "streams", "n": 2},
]


@pytest.mark.parametrize("rule", PASSING, ids=lambda r: "-".join(str(v) for k, v in r.items() if k in ("do", "code", "path")))
def test_passing(new_hub, rule):
    """Whatever it is: it passes, everything arrives, nothing is blamed on a record."""
    hub = new_hub({"sync": {"immediate_timeout": "300ms", "background_timeout": "400ms", "backoff_max": "150ms"}})
    rule = {"n": 5} | rule
    label = f"status_{rule['code']}" if rule["do"] == "status" else rule["do"]
    if "path" in rule:
        hub.receiver.misbehave(**rule)
        hub.start_straps(*STRAPS)
        hub.start_daemon()
    else:
        hub.start_straps(*STRAPS)
        hub.start_daemon()
        accepted(hub, 5)
        hub.receiver.misbehave(**rule)
    happened(hub, label, rule["n"])
    accepted(hub, 10)
    assert quarantined(hub) == []
    finish(hub)
    assert not {name for name in hub.receiver.counters if "conflict" in name}


def test_restart_and_flapping(new_hub):
    hub = new_hub()
    start(hub)
    for _ in range(4):
        hub.receiver.restart()
        accepted(hub, 5)
        hub.receiver.down()
        until(lambda: (hub.waiting() or 0) > 2, 10, "something waits")
        hub.receiver.up()
        accepted(hub, 5)
    finish(hub)


def attempts(hub):
    return hub.receiver.query("SELECT received_us, status FROM request WHERE path = '/v1/batches' ORDER BY received_us")


def test_retry_after(new_hub):
    """Not before the server wants it, however short our own backoff is."""
    hub = new_hub()
    start(hub)
    hub.receiver.misbehave("status", code=503, retry_after=2, n=1)
    happened(hub, "status_503", 1)
    sink_state(hub, "down", "retrying")
    accepted(hub, 10)
    rows = attempts(hub)
    at = next(i for i, row in enumerate(rows) if row[1] == 503)
    assert rows[at + 1][0] - rows[at][0] >= 1_900_000
    finish(hub)


def test_token_is_replaced(new_hub):
    """401, the file holds another token by now: it is read again, and nobody has to be asked."""
    hub = new_hub()
    start(hub)
    hub.token_file.write_text("fresh-token\n")
    hub.receiver.set_token("fresh-token")
    accepted(hub, 20)
    assert "is held" not in hub.said()
    finish(hub)


def hold(hub, words):
    """The sink is held, keeps everything, says so."""
    state = sink_state(hub, "held")
    assert words in problems(hub), problems(hub)
    before = hub.waiting()
    until(lambda: hub.waiting() > before, 10, "what is heard waits")
    assert hub.ctl("status")[0] == 1
    assert quarantined(hub) == []
    return state


def ends(hub):
    """`vitalctl sync` ends any hold at once."""
    status, said, error = hub.ctl("sync")
    assert status == 0, (said, error)
    sink_state(hub, "up")
    finish(hub)


def test_token_is_refused(new_hub):
    hub = new_hub()
    start(hub)
    hub.receiver.set_token("fresh-token")
    hold(hub, "401")
    hub.token_file.write_text("fresh-token\n")
    ends(hub)


def test_token_is_missing(new_hub):
    """It starts, collects, and names what is missing; the token comes, everything goes out."""
    hub = new_hub()
    hub.token_file.unlink()
    hub.start_straps(*STRAPS)
    hub.start_daemon()
    until(lambda: (hub.waiting() or 0) > 10, 10, "something waits")
    assert f"the token file of \"demo\" is not there: {hub.token_file}" in problems(hub)
    assert hub.receiver.totals["accepted"] == 0
    hub.token_file.write_text("demo-token\n")
    ends(hub)


@pytest.mark.parametrize("code", (403, 404, 405))
def test_account(new_hub, code):
    hub = new_hub()
    start(hub)
    hub.receiver.misbehave("status", code=code)
    hold(hub, str(code))
    asked = hub.receiver.counters[f"status_{code}"]
    accepted_ = hub.receiver.totals["accepted"]
    hub.receiver.clear()
    assert hub.receiver.totals["accepted"] == accepted_ and asked < 8, "it does not knock all the time"
    ends(hub)


def test_account_ends_by_itself(new_hub):
    """The owner is away: a probe finds the server well again."""
    hub = new_hub({"sync": {"probe_interval": "300ms"}})
    start(hub)
    hub.receiver.misbehave("status", code=403, n=3)
    happened(hub, "status_403", 3)
    accepted(hub, 20)
    finish(hub)


def test_everything_is_400(new_hub):
    """A broken server cannot quarantine everything: it is held."""
    hub = new_hub()
    start(hub)
    hub.receiver.misbehave("bad_batch")
    hold(hub, "refuses one record after another")
    hub.receiver.clear()
    ends(hub)


def the_fifth(entry, record):
    return entry.device == FIRST and entry.kind == "heart_rate" and record.seq & 0xFFFFFFF == 5


@pytest.mark.parametrize("rule", (
    {"do": "bad_batch"}, {"do": "bad_batch", "code": 422}, {"do": "bad_batch", "code": 500}, {"do": "reject"},
), ids=lambda r: f"{r['do']}-{r.get('code', '')}")
def test_one_bad_record(new_hub, rule):
    """Found by splitting, or named by the server: it alone is quarantined, the others go on."""
    hub = new_hub({"sync": {"linger": "200ms", "backoff_min": "20ms", "backoff_max": "100ms"}})
    hub.receiver.misbehave(**rule, match=the_fifth)
    hub.start_straps(*STRAPS)
    hub.start_daemon()
    rows = until(lambda: quarantined(hub), 30, "the bad one is quarantined")
    accepted(hub, 20)
    assert len(rows) == 1
    assert (rows[0]["device"], rows[0]["data_type"], rows[0]["seq"] & 0xFFFFFFF) == (FIRST, "heart_rate", 5)
    assert rows[0]["code"] == ("value_out_of_range" if rule["do"] == "reject" else f"http_{rule.get('code', 400)}")
    assert any(event["type"] == "quarantined" for event in hub.ctl_json("events"))
    result = finish(hub, quarantined=1)
    assert result["total"]["quarantined"] == 1


def test_too_large(new_hub):
    """413: halves until it fits, and remembers."""
    hub = new_hub()
    start(hub)
    hub.receiver.down()
    until(lambda: (hub.waiting() or 0) > 60, 20, "something waits")
    hub.receiver.misbehave("too_large", limit_json=6000)
    hub.receiver.up()
    happened(hub, "too_large", 1)
    accepted(hub, 80)
    refused = hub.receiver.counters["too_large"]
    accepted(hub, 30)
    assert hub.receiver.counters["too_large"] - refused <= 2, "it does not remember"
    assert quarantined(hub) == []
    finish(hub)


def test_no_gzip(new_hub):
    """415: goes on without."""
    hub = new_hub()
    hub.receiver.misbehave("no_gzip")
    hub.start_straps(*STRAPS)
    hub.start_daemon()
    accepted(hub, 30)
    assert hub.receiver.counters["no_gzip"] <= 2
    assert "is held" not in hub.said()
    finish(hub)


def test_nothing_suits_it(new_hub):
    """415 with gzip and without: held."""
    hub = new_hub()
    start(hub)
    hub.receiver.misbehave("status", code=415)
    hold(hub, "415")
    hub.receiver.clear()
    ends(hub)


def held_streams(hub):
    return [(a["device"], a["data_type"]) for a in hub.ctl_json("anchors") if a["held"]]


def test_conflict(new_hub):
    """The stream is held, nothing is quarantined, the others go on."""
    hub = new_hub()
    start(hub)

    def match(entry, record):
        return entry.device == FIRST and entry.kind == "ecg"

    hub.receiver.misbehave("conflict", match=match, n=1)
    until(lambda: held_streams(hub) == [(FIRST, "ecg")], 15, "that stream is held")
    took = hub.receiver.query("SELECT count(*) FROM records WHERE device = ? AND kind = 'ecg'", (FIRST,))
    accepted(hub, 40)
    assert took == hub.receiver.query("SELECT count(*) FROM records WHERE device = ? AND kind = 'ecg'", (FIRST,))
    assert "holds other content for 1 of our streams" in problems(hub)
    assert quarantined(hub) == [] and sink(hub)["state"] == "up"
    hub.stop_straps()
    until(lambda: hub.waiting() == sum(a["waiting"] for a in hub.ctl_json("anchors") if a["held"]), 20,
          "all the others are confirmed")
    assert hub.stop() == 0
    result = judge(hub, two_contents=1, waiting=None)
    assert result["total"]["waiting"] == result["streams"][f"{FIRST} ecg"]["waiting"] > 0


def test_not_required(new_hub):
    """Two servers: the one that is away does not keep the other waiting."""
    hub = new_hub({SINK: {"required": "yes"}, 'sink "live"': {"url": "http://127.0.0.1:9", "required": "no"}})
    start(hub)
    accepted(hub, 30)
    states = {s["name"]: s["state"] for s in hub.status()["sinks"]}
    assert states["demo"] == "up" and states["live"] in ("down", "retrying")
    hub.stop_straps()
    until(lambda: next(s for s in hub.status()["sinks"] if s["name"] == "demo")["waiting"] == 0, 20, "demo has all")
    assert hub.stop() == 0
    audit = hub.audit()
    assert audit["balanced"]
    result = hub.balance()
    assert result["ok"], result["total"]


def test_what_is_new_goes_first(new_hub):
    """While a backlog drains slowly, new records are not behind it."""
    hub = new_hub({SINK: {"max_body": "4K"}})
    start(hub)
    hub.receiver.down()
    until(lambda: (hub.waiting() or 0) > 150, 30, "a backlog")
    hub.receiver.misbehave("slow", delay=0.1)
    hub.receiver.up()
    back_us = time.time_ns() // 1000
    fresh = "SELECT count(*) FROM records WHERE t_us > ? AND kind = 'heart_rate'"
    until(lambda: hub.receiver.query(fresh, (back_us,))[0][0] > 0, 10, "something new arrived")
    assert hub.waiting() > 20, "the backlog was gone already: this shows nothing"
    hub.receiver.clear()
    finish(hub)
