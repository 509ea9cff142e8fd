"""The store in trouble, with real processes: a card that somebody else filled, damage, backups, a way back."""

import contextlib
import os
import re
import sqlite3
import subprocess
import time

import pytest

import balance as b
from hub import until
from scenario import accepted, fill_while_down, gaps, judge, problems, settle

STRAPS = ("--straps", 3, "--ecg", 2, "--speed", 10)


# -- the card

@pytest.fixture
def card(new_card):
    """A card of 32 MiB: 5 % of it are 1.6 MiB."""
    return new_card("32m")


def free(card):
    v = os.statvfs(card)
    return v.f_bavail * v.f_frsize


def leave_free(card, left):
    """Somebody else takes all but so many bytes."""
    with open(card / "filler", "wb") as file:
        file.truncate(0)
        if free(card) > left:
            os.posix_fallocate(file.fileno(), 0, free(card) - left)


def on_card(new_hub, card, **sync):
    hub = new_hub({"daemon": {"state_dir": card}, "sync": {"durability_window": "200ms", **sync}})
    hub.state_dir = card
    hub.start_straps(*STRAPS)
    hub.start_daemon()
    until(lambda: (card / "ballast").exists(), 20, "ballast")
    accepted(hub, 10)
    return hub


def test_the_reserve_is_left_to_others(new_hub, card):
    """Below half of it ECG is refused, below a quarter everything; both end when there is room, gaps count what
    was refused, and status says why."""
    hub = on_card(new_hub, card, free_reserve="256M")
    leave_free(card, 600_000)
    until(lambda: "new ECG is refused" in str(hub.status()["problems"]), 20, "ECG is refused")
    shed = until(lambda: [s for s in hub.status()["streams"] if s["shed"]], 20, "something was shed")
    assert {s["data_type"] for s in shed} == {"ecg"}
    accepted(hub, 10)  # heart rate goes on
    leave_free(card, 200_000)
    until(lambda: "new samples are refused" in str(hub.status()["problems"]), 20, "all is refused")
    until(lambda: all(s["shed"] > 5 for s in hub.status()["streams"]), 20, "all was shed")
    assert hub.ctl("status")[0] == 2
    (card / "filler").unlink()
    until(lambda: "should stay free" not in problems(hub), 20, "there is room")
    accepted(hub, 20)
    settle(hub)
    shed = {(s["device"], s["data_type"]): s["shed"] for s in hub.status()["streams"]}
    told = {key: sum(n for reason, *_, n in rows if reason == "store_full") for key, rows in gaps(hub).items()}
    assert shed == told
    total = hub.balance(waiting=hub.audit())["total"]
    assert total["lost"] == sum(shed.values()) and not total["altered"], total
    assert hub.audit()["balanced"]


def test_starts_on_a_full_card(new_hub, card):
    """Killed, and then somebody fills the card: it starts, says so, sends on, and makes ballast again."""
    hub = on_card(new_hub, card)
    for _ in range(2):  # the second time there is less to give
        hub.kill()
        leave_free(card, 0)
        hub.start_daemon()
        accepted(hub, 20)
    until(lambda: "the card is full" in problems(hub), 20, "it says so")
    (card / "filler").unlink()
    until(lambda: (card / "ballast").exists() and (card / "ballast.start").exists(), 20, "ballast")
    until(lambda: "the card is full" not in problems(hub), 20, "there is room")
    settle(hub)
    judge(hub)


# -- damage

PAGE = 512


def filled(new_hub, records=300, *, kill=False):
    """A store with an outage in it, its daemon stopped or killed, the log in one file. Without `kill` only the log
    has what is in it."""
    hub = new_hub({"sync": {"durability_window": "100ms"}})
    fill_while_down(hub, records)
    if kill:
        hub.kill()
    else:
        assert hub.stop() == 0
        (hub.runtime_dir / "tail").unlink()
    db = sqlite3.connect(hub.state_dir / "store.db")
    assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    db.close()
    return hub


def pages_of(hub, table):
    """The leaves of a table: pages of type 13 that its tree names."""
    data = (hub.state_dir / "store.db").read_bytes()
    db = sqlite3.connect(f"file:{hub.state_dir / 'store.db'}?mode=ro", uri=True)
    root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0]
    db.close()
    leaves = []

    def visit(number):
        page = data[(number - 1) * PAGE:number * PAGE]
        if page[0] == 13:
            leaves.append(number)
            return
        assert page[0] == 5
        for i in range(int.from_bytes(page[3:5], "big")):
            at = int.from_bytes(page[12 + 2 * i:14 + 2 * i], "big")
            visit(int.from_bytes(page[at:at + 4], "big"))
        visit(int.from_bytes(page[8:12], "big"))

    visit(root)
    return leaves


