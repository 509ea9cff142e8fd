"""A hub with a radio: vitald as installed, with the real bluetoothd, and behind its adapter the wearables of radio/ (or
of VITALD_SIM, a program with the same command line, socket and log). What they handed to the host is compared with
what the receiver holds, bit by bit.

Times are CLOCK_MONOTONIC of the guest, in seconds, as in the radio's log. Nothing waits for a while: the radio, the
receiver and the journal are waited for.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import time

import pytest

from installed import CONFIG, ETC, SYNCHRONISE, TOP, Installed, b, catalog

SIM = pathlib.Path(os.environ.get("VITALD_SIM") or TOP / "tests/vm/radio")
SOCKET, LOG = "/run/radio.sock", "/run/radio.log"
BACK_S = 30  # after the end of a fault until its streams are heard again
FIRST_S = 60  # the same for the first time: bluetoothd, discovery, all the services
# bluetoothd gives the first notifications after a subscription and the last ones before the end of a link to nobody: they
# come before the socket is handed over, or lie in the kernel when it closes it.
EDGE_S = 1.0
IDS = catalog()

SOURCE = """[source]
type = {type}
{more}
"""


@dataclasses.dataclass
class Strap:
    """What a test knows of a wearable."""

    index: int
    address: str
    kinds: tuple

    @property
    def section(self):
        return f'[device "{self.address}"]\n'


def strap(index, kinds=("heart_rate", "ecg")):
    return Strap(index, f"c0:9e:10:00:00:{index + 1:02x}", kinds)


class Lab(Installed):
    """One boot. Excuses and faults add up in `deaf`: what was said in there may be missing at the receiver."""

    def setup(self):
        self.start()
        self.install()
        self.must(SYNCHRONISE)
        target = self.share / "sim" / SIM.name
        target.parent.mkdir()
        if SIM.is_dir():
            shutil.copytree(SIM, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(SIM, target)
        self.must("cp -r /host/sim /opt && echo right >/run/token &&"
                  f" install -m 0640 -o root -g vitald /run/token {ETC}/token")
        self.start_receiver()
        self.wall = float(self.must("python3 -c 'import time; print(time.time() - time.monotonic())'"))
        self.deaf, self.straps, self.near_us = [], [], b.NEAR_US

    # -- time

    def now(self):
        return float(self.must("cut -d' ' -f1 /proc/uptime"))

    def us(self, t):
        return int((t + self.wall) * 1e6)

    # -- radio

    def start_radio(self, straps, slots=None, **settings):
        """settings: of each wearable; those in `own` of one only."""
        own = settings.pop("own", {})
        devices = [{"name": f"Polar H10 {one.index:08d}", "serial": f"{one.index:08d}", "addr": one.address.upper(),
                    "adv_ms": 250} | settings | own.get(one.index, {}) for one in straps]
        config = {"adapter": "02:00:00:AA:00:01", "devices": devices}
        if slots:
            config["slots"] = slots
        self.write("/run/radio.json", json.dumps(config))
        self.must(f"systemd-run -q --collect --unit=radio python3 /opt/sim/{SIM.name} -c /run/radio.json -l {LOG}"
                  f" -s {SOCKET}")
        self.until(f"test -S {SOCKET} && ls -d /sys/class/bluetooth/hci*", "the adapter is there")
        self.straps = list(straps)

    def stop_radio(self):
        self.must("systemctl stop radio")

    def radio(self, op, **more):
        rc, out = self.say(SOCKET, json.dumps({"op": op, **more}) + "\n", timeout=more.get("timeout", 30) + 30)
        assert not rc, out
        answer = json.loads(out)
        assert answer["ok"], (op, more, answer)
        return answer

    @staticmethod
    def can(what):
        """Others than ours are programs of one file."""
        return SIM.is_dir() or what not in ("services", "private", "slots", "memory")

    @classmethod
    def needs(cls, what):
        if not cls.can(what):
            pytest.skip(f"{SIM.name} cannot do this: {what}")

    def drop(self, *devs):
        """The straps end their links -> when they had: what is heard of them after that came over another one."""
        for dev in devs:
            self.radio("disconnect", dev=dev)
        return self.now()

    def linked(self):
        """The wearables that have a link, by the radio."""
        return {i for i, one in enumerate(self.radio("state")["devs"]) if one["connected"]}

    def until_linked(self, n, timeout=FIRST_S):
        """Until so many have one."""
        end = time.monotonic() + timeout
        while len(there := self.linked()) != n:
            assert time.monotonic() < end, f"{there} have a link, not {n}\n{self.tail()}"
            time.sleep(0.2)  # asking keeps the radio from its work
        return there

    def log(self):
        """The radio's log so far, as a list."""
        self.must(f"cp {LOG} /host/radio.log")
        text = (self.share / "radio.log").read_text()
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    # -- vitald

    def configure(self, straps, *more, type_="bluez", sync=CONFIG, restart=False):
        """Straps that vitald is to listen to, and lines for [source]; `sync`: what counts from [sync] on."""
        text = sync.partition("[sync]")[2]
        source = SOURCE.format(type=type_, more="\n".join(more))
        sections = "".join(one.section for one in straps)
        self.write(f"{ETC}/vitald.conf.d/lab.conf", source + "[sync]" + text + sections)
        self.must("systemctl restart vitald" if restart else "systemctl reload-or-restart vitald")

    def tail(self, lines=40):
        return self.must(f"journalctl -b -q --no-pager -o short-monotonic -n {lines} -u vitald -u bluetooth -u radio")

    def device(self, address):
        """What vitalctl says of a wearable."""
        return next(device for device in self.status()["devices"] if device["address"] == address)

    def line(self, *words, since=None, times=None):
        """The messages of vitald since a time, that have all these words; `times`: so many, else at least one."""
        out = self.must(f"journalctl -b -q --no-pager -o cat -u vitald --since @{since + self.wall:.3f}" if since else
                        "journalctl -b -q --no-pager -o cat -u vitald")
        found = [line for line in out.splitlines() if all(word.lower() in line.lower() for word in words)]
        assert found, f"the journal does not say {words}:\n{out}"
        assert times is None or len(found) == times, found
        return found[0]

    def heard(self, straps, since, within=BACK_S):
        """Until each stream of each of them has a record of after `since` at the receiver -> the last one's delay."""
        wanted = [(one.address, kind) for one in straps for kind in one.kinds]
        places = ",".join(f"('{address}','{kind}')" for address, kind in wanted)
        first = (f"SELECT device, kind, min(t_us) AS t_us FROM records WHERE (device, kind) IN (VALUES {places})"
                 f" AND type != 'gap' AND t_us > {self.us(since)} GROUP BY device, kind")
        patience = within + 60  # of this machine; what counts are the times of the records
        there = self.receiver.wait(timeout=patience, sql=f"SELECT count(*) = {len(wanted)} FROM ({first})")
        rows = self.receiver.query(first)
        assert there, f"not heard of since {since:.1f}: " \
            f"{set(wanted) - {(row[0], row[1]) for row in rows}}\n{self.sh('vitalctl status')[1]}\n{self.tail()}"
        delay = max(row[2] for row in rows) / 1e6 - self.wall - since
        assert delay <= within, f"{delay:.1f} s until all were heard again: {rows}\n{self.tail()}"
        return delay

    def passes(self, t):
        """Until it is t: what happens then is caused by the time alone, so that is what is waited for."""
        self.must(f"python3 -c 'import time; time.sleep(max(0, {t} - time.monotonic()))'", timeout=t - self.now() + 60)

    def said_until(self, t):
        """Until the receiver has what was said at t."""
        there = self.receiver.wait(timeout=t - self.now() + 60, sql=f"SELECT max(t_us) > {self.us(t)} FROM records")
        assert there, self.tail()

    def until_line(self, message_id, since, timeout=60):
        """Until vitald has written that message."""
        self.until(f"journalctl -b -q -u vitald --since @{since + self.wall:.3f} MESSAGE_ID={message_id} | grep -q .",
                   f"the journal has {message_id}", timeout)

    # -- judgement

    def excuse(self, since, until=None, dev=None):
        """What is said from then on may be lost, as nobody listened although links and subscriptions stayed: until that
        time, or until it is subscribed to again; if it never is, only what was under way."""
        self.deaf.append((since, until, dev))

    def truth(self, log):
        """The log in the form of `vitald simulate --truth`, and when each subscription and each link began and ended."""
        hung, edges = False, []
        with open(self.share / "truth", "w", encoding="utf-8") as file:
            for n, line in enumerate(log):
                asked = line.get("q", {}) if line["ev"] == "control" else {}
                if asked.get("op") == "hang":
                    hung = asked["on"]
                if line["ev"] in ("cccd", "disconnected") or asked.get("op") in ("hang", "unplug", "link_loss", "mute"):
                    edges.append(line)
                if line["ev"] == "tx" and "hex" in line and not hung:
                    file.write(json.dumps({
                        "n": n, "t_wall_us": self.us(line["t"]), "device": self.straps[line["dev"]].address,
                        "char": line["uuid"], "hex": line["hex"], "handed": "yes"}) + "\n")
        return edges

    def excused(self, line, edges, end):
        """May this one be missing? If it was said at the edge of a subscription, or into a fault, or just now."""
        t = line["t"]
        if t > end:
            return True
        for since, until, dev in self.deaf:
            if dev not in (None, line["dev"]) or t < since - EDGE_S:
                continue
            again = (edge["t"] for edge in edges if edge["ev"] == "cccd" and edge["value"] and edge["t"] > since
                     and (edge["dev"], edge["uuid"]) == (line["dev"], line["uuid"]))
            if t <= (next(again, since) if until is None else until) + EDGE_S:
                return True
        for edge in edges:
            if edge["dev"] not in (None, line["dev"]):
                continue
            began = edge["ev"] == "cccd" and edge["uuid"] == line["uuid"] and edge["value"]
            if 0 <= t - edge["t"] <= EDGE_S if began else 0 <= edge["t"] - t <= EDGE_S:
                return True
        return False

    def judge(self, expect=None):
        """Everything of this boot: said is held, held was said, in order, once; and the ledger says the same.

        expect: {(strap index, kind) or strap index: gap reasons} of the gaps since the last judgement, or not looked at.
        """
        end = self.now() - EDGE_S
        self.sh("vitalctl sync", timeout=90)
        self.receiver.wait(timeout=60, sql=f"SELECT max(t_us) >= {self.us(end)} FROM records")
        audit = self.audit()
        assert audit["balanced"], audit
        self.snapshot()
        log = self.log()
        edges = self.truth(log)
        result = b.balance(self.share / "truth", self.share / "receiver.db", near_us=self.near_us)
        words = b.table(result)
        total = result["total"]
        for name in ("altered", "duplicated", "invented", "two_contents", "holes", "order_violations"):
            assert total[name] == 0, (name, words)
        lost = [log[n] for one in result["streams"].values() for n in one["missing"]]
        bad = [line for line in lost if not self.excused(line, edges, end)]
        assert not bad, f"lost: {[(x['t'], x['dev'], x['uuid'], x['hex'][:20]) for x in bad]}\n{words}\n{self.tail()}"
        assert total["matched"] > 0, words
        counters = self.receiver.counters
        assert not [name for name in counters if "conflict" in name], counters
        print(f"{total['matched']} records exact, {len(lost)} of the edges lost; gaps {total['gaps']}")
        if expect is not None:
            self.judge_gaps(expect)
        return result

    def snapshot(self):
        self.must("rm -f /run/copy && python3 -c 'import sqlite3;"
                  f' sqlite3.connect("{self.receiver_db}").execute("VACUUM INTO \\"/run/copy\\"")\''
                  " && cp /run/copy /host/receiver.db")

    def gaps(self, since=0.0):
        """[(device, kind, reason, from, to)] of those that ended after `since`."""
        found = []
        for device, kind, payload in b.open_db(self.share / "receiver.db").execute(
                "SELECT device, kind, payload FROM records WHERE type = 'gap' ORDER BY device, kind, seq"):
            gap = b.contract.unpack("gap", payload)
            span = (gap["from_us"] / 1e6 - self.wall, gap["to_us"] / 1e6 - self.wall)
            if span[1] >= since:
                found.append((device, kind, gap["reason"], *span))
        return found

    def judge_gaps(self, expect, since=None):
        seen = {}
        for device, kind, reason, *_ in self.gaps(self.mark if since is None else since):
            index = next(one.index for one in self.straps if one.address == device)
            key = (index, kind) if (index, kind) in expect else index
            seen.setdefault(key, set()).add(reason)
        assert seen == {key: set(value) for key, value in expect.items()}, (seen, self.gaps())
