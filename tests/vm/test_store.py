"""What becomes of a card, with vitald as installed: it goes into another machine, is copied, put back from a backup,
damaged, filled up, and read by an older program. One guest, in the order of the file; each test leaves it with a daemon
that sends, and balanced books. What was said is at the receiver in the end, once, unaltered, whatever names it went by."""

import json
import re

import pytest

from installed import CONFIG, SYNCHRONISE, Installed, catalog, join_truths

IDS = catalog()
STATE = "/var/lib/vitald"
PAGE = 512  # of the store
CARD_MIB = 48
NEAR_US = 60_000_000

# Another machine-id for the service alone: journalctl looks for the machine's own.
MACHINE = ("[Service]", "BindReadOnlyPaths=/run/machine-id:/etc/machine-id")

# The daemon of a copied card, beside the other one: its own directories, its own straps under the same addresses.
CLONE = CONFIG.replace("type = simulate", "type = simulate\nsocket = /run/clone/straps") + """[daemon]
state_dir = /var/lib/clone
runtime_dir = /run/clone
gateway = guest
[control]
bus = none
"""
CLONE_UNIT = """[Service]
Type=notify
User=vitald
RuntimeDirectory=clone
RuntimeDirectoryPreserve=yes
ExecStart=/usr/local/sbin/vitald --config /etc/clone.conf
"""

# Leaves of the table of records, two in the middle: type 13, named by its tree of pages of type 5.
DAMAGE = """
import sqlite3, sys
path, size = sys.argv[1], int(sys.argv[2])
db = sqlite3.connect(path)
assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
assert db.execute("PRAGMA page_size").fetchone()[0] == size
root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'record'").fetchone()[0]
db.close()
data, leaves = open(path, "rb").read(), []
def visit(number):
    page = data[(number - 1) * size:number * size]
    if page[0] == 13:
        return leaves.append(number)
    for i in range(int.from_bytes(page[3:5], "big")):
        at = int.from_bytes(page[12 + 2 * i:14 + 2 * i], "big")
        visit(int.from_bytes(page[at:at + 4], "big"))
    visit(int.from_bytes(page[8:12], "big"))
visit(root)
print(*leaves[len(leaves) // 2:][:2])
"""


class Cards(Installed):
    others = ()  # truths of the straps of other hubs that sent to our receiver

    def said(self):
        join_truths(self.share / "all", *(self.share / truth for truth in ("truth", *self.others)))
        lines = (self.share / "all").read_text().splitlines(keepends=True)
        lines.sort(key=lambda line: json.loads(line).get("t_wall_us", 1 << 62))
        (self.share / "all").write_text("".join(lines))
        return "all"


def prepare(hub):
    hub.start()
    hub.install()
    hub.must(SYNCHRONISE)
    hub.serve()
    hub.must("systemctl start vitald")
    hub.start_straps("truth")
    hub.accepted(20)
    hub.lost = hub.doubled = 0  # by what a test did, for good


@pytest.fixture
def hub(guests):
    return guests(Cards, prepare)


def judge(hub, may_double=False):
    """Straps that stood still have clocks that did, too: their next frames seem older than they are."""
    total = hub.judge(lost=hub.lost, doubled=None if may_double else hub.doubled, near_us=NEAR_US)
    hub.doubled = total["duplicated"]
    return total


def outage(hub, commits=6):
    """Some records are on the card alone."""
    hub.receiver.down()
    hub.until("vitalctl status --json | grep -q '\"state\":\"down\"'", "the daemon notices")
    hub.committed(commits)


def renamed(hub, reason, config=""):
    """Until the hub goes by new names, for this reason; it is told in words, and in one line."""
    report = json.loads(hub.until(f"vitalctl {config} status --json 2>/dev/null | grep '\"reason\":\"{reason}\"'", reason))
    last = report["incarnations"][-1]
    assert last["reason"] == reason, report["incarnations"]
    return last