def damage(hub, pages):
    with open(hub.state_dir / "store.db", "r+b") as file:
        for number in pages:
            file.seek((number - 1) * PAGE)
            file.write(b"\xa5" * PAGE)


def salvaged(hub, timeout=30):
    """What it says when it has read all of it: (brought over, on every server already, lost). Damage that is met
    only when it is read ends the daemon; systemd would start it again."""
    if until(lambda: READ.search(hub.said()) or not hub.alive, timeout, "it was salvaged, or met damage") is True:
        assert hub.daemon.wait() == 1 and "is damaged" in hub.said()
        hub.start_daemon()
    return tuple(map(int, until(lambda: READ.search(hub.said()), timeout, "it was salvaged").groups()))


READ = re.compile(r"The damaged store was read: (\d+) records were brought over, (\d+) are on every server already, "
                  r"(\d+) are lost")


def told_lost(hub):
    return sum(n for told in gaps(hub).values() for reason, *_, n in told if reason == "salvage")


def judge_salvage(hub, lost, *, twice=False):
    """`twice`: it ended, or was killed, with answers under way; what they were for is sent under its new name as
    well, and nobody can know."""
    settle(hub)
    audit = hub.audit()
    assert audit["balanced"], audit
    result = hub.balance(waiting=audit)
    total = result["total"]
    words = b.table(result)
    assert total["lost"] == lost, words
    assert not total["altered"] and not total["invented"], words
    assert twice or not total["duplicated"], words
    assert told_lost(hub) == lost


