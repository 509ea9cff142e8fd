"""A strap that records by itself while it is out of reach: the heart rate of the gap is at the receiver afterwards,
exact and once, by bluetoothd and without it."""

import dataclasses
import json

import pytest

from installed import b
from lab import FIRST_S, IDS, Lab, Strap, strap

AWAY_S = 60
EDGE_S = 2.5  # at both ends of a gap: what is told by the live values, and how well a beginning is known
NEAR_S = 1.5  # of the time of a beat: a connection event, and the strap's own answer
DROP_IN = "/etc/systemd/system/vitald.service.d/l2cap.conf"


class Recording(Strap):
    @property
    def section(self):
        return super().section + "backfill = yes\n"


STRAP = Recording(**{field.name: getattr(strap(0), field.name) for field in dataclasses.fields(Strap)})


def prepare(hub):
    hub.setup()
    hub.start_radio([STRAP], services=["heart_rate", "battery", "information", "pmd", "memory"], mtu=232)


@pytest.fixture
def hub(guests):
    Lab.needs("memory")
    guest = guests(Lab, prepare)
    guest.mark = guest.now()
    return guest


def recording_since(hub, since):
    """Until the strap has begun another recording."""
    hub.until(f"tail -n 2000 /run/radio.log | python3 -c 'import json, sys; sys.exit(not any("
              f"x[\"ev\"] == \"recording\" and x[\"on\"] and x[\"t\"] > {since} for x in map(json.loads, sys.stdin)))'",
              "the strap records", 60)


def state_of_memory(hub):
    devices = json.loads(hub.must("vitalctl --json devices"))
    return next(one["memory"] for one in devices if one["address"] == STRAP.address)


def stay_away(hub):
    """Out of reach for a minute -> since when."""
    hub.radio("set", dev=0, key="adv", value=False)
    since = hub.now()
    hub.radio("link_loss", dev=0, after=0.5)
    hub.passes(since + AWAY_S)
    hub.radio("set", dev=0, key="adv", value=True)
    return since


def filled(hub):
    """[(extent of the gap, announced, records in it)] of all that came out of the memory."""
    found, rest = [], 0
    for t_us, type_, payload in b.open_db(hub.share / "receiver.db").execute(
            "SELECT t_us, type, payload FROM records WHERE device = ? AND kind = 'heart_rate' ORDER BY seq",
            (STRAP.address,)):
        what = b.contract.unpack(type_, payload)
        if type_ == "gap" and what["reason"] == "backfilled":
            assert rest == 0
            found.append(((what["from_us"], what["to_us"]), what["n"], []))
            rest = what["n"]
        elif rest:
            found[-1][2].append((t_us, what))
            rest -= 1
    assert rest == 0
    return found


def judge(hub, gap, records):
    """The beats of the strap, all that are within the gap, each once, when they were."""
    beats = [line for line in hub.log() if line["ev"] == "beat"]
    truth = [((beat["ms"] * 1024 + 500) // 1000, hub.us(beat["t"])) for beat in beats]
    got = [rr for _, record in records for rr in record["rr_1024"]]
    places = [at for at in range(len(truth)) if [rr for rr, _ in truth[at:at + len(got)]] == got]
    assert len(places) == 1, (got, truth)
    at = places[0]
    told = truth[at:at + len(got)]
    inside = [beat for beat in truth if gap[0] + EDGE_S * 1e6 < beat[1] < gap[1] - EDGE_S * 1e6]
    assert inside and set(inside) <= set(told), (gap, inside, told)
    worst = 0
    for t_us, record in records:
        at += len(record["rr_1024"])
        worst = max(worst, abs(truth[at - 1][1] - t_us))
        mean_ms = sum(rr for rr in record["rr_1024"]) / len(record["rr_1024"]) * 1000 / 1024
        assert abs(record["bpm"] - 60000 / mean_ms) <= 1, record
    assert worst <= NEAR_S * 1e6, worst
    times = [t_us for t_us, _ in records]
    assert times == sorted(set(times))
    print(f"{len(records)} records with {len(got)} beats of a gap of {(gap[1] - gap[0]) / 1e6:.1f} s;"
          f" their times are right within {worst / 1000:.0f} ms")


@pytest.mark.parametrize("type_", ["bluez", "l2cap"])
def test_a_minute_away(hub, type_):
    """Fetched while the streams run, removed when it was kept, and the ledger knows of it."""
    if type_ == "l2cap":
        hub.must(f"install -D -m 0644 /usr/local/share/vitald/l2cap.conf {DROP_IN} && systemctl daemon-reload &&"
                 " systemctl mask --runtime --now bluetooth")
    began = hub.now()
    hub.configure([STRAP], type_=type_, restart=type_ == "l2cap")
    hub.heard([STRAP], began, FIRST_S)
    recording_since(hub, began)
    hub.until("vitalctl devices | grep -q 'its memory: recording'", "the owner is told")
    known = len(filled(hub)) if (hub.share / "receiver.db").exists() else 0
    since = stay_away(hub)
    hub.heard([STRAP], since + AWAY_S)
    hub.until_line(IDS["BACKFILLED"], since)
    recording_since(hub, since + AWAY_S)
    hub.said_until(hub.now())
    assert hub.audit()["balanced"]
    assert state_of_memory(hub) == "recording"
    hub.snapshot()
    new = filled(hub)[known:]
    gap, announced, records = max(new, key=lambda one: one[1])
    assert gap[1] - gap[0] > AWAY_S * 1e6 and announced == len(records) > 0.7 * AWAY_S, new
    judge(hub, gap, records)
    removed = [line for line in hub.log() if line["ev"] == "removed" and line["t"] > since]
    assert len(removed) == 1 and removed[0]["there"]
    # The link was not dropped for it.
    assert len([line for line in hub.log() if line["ev"] == "disconnected" and line["t"] > since]) == 1
