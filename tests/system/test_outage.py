"""The server is away for three days, as much as a strap says in that time, and then it is back. Everything arrives, in
order and unaltered, what is new first, then by priority, and nobody is stormed meanwhile or after."""

import os
import time

import balance
import pytest
from hub import until
from scenario import sink_state

DAYS_S = 72 * 3600
SPEED = 10_000  # the fastest that straps go: three days in 26 s
BACKOFF_S = 1.0
TRIALS = 5  # until what waited has become rows
RSS_KIB = 40 * 1024 * (4 if "sanitize" in os.environ.get("VITALD_BUILD", "") else 1)


class Straps:
    """One after the other on the same socket, the same strap; each with a truth of its own."""

    def __init__(self, hub):
        self.hub, self.truths = hub, []

    def start(self, *options):
        self.hub.truth = self.hub.dir / f"truth-{len(self.truths)}.jsonl"
        self.truths.append(self.hub.truth)
        self.hub.start_straps("--straps", 1, *options)

    def said(self, kind):
        """The contents of what the daemon was handed, in order."""
        return [one.content for truth in self.truths for one in balance.read_truth(truth, {kind})[0] if one.expected]


def arrived(hub, kind):
    """[(seq, request, content)] in the order of seq."""
    db = balance.open_db(hub.db)
    rows = db.execute("SELECT seq, request, type, payload FROM records WHERE kind = ? AND type != 'gap' ORDER BY seq", (kind,))
    found = [(seq, request, balance._content(type_, payload)) for seq, request, type_, payload in rows]
    db.close()
    return found


def hear_three_days(hub, straps):
    """-> how many records wait."""
    straps.start("--ecg", 0, "--speed", SPEED, "--duration", DAYS_S)
    hub.start_daemon()
    hub.wait_straps(90)
    straps.start("--ecg", 1, "--speed", 600, "--duration", 3600)  # an hour of ECG; three days are 33 million samples
    hub.wait_straps(30)
    streams = {s["data_type"]: s["records"] for s in hub.status()["streams"]}
    # The strap does not wait for the daemon to start, and three hours of it are a second of ours.
    assert streams["heart_rate"] > 0.75 * DAYS_S and streams["ecg"] > 2000, streams
    return hub.waiting()


def judge_order(heart_rate, ecg, live):
    """What is new (from `live` on) does not wait for the backlog, hearts go before curves, the oldest first; but for what
    had been heard in the minute before the server was back (in fast motion much), which goes before all but the trials."""
    requests = [request for seq, request, _ in heart_rate if seq < live]
    falls = [i for i in range(1, len(requests)) if requests[i] < requests[i - 1]]
    assert len(falls) <= 1, "out of order, and not the newest"
    backlog, newest = (requests[:falls[0]], requests[falls[0]:]) if falls else (requests, [])
    assert len({request for request in backlog if newest and request < newest[-1]}) <= TRIALS, "the newest waited"
    fresh = [request for seq, request, _ in heart_rate if seq >= live]
    curves = [request for _, request, _ in ecg]
    assert fresh[0] < backlog[len(backlog) // 2], "new heart rate waited for the backlog"
    assert sum(request < backlog[-1] for request in fresh) > 3
    assert curves[0] >= max(backlog), "ECG went before heart rate"
    assert curves == sorted(curves)


@pytest.mark.long
def test_three_days(new_hub):
    hub = new_hub({"sync": {"backoff_min": "1s", "backoff_max": "4s"}}, process=True)
    straps = Straps(hub)
    hub.receiver.misbehave("status", code=503, path="any")
    began = time.monotonic()
    waiting = hear_three_days(hub, straps)
    assert hub.receiver.totals["accepted"] == 0
    # No storm: the attempts of layer 1, then one at the end of each pause, which is BACKOFF_S long at least.
    tried, away = hub.receiver.counters["status_503"], time.monotonic() - began
    assert 5 <= tried <= 2 * 3 + away / BACKOFF_S, (tried, away)
    assert len(hub.ctl_json("queue")) <= 8, "an outage costs a few rows"
    straps.start("--ecg", 0, "--speed", 5)  # the strap goes on
    until(lambda: hub.waiting() > waiting, 20, "it is heard again")
    hub.receiver.misbehave("slow", delay=0.02)
    hub.receiver.clear(1)
    sink_state(hub, "up")
    live = 1 + max(s["last_seq"] for s in hub.status()["streams"] if s["data_type"] == "heart_rate")
    assert hub.wait_empty(180, tick=1.0)
    hub.stop_straps()
    assert hub.wait_empty(60)
    assert hub.usage()["rss_kib"] < RSS_KIB, hub.usage()
    assert hub.stop() == 0
    audit = hub.audit()
    assert audit["balanced"], audit
    totals = hub.receiver.totals
    assert totals["accepted"] >= waiting and totals["duplicate"] == 0, totals
    assert totals["receipts"] <= totals["accepted"] / 100, totals  # full requests, not a flood of small ones
    heart_rate, ecg = arrived(hub, "heart_rate"), arrived(hub, "ecg")
    assert [content for _, _, content in heart_rate] == straps.said("heart_rate")
    assert [content for _, _, content in ecg] == straps.said("ecg")
    judge_order(heart_rate, ecg, live)