@pytest.mark.parametrize("which", ["first", "middle", "last", "many"])
def test_damaged_pages(new_hub, which):
    """What lies on good pages arrives, what does not is counted, told to the server, and to the owner; wearables are
    heard meanwhile."""
    hub = filled(new_hub)
    leaves = pages_of(hub, "record")
    damage(hub, {"first": leaves[:1], "middle": leaves[len(leaves) // 2:][:2], "last": leaves[-1:],
                 "many": leaves[::5]}[which])
    began = time.monotonic()
    hub.start_daemon()
    assert time.monotonic() - began < 5
    hub.receiver.up()
    brought, _, lost = salvaged(hub)
    assert brought > 100 and lost > 0
    accepted(hub, 20)
    kept = next(hub.state_dir.glob("damaged-*"))
    assert (kept / "store.db").exists() and (kept / "done").exists()
    assert kept.name in problems(hub)
    judge_salvage(hub, lost, twice="met damage" in hub.said() or "is damaged" in hub.said())


def test_drain_of_a_damaged_store(new_hub):
    """It sends what it can read, does not go on for ever about the rest, and leaves word for the daemon."""
    hub = filled(new_hub)
    hub.stop_straps()
    leaves = pages_of(hub, "record")
    damage(hub, leaves[len(leaves) // 2:][:2])
    hub.receiver.up()
    status, said = hub.drain(30)
    assert status != 0 and "vitald sets it aside when it starts" in said, said
    assert (hub.state_dir / "store.damaged").exists()
    hub.start_daemon()
    brought, settled, lost = salvaged(hub)
    assert lost > 0 and brought > 0
    judge_salvage(hub, lost, twice=True)


def test_tail_of_a_damaged_store(new_hub):
    """Killed, and its log is damaged at its end: what the ring still has is not lost."""
    hub = filled(new_hub, kill=True)
    damage(hub, pages_of(hub, "record")[-3:])
    hub.start_daemon()
    hub.receiver.up()
    assert salvaged(hub)[2] == 0
    judge_salvage(hub, 0)


@pytest.mark.parametrize("what", ["garbage", "zeroes", "header"])
def test_nothing_can_be_read(new_hub, what):
    """It is said, all of it is kept, and wearables are heard."""
    hub = filled(new_hub, 60)
    path = hub.state_dir / "store.db"
    size = path.stat().st_size
    path.write_bytes({"garbage": os.urandom(size), "zeroes": bytes(size),
                      "header": os.urandom(1024) + path.read_bytes()[1024:]}[what])
    whole = path.read_bytes()
    hub.start_daemon()
    hub.receiver.up()
    assert salvaged(hub) == (0, 0, 0)
    assert f"nothing could be read; {size} bytes are kept" in hub.said()
    assert next(hub.state_dir.glob("damaged-*/store.db")).read_bytes() == whole
    accepted(hub, 20)
    settle(hub)
    assert hub.audit()["balanced"]


def test_killed_in_the_middle_of_a_salvage(new_hub):
    """Again and again; it goes on where it was, brings nothing over twice and leaves nothing out."""
    hub = new_hub({"sync": {"durability_window": "100ms"}})
    fill_while_down(hub, 12000, "--straps", 8, "--ecg", 8, "--speed", 200)
    hub.stop_straps()
    assert hub.stop() == 0
    (hub.runtime_dir / "tail").unlink()
    db = sqlite3.connect(hub.state_dir / "store.db")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    damage(hub, pages_of(hub, "record")[7::60])
    (hub.state_dir / "store.damaged").write_text("a test says so")
    midway = {0}
    for _ in range(8):
        hub.start_daemon(wait=False)  # it reads while it gets ready
        os.setpriority(os.PRIO_PROCESS, hub.daemon.pid, 19)  # whoever looks at it is the quicker one
        until(lambda: (at := salvage_of(hub))[0] > max(midway) or at[2], 30, "some more was brought over", tick=0.0005)
        hub.kill()
        if salvage_of(hub)[2]:
            break
        midway.add(salvage_of(hub)[0])
    assert len(midway) > 2, "it was not killed in the middle"
    hub.kills.clear()  # nothing was on its way at any of them: the straps were gone
    hub.start_daemon()
    hub.receiver.up()
    until(lambda: salvage_of(hub)[2], 60, "all that can be read was brought over")
    lost = salvage_of(hub)[1]
    assert lost > 0
    judge_salvage(hub, lost)


def salvage_of(hub):
    """(brought over, lost, has ended), as committed."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{hub.state_dir / 'store.db'}?mode=ro", uri=True, timeout=2)) as db:
            return db.execute("SELECT brought, lost, ended_us > 0 FROM salvage").fetchone() or (0, 0, 0)
    except sqlite3.Error:  # the old one is being set aside
        return 0, 0, 0


def confirmed_and_damaged(new_hub):
    """Of a store whose records every server has, a page in the middle is rubbish: nobody reads there again."""
    hub = new_hub({"sync": {"durability_window": "0", "reconcile_interval": "30d"}})
    hub.start_straps(*STRAPS)
    hub.start_daemon()
    accepted(hub, 300)
    settle(hub)
    (hub.runtime_dir / "tail").unlink()
    db = sqlite3.connect(hub.state_dir / "store.db")
    assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    db.close()
    leaves = pages_of(hub, "record")
    damage(hub, leaves[len(leaves) // 2:][:1])
    return hub


def cleanup(hub):
    done = subprocess.run([hub.vitald, "cleanup", "--config", str(hub.config_file)], text=True, capture_output=True,
                          timeout=30, env=hub.env)
    hub.heard(done.stderr)
    return done.returncode, done.stderr


@pytest.mark.parametrize("alive", [True, False], ids=["beside-a-daemon", "alone"])
def test_cleanup_finds_damage(new_hub, alive):
    """Before anybody meets it: the store is looked over by a process of its own, whoever owns it; what it finds is set
    aside by the daemon, which begins anew."""
    hub = confirmed_and_damaged(new_hub)
    if alive:
        hub.start_straps(*STRAPS)
        hub.start_daemon()
        accepted(hub, 20)
    before = (hub.state_dir / "store.db").read_bytes()
    status, said = cleanup(hub)
    assert status == 65 and "is damaged: looking it over found: " in said and "nothing was deleted" in said, said
    if alive:
        assert hub.daemon.wait(20) == 1
    else:
        assert (hub.state_dir / "store.db").read_bytes() == before
        hub.start_straps(*STRAPS)
    hub.start_daemon()
    assert "The store was damaged: looking it over found: " in hub.said()
    _, had, lost = salvaged(hub)
    assert had > 100 and lost == 0  # the page was full of what the server has
    assert "damaged-" in problems(hub)
    accepted(hub, 20)
    status, said = cleanup(hub)
    assert status == 0, said
    settle(hub)
    assert hub.audit()["balanced"]


# -- copies, and the way back

def put_back(hub, copy):
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (hub.state_dir / name).unlink(missing_ok=True)
    copy.rename(hub.state_dir / "store.db")
    (hub.state_dir / "store.db").chmod(0o600)


def test_backup_under_load(new_hub):
    """Made while records pour in; going back to it begins a new incarnation: nothing is numbered twice, and what was
    heard since is at the receiver all the same."""
    hub = new_hub({"sync": {"durability_window": "0"}})
    hub.start_straps("--straps", 6, "--ecg", 4, "--speed", 30)
    hub.start_daemon()
    accepted(hub, 50)
    copy = hub.dir / "copy.db"
    status, said, _ = hub.ctl("backup", str(copy))
    assert status == 0 and "looked over and whole" in said
    assert hub.ctl("check", str(copy))[0] == 0
    assert hub.ctl("backup", str(copy))[0] == 64, "it wrote over a file"
    assert copy.stat().st_mode & 0o777 == 0o600
    accepted(hub, 100)
    assert hub.stop() == 0
    put_back(hub, copy)
    hub.start_daemon()
    accepted(hub, 100)
    settle(hub)
    assert hub.audit()["balanced"]
    result = hub.balance(waiting=hub.audit())
    assert result["total"]["lost"] == 0 and result["total"]["two_contents"] == 0, b.table(result)
    db = sqlite3.connect(hub.state_dir / "store.db")
    assert db.execute("SELECT reason FROM incarnation ORDER BY number DESC").fetchone()[0] == "backup"
    assert db.execute("SELECT count(*) FROM meta WHERE key = 'backup'").fetchone()[0] == 0
    db.close()


def test_check_finds_damage(new_hub):
    hub = filled(new_hub, 60)
    assert hub.ctl("check")[0] == 0
    damage(hub, pages_of(hub, "record")[-1:])
    before = (hub.state_dir / "store.db").read_bytes()
    status, said, _ = hub.ctl("check")
    assert status == 65 and "DAMAGED" in said
    assert hub.ctl_json("check")["damaged"] is True
    status, of_file, _ = hub.ctl("check", str(hub.config_file))
    assert status == 65 and f"DAMAGED: {hub.config_file}: " in of_file
    assert "restart" in said and "restart" not in of_file  # which does nothing for a copy
    assert (hub.state_dir / "store.db").read_bytes() == before


def test_downgrade_and_up_again(new_hub):
    """Refused while the daemon runs; then down, with a copy beside it; and taken up again with all that waits."""
    hub = new_hub()
    fill_while_down(hub, 60)
    status, _, said = hub.ctl("store", "downgrade", "--to", "1")
    assert status == 69 and "systemctl stop vitald" in said
    hub.stop_straps()
    hub.kill()  # what only the tail has goes along
    status, said, complaint = hub.ctl("store", "downgrade", "--to", "1")
    assert status == 0, complaint
    assert len(list(hub.state_dir.glob("store-version-*.db"))) == 1
    db = sqlite3.connect(hub.state_dir / "store.db")
    assert db.execute("PRAGMA user_version").fetchone()[0] == 1
    db.close()
    hub.start_daemon()
    hub.receiver.up()
    settle(hub)
    judge(hub)


def test_no_downgrade_before_a_salvage_ends(new_hub):
    """An older vitald would not go on with it: refused, with what to do, until the daemon has ended it."""
    hub = new_hub()
    fill_while_down(hub, 60)
    hub.stop_straps()
    hub.kill()
    damaged = hub.state_dir / "damaged-20200101T000000Z"
    damaged.mkdir()
    (damaged / "store.db").write_bytes(b"nothing that can be read")
    db = sqlite3.connect(hub.state_dir / "store.db")
    db.execute("INSERT INTO salvage VALUES(?, 1, 0, 0, 0, 0, 0, 0, 0, '')", (damaged.name,))
    db.commit()
    before = db.execute("PRAGMA user_version").fetchone()
    db.close()
    status, said, complaint = hub.ctl("store", "downgrade", "--to", "1")
    assert status == 69 and not said, complaint
    assert "brought over" in complaint and "vitalctl status" in complaint and "start vitald" in complaint
    db = sqlite3.connect(hub.state_dir / "store.db")
    assert db.execute("PRAGMA user_version").fetchone() == before
    db.close()
    assert not list(hub.state_dir.glob("store-version-*.db"))
    assert damaged.name in hub.ctl("status")[1]
    hub.start_daemon()
    hub.receiver.up()
    salvaged(hub)
    settle(hub)
    status, said, complaint = hub.ctl("store", "downgrade", "--to", "1")
    assert status == 0, complaint


# -- cleaning up

def test_cleanup_beside_a_daemon(new_hub):
    """It is asked and does it in its loop: what is confirmed and old goes, a damaged store that was read long ago
    goes, one that was not read stays."""
    hub = filled(new_hub, 60)
    damage(hub, pages_of(hub, "record")[-1:])
    hub.start_daemon()
    hub.receiver.up()
    salvaged(hub)
    accepted(hub, 20)
    settle(hub)
    kept = next(hub.state_dir.glob("damaged-*"))
    other = hub.state_dir / "damaged-20200101T000000Z"
    other.mkdir()
    (other / "store.db").write_bytes(b"not read yet")
    (other / "done").touch()  # by a store that is no more: nobody here knows when
    db = sqlite3.connect(hub.state_dir / "store.db")
    db.execute("UPDATE salvage SET ended_us = ended_us - 31 * 86400000000")
    db.execute("UPDATE record SET offset_us = offset_us - 8 * 86400000000")  # past retention
    db.commit()
    db.close()
    hub.start_daemon()
    status, said = cleanup(hub)
    assert status == 0, said
    until(lambda: re.search(r"Cleanup: .*retention.*, 1 damaged stores removed", hub.said()), 20, "it cleaned up")
    assert not kept.exists() and (other / "store.db").exists()
    audit = hub.audit()
    assert audit["balanced"] and sum(line["deleted"] for line in audit["lines"]) > 20
    assert hub.stop() == 0