def test_another_machine(hub):
    """The card is put into another machine in an outage: new names, what waits moves over, and status says so."""
    outage(hub)
    hub.must("systemctl stop vitald && echo 0123456789abcdef0123456789abcdef >/run/machine-id")
    hub.drop_in("vitald.service", *MACHINE)
    hub.must("systemctl start vitald")
    renamed(hub, "machine")
    page = hub.sh("vitalctl status")[1]
    assert "machine" in page, page
    assert len(hub.journal(f"MESSAGE_ID={IDS['RENAMED']}").splitlines()) == 1, hub.journal()
    hub.receiver.up()
    hub.accepted(20)
    judge(hub)
    hub.settle()  # what is under way when the machine changes could come under both names
    hub.drop_in("vitald.service")
    hub.must("systemctl restart vitald")  # back again: that is another machine, too
    hub.tell("resume")
    hub.accepted(20)
    judge(hub)


def test_copied_card(hub):
    """Two hubs with one card's content, and straps of the same addresses. The server finds out, one takes new names, and
    nobody's records are taken for the other one's."""
    hub.must("systemctl stop vitald")
    hub.must(f"cp -a {STATE} /var/lib/clone && rm -f /var/lib/clone/owner")
    hub.write("/etc/clone.conf", CLONE)
    hub.write("/etc/systemd/system/clone.service", CLONE_UNIT)
    hub.must("systemctl daemon-reload && systemctl start vitald clone")
    hub.must("systemd-run -q --collect --unit=clone-straps vitald simulate --socket /run/clone/straps --truth /host/clone"
             " --seed 77")
    hub.accepted(80)
    names = [json.loads(hub.must(f"vitalctl {config} status --json 2>/dev/null || true"))["incarnations"][-1]
             for config in ("", "--config /etc/clone.conf")]
    assert "conflict" in [one["reason"] for one in names], names
    page = hub.sh("vitalctl status; vitalctl --config /etc/clone.conf status")[1]
    assert "cop" in page, page
    hub.must("vitald simulate --socket /run/clone/straps --tell pause && vitalctl --config /etc/clone.conf sync")
    hub.until("vitalctl --config /etc/clone.conf status --json | grep -q '\"waiting\":0,\"source\"'", "nothing waits there")
    assert json.loads(hub.must("vitalctl --config /etc/clone.conf audit --json"))["balanced"]
    hub.must("systemctl stop clone clone-straps")
    hub.others = ("clone",)  # from here on the receiver has theirs, too
    judge(hub)
    assert not [name for name in hub.receiver.counters if name in ("same_batch_other_body", "bad_request", "unknown_field")]


def test_backup(hub):
    """Made beside the daemon; put back later, beside a tail that is newer. Nothing is numbered twice; what the tail still
    has goes under the new names as well, as nobody knows any more who has it."""
    hub.must("install -d -o vitald -m 0700 /run/backup")
    assert "whole" in hub.must("vitalctl backup /run/backup/copy.db")
    hub.must("vitalctl check /run/backup/copy.db")
    hub.accepted(20)
    outage(hub)
    hub.receiver.up()
    hub.settle()  # what the backup lacks, and no server has, would be gone with the store
    hub.tell("resume")
    hub.must(f"systemctl stop vitald && rm -f {STATE}/store.db* &&"
             f" install -o vitald -g vitald -m 0600 /run/backup/copy.db {STATE}/store.db && systemctl start vitald")
    renamed(hub, "backup")
    page = hub.sh("vitalctl status")[1]
    assert "put back from a copy" in page and "new names" in page, page
    hub.accepted(20)
    judge(hub, may_double=True)


def damage(hub):
    """Two pages of the log are written over; the daemon goes on with that."""
    hub.must("systemctl stop vitald && rm -f /run/vitald/tail")
    hub.write("/run/damage.py", DAMAGE)
    for number in hub.must(f"python3 /run/damage.py {STATE}/store.db {PAGE}").split():
        hub.must(f"dd if=/dev/urandom of={STATE}/store.db bs={PAGE} seek={int(number) - 1} count=1 conv=notrunc status=none")
    hub.must("systemctl start vitald")


def salvaged(hub, since):
    """(brought over, on every server already, lost)"""
    said = hub.until(f"journalctl -b -q -o cat -u vitald --since @{since / 1e6:.3f} MESSAGE_ID={IDS['SALVAGED']} |"
                     " grep 'was read'", "it was salvaged")
    return map(int, re.search(r"(\d+) records were brought over, (\d+) are on every server already, (\d+) are lost",
                              said).groups())


