"""[features]: each can be off, and all together, without losing a record. What is off is said in status, with its
consequence, and what waits is committed within T like everything else."""

import pytest

from hub import until
from scenario import accepted, fill_while_down, happened, judge, problems, settle, sink_state

# Long enough that it cannot be what sent something.
RARELY = {"background_interval": "1h", "backoff_min": "50ms", "backoff_max": "400ms"}


def with_features(new_hub, **off):
    return new_hub({"features": {name: "no" for name in off}, "sync": RARELY})


def accepted_now(hub):
    return hub.receiver.state()["totals"]["accepted"]


def sync(hub):
    """Sends what waits now, by hand."""
    assert hub.ctl("sync")[0] == 0


def end(hub):
    """`settle` waits for the uploader, which here waits for us."""
    hub.stop_straps()
    until(lambda: not hub.status()["devices"] or not any(d["connected"] for d in hub.status()["devices"]), 20, "straps are gone")
    sync(hub)
    assert hub.wait_empty(30)
    assert hub.stop() == 0
    judge(hub)


def test_without_immediate_nothing_goes_by_itself(new_hub):
    hub = with_features(new_hub, immediate=True)
    hub.start_straps("--straps", 2, "--ecg", 1, "--speed", 10)
    hub.start_daemon()
    until(lambda: (hub.waiting() or 0) >= 60, 30, "60 records wait")
    assert accepted_now(hub) < 10  # those of the first moment: the clock was right, which is a reason to look
    report = hub.status()
    assert report["summary"]["state"] == "healthy", report
    (told,) = [p for p in report["problems"] if "at once" in p["what"]]
    assert told["consequence"] == "new records wait for the next background run, at most 1 h 0 min"
    assert "vitalctl sync" in told["remedy"]
    before = accepted_now(hub)
    sync(hub)  # one look: what comes afterwards waits for the next
    assert hub.receiver.wait(20, accepted=before + 60), hub.receiver.state()
    seen = accepted_now(hub)
    waiting = hub.waiting()
    until(lambda: hub.waiting() >= waiting + 30, 30, "more waits")
    assert accepted_now(hub) - seen <= waiting
    end(hub)


def test_without_immediate_a_power_cut_takes_no_more(new_hub):
    """What waits is on the disk within T, although no server was asked."""
    hub = with_features(new_hub, immediate=True)
    hub.configure({"sync": {"durability_window": "100ms"}})
    hub.start_straps("--straps", 1, "--speed", 20)
    hub.start_daemon()
    until(lambda: (hub.waiting() or 0) >= 60, 30, "60 records wait")
    hub.kill()
    (hub.runtime_dir / "tail").unlink()  # as the power takes it
    assert hub.waiting() >= 50
    hub.stop_straps()


def test_without_immediate_a_start_is_a_background_run(new_hub):
    hub = with_features(new_hub, immediate=True)
    hub.start_straps("--straps", 1, "--speed", 20)
    hub.start_daemon()
    until(lambda: (hub.waiting() or 0) >= 60, 30, "60 records wait")
    hub.kill()
    seen = accepted_now(hub)
    hub.start_daemon()
    assert hub.receiver.wait(20, accepted=seen + 60), hub.receiver.state()
    end(hub)


def test_without_the_queue_what_failed_waits(new_hub):
    hub = with_features(new_hub, queue=True)
    fill_while_down(hub, 150)
    sink_state(hub, "down")
    told = [p["consequence"] for p in hub.status()["problems"] if "trying again" in p["what"]]
    assert told == ["what a server did not take waits for the next background run, at most 1 h 0 min"]
    hub.receiver.up()
    sink_state(hub, "up")  # what is new found out
    accepted(hub, 40)
    assert hub.waiting() >= 75  # and what failed still waits; a trial may have carried some of it
    sync(hub)
    until(lambda: hub.waiting() < 20, 20, "the rows were sent")
    end(hub)


def test_without_both_only_the_background_sends(new_hub):
    hub = with_features(new_hub, immediate=True, queue=True)
    hub.start_straps("--straps", 2, "--speed", 20)
    hub.start_daemon()
    until(lambda: (hub.waiting() or 0) >= 40, 30, "40 records wait")
    seen = accepted_now(hub)  # the clock was right, which is a reason to look
    hub.receiver.misbehave("status", code=503)
    sync(hub)
    sink_state(hub, "down")
    tries, waiting = hub.receiver.counters["status_503"], hub.waiting()
    until(lambda: hub.waiting() >= waiting + 40, 30, "time passes: many times the backoff")
    assert hub.receiver.counters["status_503"] == tries and accepted_now(hub) == seen
    hub.receiver.clear()
    sync(hub)
    assert hub.receiver.wait(20, accepted=seen + waiting), hub.receiver.state()
    end(hub)


def test_the_interval_is_the_net_below(new_hub):
    """Nothing asks, no timer fires: the daemon's own clock does it."""
    hub = with_features(new_hub, immediate=True, queue=True)
    hub.configure({"sync": {"background_interval": "1s"}})
    hub.start_straps("--straps", 2, "--speed", 10)
    hub.start_daemon()
    accepted(hub, 60, timeout=40)
    settle(hub)
    judge(hub)


def test_the_timer_is_the_net_below(new_hub):
    hub = with_features(new_hub, immediate=True, queue=True)
    hub.start_straps("--straps", 2, "--speed", 20)
    hub.start_daemon()
    until(lambda: (hub.waiting() or 0) >= 40, 30, "40 records wait")
    status, said = hub.drain()
    assert status == 0 and "still wait" in said, said
    assert accepted_now(hub) >= 40
    end(hub)


ALL = ("immediate", "queue", "reconcile", "timers")


@pytest.mark.parametrize("on", [(), *((name,) for name in ALL)], ids=lambda on: "-".join(on) or "none")
def test_no_combination_loses_a_record(new_hub, on):
    """All off but one, through an outage, a kill and answers that get lost; then `vitalctl sync`."""
    hub = with_features(new_hub, **{name: True for name in ALL if name not in on})
    fill_while_down(hub, 40)
    hub.kill()
    hub.start_daemon()
    hub.receiver.up()
    hub.receiver.misbehave("lose_answer", n=1)
    sync(hub)
    happened(hub, "lose_answer", 1)
    until(lambda: (hub.waiting() or 0) >= 20 or accepted_now(hub) >= 60, 30, "more was heard")
    assert ("background is switched off" in problems(hub)) == ("timers" not in on)
    hub.kill()
    hub.start_daemon()
    end(hub)
