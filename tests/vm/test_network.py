"""A hub with a network that can be unplugged: vitald and its timers live in a network namespace with one interface, and
the receiver, over TLS, at the other end of its cable. What happens when the cable is in again happens because the kernel
told it: the receiver has asked not to be bothered for ten minutes."""

import pytest

from installed import ETC, SYNCHRONISE, TIMERS, Installed, b, catalog

IDS = catalog()
HUB, SERVER, PORT = "10.1.1.1", "10.1.1.2", 8443
CABLE = "ip -n hub link set uplink"

NETWORK = f"""modprobe veth && ip netns add hub && ip link add downlink type veth peer name uplink netns hub &&
ip address add {SERVER}/24 dev downlink && ip link set downlink up && ip -n hub link set lo up &&
ip -n hub address add {HUB}/24 dev uplink && ip -n hub link set uplink up && ip -n hub route add default via {SERVER}"""

CERTIFICATE = f"""openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=receiver
-addext subjectAltName=IP:{SERVER} -keyout /run/key.pem -out {ETC}/ca.pem && chmod 0644 {ETC}/ca.pem""".replace("\n", " ")

CONFIG = f"""[source]
type = simulate
[sink "main"]
url = https://{SERVER}:{PORT}
token_file = {ETC}/token
ca_file = {ETC}/ca.pem
"""

LATER_S = 600
AT_ONCE_S = 25  # hubs of one street draw a lot within ten seconds; the rest is an emulated machine


def prepare(hub):
    hub.start()
    hub.install()
    hub.must(SYNCHRONISE)
    hub.must(NETWORK)
    hub.must(CERTIFICATE)
    hub.drop_in("receiver.service", "[Service]", "ExecStart=", "ExecStart=python3 /opt/receiver/receiver.py --db"
                f" /var/lib/receiver/db --port {PORT} --port-file /run/receiver.port --token right --control --host {SERVER}"
                f" --cert {ETC}/ca.pem --key /run/key.pem")
    for unit in ("vitald.service", *map(hub.service, TIMERS)):
        hub.drop_in(unit, "[Service]", "NetworkNamespacePath=/run/netns/hub")
    hub.serve(CONFIG)
    hub.must(f"systemctl enable --now vitald {' '.join(TIMERS)}")
    hub.start_straps("truth")
    hub.accepted(20)


@pytest.fixture
def hub(guests):
    return guests(Installed, prepare)


def unplug(hub):
    """Nothing is due for long, something waits on the card, and the cable is out."""
    hub.receiver.misbehave("status", code=503, retry_after=LATER_S, n=1)
    hub.until("vitalctl status --json | grep -q '\"state\":\"down\"'", "the receiver is not to be asked")
    since = hub.now_us()
    hub.must(f"{CABLE} down")
    hub.until(f"journalctl -b -q -u vitald --since @{since / 1e6:.3f} MESSAGE_ID={IDS['NETWORK']} | grep -q 'no network'",
              "it is told")
    page = hub.sh("vitalctl status")[1]
    assert "network" in page, page
    hub.committed(2)


def plug(hub):
    hub.must(f"{CABLE} up && ip -n hub route add default via {SERVER}")


def test_cable(hub):
    """It is pulled and plugged in: what waited is there at once, and the journal has a line of each."""
    unplug(hub)
    has, since, plugged = hub.receiver.totals["accepted"], hub.monotonic_us(), hub.now_us()
    plug(hub)
    assert hub.receiver.wait(timeout=60, accepted=has + 1), hub.journal()
    took = (hub.monotonic_us() - since) / 1e6
    print(f"{took:.1f} s after the cable was plugged in")
    assert took < AT_ONCE_S
    hub.judge()
    lines = hub.journal(f"MESSAGE_ID={IDS['NETWORK']}", f"--since @{plugged / 1e6:.3f}").splitlines()
    assert len(lines) == 1 and "network again" in lines[0], lines


def test_offline(hub):
    """Without a network the timer's process has nothing to do: it ends at once, in good order, and no retry is counted."""
    unplug(hub)
    hub.must("systemctl stop vitald")
    since, before = hub.monotonic_us(), b.count_of(hub.audit(), "waiting")
    assert before > 0
    hub.must("systemctl start vitald-sync")
    assert hub.until_exit("vitald-sync.service", since) == 0, hub.journal(unit="vitald-sync")
    assert hub.monotonic_us() - since < 10_000_000, hub.journal(unit="vitald-sync")
    assert b.count_of(hub.audit(), "waiting") == before
    plug(hub)
    since = hub.monotonic_us()
    hub.must("systemctl start vitald-sync")
    assert hub.until_exit("vitald-sync.service", since) == 0, hub.journal(unit="vitald-sync")
    assert b.count_of(hub.audit(), "waiting") == 0
    hub.must("systemctl start vitald")
    hub.accepted(10)
    hub.judge()