def test_damage(hub):
    """It starts, hears, reads what can be read, and counts what cannot."""
    outage(hub, 20)
    since = hub.now_us()
    damage(hub)
    hub.receiver.up()  # it is met when it is read
    brought, _, lost = salvaged(hub, since)
    print(f"{brought} records were brought over, {lost} are lost")
    assert brought and lost
    page = hub.sh("vitalctl status")[1]
    assert "damaged-" in page, page
    hub.accepted(20)
    hub.lost += lost
    assert judge(hub, may_double=True)["gaps"].get("salvage")  # what was under way when it met the damage


def test_damage_that_nobody_meets(hub):
    """In what every server has, and nobody reads again. The timer's cleanup looks the store over; the daemon ends, and
    systemd starts one that sets it aside."""
    outage(hub, 20)
    hub.receiver.up()
    hub.settle()
    hub.tell("resume")
    damage(hub)
    hub.accepted(10)
    since, wall, before = hub.monotonic_us(), hub.now_us(), hub.pid()
    hub.fires("vitald-cleanup.timer", first="1s")
    assert hub.until_exit("vitald-cleanup.service", since) == 65
    assert "is damaged" in hub.journal(unit="vitald-cleanup")
    hub.restarted(before)
    _, had, lost = salvaged(hub, wall)
    assert had and not lost  # the pages were full of what the server has
    hub.as_installed("vitald-cleanup.timer")
    hub.accepted(20)
    judge(hub, may_double=True)


def test_downgrade(hub):
    """For an older program; and taken up by this one again, with all that waits."""
    outage(hub)
    rc, out = hub.sh("vitalctl store downgrade --to 1")
    assert rc and "systemctl stop vitald" in out, out
    hub.must("systemctl stop vitald")
    print(hub.must("vitalctl store downgrade --to 1"))
    hub.must(f"ls {STATE}/store-version-*.db")
    version = ("python3 -c 'import sqlite3; db = sqlite3.connect(\"/var/lib/vitald/store.db\");"
               " print(db.execute(\"PRAGMA user_version\").fetchone()[0])'")
    assert hub.must(version).strip() == "1"
    hub.receiver.up()
    hub.must("systemctl start vitald")
    hub.accepted(20)
    judge(hub)
    assert int(hub.must(version)) > 1
    hub.must(f"stat -c %U:%a {STATE}/store.db | grep -qx vitald:600")


def test_full_card(hub):
    """The state directory on a card of its own, that somebody else fills: ECG is refused, then all; it ends when there is
    room again, and the gaps at the receiver count what was refused."""
    hub.must(f"systemctl stop vitald && modprobe loop && truncate -s {CARD_MIB}M /card && mkfs.ext4 -q -m 0 /card &&"
             f" mkdir -p /run/new && mount -o loop /card /run/new && cp -a {STATE}/. /run/new && umount /run/new &&"
             f" mount -o loop /card {STATE} && chown vitald:vitald {STATE} && chmod 0700 {STATE} && systemctl start vitald")
    hub.until(f"test -e {STATE}/ballast", "it has made ballast")
    hub.accepted(10)
    filler = f"{STATE}/filler"

    def leave(kib):
        hub.must(f"rm -f {filler}; free=$(df --output=avail -k {STATE} | tail -1);"
                 f" fallocate -l $((free - {kib}))K {filler}")

    leave(900)
    hub.until("vitalctl status | grep -q 'new ECG is refused'", "ECG is refused")
    hub.accepted(5)
    leave(200)
    hub.until("vitalctl status | grep -q 'new samples are refused'", "all is refused")
    assert hub.sh("vitalctl status")[0] == 2
    assert hub.journal(f"MESSAGE_ID={IDS['STORE_FULL']}")
    hub.must(f"rm {filler}")
    hub.until("! vitalctl status | grep -q refused", "there is room")
    hub.accepted(20)
    hub.settle()
    shed = sum(stream["shed"] for stream in hub.status()["streams"])
    assert shed > 0
    hub.lost += shed
    assert judge(hub)["gaps"].get("store_full")
