"""vitald as it is installed, in a guest: the tree of `make install` on the guest's own disk, its units, its user,
and beside it what a test needs: the reference receiver as a unit of the guest, straps, a clock that is synchronised.

The truth of the straps lies on /host, so a power cut of the guest does not shorten it."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "receiver"))

import balance as b  # noqa: E402
from guest import Guest  # noqa: E402
from receiver import Remote  # noqa: E402

LIFE = 10**9  # added to the numbers of each further life of the straps
PATIENCE = 120  # for anything that should take a second; the machine is emulated and others use it
ETC = "/etc/vitald"
STRAPS = "/run/vitald/straps"
TIMERS = sorted(path.name for path in (TOP / "systemd").glob("*.timer"))
DROP_INS = "/etc/systemd/system"

RECEIVER_UNIT = """[Service]
StateDirectory=receiver
ExecStartPre=rm -f /run/receiver.port
ExecStart=python3 /opt/receiver/receiver.py --db {db} --port 8080 --port-file /run/receiver.port \
--token right --control
"""

CONFIG = """[source]
type = simulate
[sync]
backoff_max = 5s
[sink "main"]
url = http://127.0.0.1:8080
token_file = /etc/vitald/token
"""

# What an NTP client does when it has the time: ADJ_MAXERROR | ADJ_ESTERROR | ADJ_STATUS with nothing set.
SYNCHRONISE = """python3 -c 'import ctypes
t = (ctypes.c_long * 26)()
ctypes.c_uint.from_buffer(t).value = 0x1c
assert ctypes.CDLL(None).adjtimex(t) == 0'"""


def catalog():
    """{"TAIL_RECOVERED": message id}"""
    text = (TOP / "daemon/model/catalog.h").read_text()
    return dict(re.findall(r'#define CATALOG_(\w+)\s+"(\w+)"', text))


class GuestReceiver(Remote):
    """The receiver in the guest: receiver.state(), receiver.wait(timeout=50, accepted=3), receiver.totals."""

    def __init__(self, guest):
        self.guest = guest
        super().__init__(*map(int, guest.must("cat /run/receiver.port").split()))

    def call(self, name, /, **args):
        body = json.dumps({"call": name, "args": args})
        head = f"POST /control HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        rc, out = self.guest.say(self.control_port, head + body, timeout=args.get("timeout", 30) + 60)
        assert not rc, out
        answer = json.loads(out.partition("\r\n\r\n")[2])
        assert "error" not in answer, answer
        return answer["result"]


