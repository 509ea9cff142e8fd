"""kill -9 at random moments under load, with the server up, flapping and down in thirds; and the same with
the tail wiped between kill and start, as a power cut does.

VITALD_LONG=1: 200 and 80 kills instead of 20 and 8. VITALD_SEED=n: the same moments again.
"""

import os
import random
import time

import pytest

from hub import until
from scenario import LONG, accepted, judge, missing, settle, uncovered

import balance as b

T_US = 300_000
LATE_US = 1_000_000  # T, and one commit on a machine that has other things to do


@pytest.fixture
def rng():
    seed = int(os.environ.get("VITALD_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"VITALD_SEED={seed}")
    return random.Random(seed)


class Server:
    """Up, flapping, or down, for the n-th third of the lives."""

    def __init__(self, hub, rng):
        self.hub, self.rng = hub, rng
        self.mode = "up"

    def enter(self, mode):
        self.mode = mode
        if mode == "down":
            self.hub.receiver.down()
        else:
            self.hub.receiver.up()

    def flap(self):
        if self.mode == "flapping":
            self.hub.receiver.down() if self.hub.receiver.is_up else self.hub.receiver.up()


def random_moment(hub, rng, server):
    """Somewhere in the life of a daemon: the first moments as likely as later ones."""
    steps = rng.choice((0, 0, 1, 2, 3))
    for _ in range(steps):
        size = hub.truth.stat().st_size + rng.randrange(500, 12_000)
        until(lambda: hub.truth.stat().st_size >= size, 10, "the straps go on")
        server.flap()
    time.sleep(rng.random() * 0.03)  # waits for nothing: this is the dice


def lives(hub, rng, n, between):
    """n lives that end with kill -9; the ledger must balance after each, dead and alive."""
    server = Server(hub, rng)
    for i in range(n):
        server.enter(("up", "flapping", "down")[3 * i // n])
        hub.start_daemon()
        if i:
            audit = hub.audit()
            assert audit["balanced"], audit
        random_moment(hub, rng, server)
        hub.kill()
        audit = hub.audit()
        assert audit["balanced"], audit
        between()
    server.enter("up")
    hub.start_daemon()
    accepted(hub, 40)


def conflicts(hub):
    counters = hub.receiver.counters
    return {name: counters[name] for name in counters if "conflict" in name}


def in_hand_is_told(result, kills):
    """One at most for each characteristic and kill may have been in the hand."""
    for name, one in result["streams"].items():
        assert one["in_hand"] <= kills, (name, one)


def test_kill(new_hub, rng):
    hub = new_hub()
    hub.start_straps("--straps", 4, "--ecg", 2, "--speed", 10, "--seed", rng.randrange(1, 1000))
    kills = 200 if LONG else 20
    lives(hub, rng, kills, between=lambda: None)
    settle(hub)
    result = judge(hub)
    assert result["total"]["holes"] == 0
    assert not conflicts(hub)
    in_hand_is_told(result, kills)
    bare = uncovered(hub, {"daemon_down"}, missing(result))
    assert not bare, [vars(one) | {"content": None} for one in bare[:5]]
    assert set(result["total"]["gaps"]) == {"daemon_down"}


def wipe(hub):
    """What a power cut leaves of a tmpfs."""
    for name in ("tail", "events", "control"):
        (hub.runtime_dir / name).unlink(missing_ok=True)


def test_power_cut(new_hub, rng):
    hub = new_hub({"sync": {"durability_window": f"{T_US // 1000}ms"}})
    hub.start_straps("--straps", 4, "--ecg", 2, "--speed", 10, "--seed", rng.randrange(1, 1000))
    lives(hub, rng, 80 if LONG else 8, between=lambda: wipe(hub))
    settle(hub)
    audit = hub.audit()
    assert audit["balanced"], audit
    result = hub.balance()
    total = result["total"]
    words = b.table(result)
    assert not total["altered"] and not total["two_contents"] and not total["invented"], words
    assert not total["duplicated"] and not total["holes"], words
    assert not conflicts(hub)
    sent = {one.n: one for one in b.read_truth(hub.truth)[0]}
    for n in missing(result):
        assert any(0 <= kill - sent[n].t_us <= T_US + LATE_US for kill in hub.kills), vars(sent[n])
    bare = uncovered(hub, {"power_cut", "daemon_down"}, missing(result))
    assert not bare, [vars(one) | {"content": None} for one in bare[:5]]
    assert total["gaps"].get("power_cut", 0) > 0


def test_power_cut_that_takes_all_there_was(new_hub):
    """Everything was confirmed, nothing was on the disk: the next start knows the streams by name only, and still
    tells of the gap."""
    hub = new_hub()
    hub.start_straps("--straps", 2, "--ecg", 1, "--speed", 10)
    hub.start_daemon()
    accepted(hub, 20)
    until(lambda: hub.waiting() == 0, 10, "all is confirmed")
    hub.kill()
    wipe(hub)
    hub.start_daemon()
    accepted(hub, 20)
    settle(hub)
    assert hub.balance()["total"]["gaps"] == {"power_cut": 3}
    assert "later than durability_window" not in hub.said(), "a dead daemon is no slow card"
    assert not uncovered(hub, {"power_cut"})
