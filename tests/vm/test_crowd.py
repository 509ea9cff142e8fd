"""More wearables than links, two of one name, and those that hide: who is heard, and how the others get their turn."""

import pytest

from lab import FIRST_S, Lab, strap

SLOTS = 5
CROWD = [strap(i) for i in range(8)]
NAMESAKES = {0: {"name": "Polar H10"}, 1: {"name": "Polar H10"}}


def prepare(hub):
    hub.setup()
    hub.start_radio(CROWD, slots=SLOTS, own=NAMESAKES)
    hub.configure(CROWD)


@pytest.fixture
def hub(guests):
    guest = guests(Lab, prepare)
    guest.mark = guest.now()
    return guest


@pytest.mark.short
def test_more_straps_than_links(hub):
    """Five of eight are heard, and stay; when one goes out of range another one has its place."""
    first = hub.until_linked(SLOTS)
    hub.heard([CROWD[i] for i in first], hub.now(), FIRST_S)
    assert hub.linked() == first, "a link was given up for another one"
    away = min(first)
    hub.radio("set", dev=away, key="adv", value=False)
    since = hub.now()
    hub.radio("link_loss", dev=away, after=0.5)
    hub.heard([CROWD[i] for i in first - {away}], since)
    (new,) = hub.until_linked(SLOTS) - first
    print(f"the next one was heard after {hub.heard([CROWD[new]], since):.1f} s")
    assert hub.linked() >= first - {away}
    for i in range(len(CROWD)):
        state = hub.device(CROWD[i])
        assert state["connected"] == (i in hub.linked()), state
        assert state["connected"] or state["state"] in ("waiting", "searching"), state
    hub.radio("set", dev=away, key="adv", value=True)
    hub.judge(expect={})  # a gap is told when it has ended, and this one goes on


def test_same_name(hub):
    """Two straps of one name are two wearables, each with its own streams."""
    hub.configure(CROWD[:4])
    hub.heard(CROWD[:2], hub.now(), FIRST_S)
    devices = [hub.device(one) for one in CROWD[:2]]
    assert [one["name"] for one in devices] == ["Polar H10"] * 2
    hub.judge()
    rows = hub.receiver.query("SELECT count(DISTINCT stream), count(DISTINCT device) FROM records WHERE device IN"
                              f" ('{CROWD[0].address}', '{CROWD[1].address}')")
    assert rows == [[4, 2]]