class Installed(Guest):
    receiver_db = "/var/lib/receiver/db"

    def install(self):
        tree = self.share / "tree"
        build = os.environ.get("VITALD_BUILD", "build")  # by the name that it was built under: dependencies are kept by name
        subprocess.run(["make", "-s", "-C", TOP, "install", f"O={build}", f"DESTDIR={tree}"], check=True,
                       stdout=subprocess.DEVNULL)
        shutil.copy(TOP / "scripts/after-install", self.share)
        shutil.copytree(TOP / "tests/receiver", self.share / "receiver", ignore=shutil.ignore_patterns("__pycache__"))
        self.must("tar -C /host/tree --owner=0 --group=0 -c usr etc | tar -C / -x --no-overwrite-dir &&"
                  " cp -r /host/receiver /opt && sync")
        said = self.must(f"sh /host/after-install install '' {ETC}")
        self.must("usermod -aG vitald member")
        self.write("/etc/systemd/system/receiver.service", RECEIVER_UNIT.format(db=self.receiver_db))
        self.must("systemctl daemon-reload")
        return said

    def write(self, path, text):
        (self.share / "text").write_text(text)
        self.must(f"install -D -m 0644 /host/text {path}")

    def until(self, cmd, what, timeout=PATIENCE):
        """Looks until a command of the guest succeeds, and returns what it printed."""
        end = time.monotonic() + timeout
        while (answer := self.sh(cmd))[0]:
            assert time.monotonic() < end, f"after {timeout} s still not: {what}\n{answer[1]}\n{self.journal()}"
        return answer[1]

    def keep_logs(self):
        """For who has to find out why a test failed: into the share, which outlives the guest."""
        self.sh("journalctl -b -q --no-pager -o short-monotonic >/host/journal; dmesg >/host/dmesg; cp /run/*.log /host")

    # -- systemd

    def show(self, unit, *names):
        """Properties of a unit, as text."""
        out = self.must(f"systemctl show {unit} -p {','.join(names)}")
        return dict(line.partition("=")[::2] for line in out.splitlines())

    def pid(self):
        return int(self.show("vitald", "MainPID")["MainPID"])

    def drop_in(self, unit, *lines):
        """Settings for one test, taken over at once; none: as installed."""
        path = f"{DROP_INS}/{unit}.d/test.conf"
        if lines:
            self.write(path, "\n".join(lines) + "\n")
        else:
            self.must(f"rm -f {path}")
        self.must("systemctl daemon-reload")

    def restarted(self, before):
        """Until systemd has put another process in the place of `before`, and that one said READY=1."""
        self.until(f"p=$(systemctl show vitald -p MainPID --value); [ $p != 0 ] && [ $p != {before} ] &&"
                   " systemctl is-active vitald", "vitald runs again")
        return self.pid()

    def journal(self, *words, unit="vitald"):
        """Messages of the unit in this boot, by words of journalctl such as MESSAGE_ID=...; the last ones."""
        return self.must(f"journalctl -b -q --no-pager -o cat -n 200 -u {unit} {' '.join(words)}")

    # -- timers; times are CLOCK_MONOTONIC of the guest, in microseconds

    def monotonic_us(self):
        return int(float(self.must("cut -d' ' -f1 /proc/uptime")) * 1e6)

    def service(self, timer):
        return self.show(timer, "Unit")["Unit"]

    def timer_says(self, timer, what):
        path = "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in timer)
        return int(self.must("busctl get-property org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/"
                             f"{path} org.freedesktop.systemd1.Timer {what}").split()[1])

    def last_run(self, timer):
        return self.timer_says(timer, "LastTriggerUSecMonotonic")

    def next_run(self, timer):
        return self.timer_says(timer, "NextElapseUSecMonotonic")

    def fires(self, *timers, first, again=None):
        """Shortens timers: they fire so long from now, and so long after each run. They are started when all are loaded:
        what is reloaded begins anew to wait for OnActiveSec."""
        self.must(f"systemctl stop {' '.join(timers)}")
        for timer in timers:
            self.drop_in(timer, "[Timer]", "OnBootSec=", "OnUnitActiveSec=", f"OnActiveSec={first}",
                         *([f"OnUnitActiveSec={again}"] if again else []), "RandomizedDelaySec=0", "AccuracySec=1ms")
        self.must(f"systemctl start {' '.join(timers)}")

    def as_installed(self, timer):
        """Takes that back."""
        self.must(f"systemctl stop {timer}")
        self.drop_in(timer)
        self.must(f"systemctl start {timer}")

    def until_exit(self, service, since_us, timeout=PATIENCE):
        """Until a run of the service that began after that time is over -> its exit status."""
        self.until(f"systemctl show {service} -p ExecMainStartTimestampMonotonic -p ExecMainExitTimestampMonotonic --value |"
                   f" (read a; read b; [ $a -gt {since_us} ] && [ $b -ge $a ])", f"{service} has run", timeout)
        return int(self.show(service, "ExecMainStatus")["ExecMainStatus"])

    # -- vitald

    def status(self):
        return json.loads(self.sh("vitalctl status --json 2>/dev/null")[1])

    def audit(self):
        return json.loads(self.sh("vitalctl audit --json 2>/dev/null")[1])

    def committed(self, more):
        """Until the daemon has written to the card so many times more."""
        has = self.status()["summary"]["commits"]
        self.until(f"n=$(vitalctl status --json | grep -Eo '\"commits\":[0-9]+' | cut -d: -f2); [ $n -ge {has + more} ]",
                   f"{more} commits")

    def tell(self, command):
        assert self.must(f"vitald simulate --socket {STRAPS} --tell '{command}'").strip() == "ok"

    def start_straps(self, truth, *options):
        """As the README says: by root."""
        self.must(f"systemd-run -q --collect --unit=straps vitald simulate --socket {STRAPS}"
                  f" --truth /host/{truth} {' '.join(options)}")
        self.until(f"test -S {STRAPS}", "the straps are there")

    # -- receiver

    def serve(self, config=CONFIG):
        """A receiver, and a configuration that sends to it; it counts when the daemon starts."""
        self.start_receiver()
        self.write(f"{ETC}/vitald.conf.d/lab.conf", config)
        self.must(f"echo right >/run/token && install -m 0640 -o root -g vitald /run/token {ETC}/token")

    def start_receiver(self):
        self.must("systemctl start receiver")
        self.until("test -e /run/receiver.port", "the receiver listens")
        self.receiver = GuestReceiver(self)

    def accepted(self, more):
        """Until the receiver took so many more records than it has."""
        has = self.receiver.totals["accepted"]
        assert self.receiver.wait(timeout=50, accepted=has + more), self.receiver.state()

    # -- judgement

    def said(self):
        """The file of the share that has all that straps said, which the receiver can have heard of."""
        return "truth"

    def settle(self):
        """The straps stand still, and all they said is at the receiver."""
        self.tell("pause")
        self.must("vitalctl sync")
        self.until("vitalctl status --json | grep -q '\"waiting\":0,\"source\"'", "nothing waits")

    def balance(self, truth, **more):
        """Truth against receiver, on this machine."""
        self.must("rm -f /run/copy && python3 -c 'import sqlite3;"
                  f' sqlite3.connect("{self.receiver_db}").execute("VACUUM INTO \\"/run/copy\\"")\''
                  " && cp /run/copy /host/receiver.db")
        return b.balance(self.share / truth, self.share / "receiver.db", **more)

    def judge(self, lost=0, doubled=0, **more):
        """Nothing lost or twice but what is known to be, nothing altered, and the ledger says the same. doubled = None:
        what went by two names is there under both."""
        self.settle()
        audit = self.audit()
        assert audit["balanced"], audit
        result = self.balance(self.said(), **more)
        total, words = result["total"], b.table(result)
        assert total["lost"] == lost and doubled in (None, total["duplicated"]), words
        for name in ("altered", "invented", "two_contents", "holes"):
            assert total[name] == 0, words
        assert total["expected"] > 0, words
        self.tell("resume")
        return total

    def now_us(self):
        return int(self.must("date +%s%6N"))


def join_truths(path, *parts):
    """One truth out of several lives of the straps; a line that a power cut tore off was never said."""
    with open(path, "w", encoding="utf-8") as joined:
        for i, part in enumerate(parts):
            for line in part.read_text().split("\n")[:-1]:
                said = json.loads(line)
                for key in ("n", "unread"):
                    if key in said and "event" not in said:
                        said[key] += i * LIFE
                joined.write(json.dumps(said) + "\n")


def image_dir():
    return pathlib.Path(os.environ.get("VITALD_IMAGE", TOP / "build/vm"))
