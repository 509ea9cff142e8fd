"""A hub in a directory of its own: receiver, simulated straps, daemon, unprivileged and beside
anything else on the machine. The demo and the system tests run the real programs through this.

    with Hub(directory) as hub:
        hub.start_straps("--straps", "3", "--ecg", "2")
        hub.start_daemon()                    returns when the daemon said READY=1
        hub.receiver.down() ... hub.kill() ... hub.start_daemon()
        hub.stop_straps(); hub.wait_empty(); hub.stop()
        result = hub.balance()

Everything waits on events (READY=1, a process that ends, the receiver's counters), never for a while.
runtime_dir lies on /dev/shm: it has to be a tmpfs, and socket paths have to be short. What was
started is ended by close(), by process id.
"""

import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.path.insert(0, str(HERE))

import balance as balance_  # noqa: E402
from receiver import Receiver, Remote  # noqa: E402

TICK = 0.02  # between two looks at something that sends no event
CLK_TCK = os.sysconf("SC_CLK_TCK")


class HubError(RuntimeError):
    """Something did not come up, or did not end; with the last lines it wrote."""


SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|SUMMARY: \w+Sanitizer")


def build_dir():
    """VITALD_BUILD, from the top of the tree if it is relative."""
    return TOP / os.environ.get("VITALD_BUILD", "build")


def until(condition, timeout, what, tick=TICK):
    """Looks until condition() is true and returns what it returned."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            raise HubError(f"after {timeout} s still not: {what}")
        time.sleep(tick)
    return value


def usage_of(pid):
    """{write_bytes, cpu_s, rss_kib} of a living process; {} if it is gone."""
    try:
        proc = pathlib.Path("/proc", str(pid))
        io = dict(line.split(": ") for line in (proc / "io").read_text().splitlines())
        stat = (proc / "stat").read_text().rpartition(")")[2].split()
        status = (proc / "status").read_text()
        rss = status.partition("VmHWM:")[2].split()
        return {
            "write_bytes": int(io["write_bytes"]),
            "cpu_s": (int(stat[11]) + int(stat[12])) / CLK_TCK,
            "rss_kib": int(rss[0]) if rss else 0,
        }
    except (OSError, KeyError, ValueError):
        return {}


class ReceiverProcess:
    """The receiver as a process of its own, and its Remote."""

    def __init__(self, db, token, log):
        program = [sys.executable, str(HERE / "receiver.py"), "--db", str(db), "--control"]
        program += ["--token", token] if token else []
        self.process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline().split()
        if len(line) != 2:
            raise HubError("the receiver did not come up")
        self.remote = Remote(int(line[0]), int(line[1]))

    def end(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


class Hub:
    def __init__(self, directory, *, vitald=None, vitalctl=None, process=False, token="demo-token",
                 gateway="gw-test", config=None, receiver=True, env=None):
        """`config`: {"sync": {"durability_window": "0"}, 'sink "demo"': {"required": "no"}}, merged
        over what is needed; None as a value takes a key out. `process`: receiver not in this one."""
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.vitald = str(vitald or build_dir() / "vitald")
        self.vitalctl = str(vitalctl or build_dir() / "vitalctl")
        shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.runtime_dir = pathlib.Path(tempfile.mkdtemp(prefix="vitald-", dir=shm))
        self.state_dir = self.dir / "state"
        self.state_dir.mkdir(mode=0o700, exist_ok=True)
        self.straps_socket = self.runtime_dir / "straps"
        self.truth = self.dir / "truth.jsonl"
        self.db = self.dir / "receiver.db"
        self.config_file = self.dir / "vitald.conf"
        self.log = open(self.dir / "log", "ab")
        self.env = {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
        self.env |= os.environ | {"LC_ALL": "C.UTF-8"} | (env or {})
        self.daemon = self.straps = None
        self.kills = []  # wall time of each, us
        self.lives = []  # usage of each daemon that ended
        self.daemon_started = 0.0
        self.uptime = 0.0
        self.receiver_process = self.receiver = None
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify_path = str(self.runtime_dir / "notify")
        self.notify.bind(self.notify_path)
        if receiver and process:
            self.receiver_process = ReceiverProcess(self.db, token, self.log)
            self.receiver = self.receiver_process.remote
        elif receiver:
            self.receiver = Receiver(self.db, token=token).start()
        self.token_file = self.dir / "token"
        self.token_file.write_text((token or "") + "\n")
        self.token_file.chmod(0o600)
        self.settings = {
            "daemon": {"state_dir": self.state_dir, "runtime_dir": self.runtime_dir, "gateway": gateway},
            "source": {"type": "simulate", "socket": self.straps_socket},
            "time": {"trust_clock": "yes"},
            "control": {"bus": "none"},
            "sync": {"free_reserve": "0"},  # how full the disk of this machine is, is not what is tested
        }
        if receiver:
            self.settings['sink "demo"'] = {"url": self.receiver.url, "token_file": self.token_file}
        self.configure(config or {})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- configuration

    def configure(self, changes):
        """Merges and writes the file; SIGHUP or a restart makes the daemon read it."""
        for section, keys in changes.items():
            self.settings.setdefault(section, {}).update(keys)
        lines = []
        for section, keys in self.settings.items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {value}" for key, value in keys.items() if value is not None]
            lines.append("")
        self.config_file.write_text("\n".join(lines))

    # -- straps

    def start_straps(self, *options):
        self.straps = subprocess.Popen(
            [self.vitald, "simulate", "--socket", str(self.straps_socket), "--truth", str(self.truth),
             *map(str, options)],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.env,
        )

        def there():
            if self.straps.poll() is not None:
                raise HubError(f"the straps did not come up:\n{self.tail()}")
            return self.straps_socket.exists() and self.truth.exists()

        until(there, 10, "straps listen")

    def tell(self, *words):
        """A command for the straps: tell("gap", 0, 5)."""
        line = " ".join(map(str, words))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(10)
            s.connect(f"{self.straps_socket}.ctl")
            s.send(line.encode())
            answer = s.recv(4096).decode().strip()
        if answer != "ok":
            raise HubError(f"{line}: {answer}")

    def stop_straps(self):
        """SIGTERM: the daemon reads what is on its way, the rest is marked unread."""
        if self.straps:
            self._end(self.straps, signal.SIGTERM, 20)
            self.straps = None

    def wait_straps(self, timeout):
        """Until --duration is over."""
        self.straps.wait(timeout)
        self.straps = None

    # -- daemon

    def start_daemon(self, *, timeout=20, wait=True, options=(), env=None):
        self.drain_notify()
        self.daemon = subprocess.Popen(
            [self.vitald, "--config", str(self.config_file), *options],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=self.env | {"NOTIFY_SOCKET": self.notify_path} | (env or {}),
        )
        self.daemon_started = time.monotonic()
        if wait:
            self.wait_ready(timeout)
        return self.daemon.pid

    def drain_notify(self):
        while select.select([self.notify], [], [], 0)[0]:
            self.notify.recv(65536)

    def wait_ready(self, timeout=20):
        end = time.monotonic() + timeout
        while True:
            if select.select([self.notify], [], [], 0.1)[0]:
                if b"READY=1" in self.notify.recv(65536).split(b"\n"):
                    return
            if self.daemon.poll() is not None:
                raise HubError(f"the daemon ended with {self.daemon.returncode}:\n{self.tail()}")
            if time.monotonic() > end:
                raise HubError(f"the daemon did not get ready in {timeout} s:\n{self.tail()}")

    @property
    def alive(self):
        return self.daemon is not None and self.daemon.poll() is None

    def usage(self):
        """Of all daemons so far, this one included: {write_bytes, cpu_s, rss_kib, uptime_s}."""
        lives = self.lives + ([usage_of(self.daemon.pid)] if self.alive else [])
        up = self.uptime + (time.monotonic() - self.daemon_started if self.alive else 0)
        return {
            "write_bytes": sum(life.get("write_bytes", 0) for life in lives),
            "cpu_s": sum(life.get("cpu_s", 0) for life in lives),
            "rss_kib": max((life.get("rss_kib", 0) for life in lives), default=0),
            "uptime_s": up,
        }

    def _daemon_ends(self, signal_, timeout):
        last = usage_of(self.daemon.pid)
        self.daemon.send_signal(signal_)  # does nothing if it was seen to have ended already

        def ended():
            return self.daemon.returncode is not None or os.waitid(os.P_PID, self.daemon.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)

        until(ended, timeout, "the daemon ended")
        final = usage_of(self.daemon.pid)  # nobody has waited for it yet: the last writes count
        self.lives.append({**last, **final, "rss_kib": last.get("rss_kib", 0)})
        self.uptime += time.monotonic() - self.daemon_started
        status = self.daemon.wait(timeout)
        self.daemon = None
        return status

    def kill(self):
        """SIGKILL. Returns its wall time, us."""
        self.kills.append(time.time_ns() // 1000)
        self._daemon_ends(signal.SIGKILL, 10)
        return self.kills[-1]

    def stop(self, timeout=30):
        """SIGTERM, and its exit status."""
        return self._daemon_ends(signal.SIGTERM, timeout) if self.daemon else None

    def drain(self, timeout=120):
        """`vitald drain`: (exit status, what it said)."""
        done = subprocess.run([self.vitald, "drain", "--config", str(self.config_file)], text=True,
                              capture_output=True, timeout=timeout, env=self.env)
        self.heard(done.stderr)
        return done.returncode, done.stdout + done.stderr

    # -- asking

    def ctl(self, *words, timeout=30):
        """`vitalctl WORDS`: (exit status, what it said)."""
        done = subprocess.run([self.vitalctl, "--config", str(self.config_file), *words], text=True,
                              capture_output=True, timeout=timeout, env=self.env)
        self.heard(done.stderr)
        return done.returncode, done.stdout, done.stderr

    def ctl_json(self, *words, timeout=30):
        """`vitalctl WORDS --json`, parsed; None if it gave none."""
        try:
            return json.loads(self.ctl(*words, "--json", timeout=timeout)[1])
        except (ValueError, OSError, subprocess.TimeoutExpired):
            return None

    def status(self):
        return self.ctl_json("status")

    def audit(self):
        return self.ctl_json("audit")

    def waiting(self):
        """Records that wait, by the status of the daemon; None: not known."""
        report = self.status()
        return None if report is None else balance_.count_of(report, "waiting")

    def wait_empty(self, timeout=60, tick=0.2):
        """Until nothing waits, looked at each time the receiver took something."""
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.alive:
            if self.waiting() == 0:
                return True
            seen = self.receiver.state()["totals"]["requests"]
            self.receiver.wait(timeout=tick, requests=seen + 1)
        return False

    def balance(self, **more):
        return balance_.balance(self.truth, self.db, kills=self.kills, **more)

    @staticmethod
    def heard(text):
        """A program that a sanitizer complained of has failed, whatever it returned."""
        if SANITIZER.search(text):
            raise HubError(text)

    def said(self):
        """All that the daemon and the straps wrote."""
        return (self.dir / "log").read_text(errors="replace")

    def tail(self, lines=30):
        return "\n".join(self.said().splitlines()[-lines:])

    # -- the end

    @staticmethod
    def _end(process, signal_, timeout):
        if process.poll() is None:
            process.send_signal(signal_)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return process.returncode

    def close(self):
        """Ends what was started. The directory stays, the runtime directory goes."""
        for process in (self.straps, self.daemon):
            if process:
                process.send_signal(signal.SIGCONT)  # it may have been stopped
                self._end(process, signal.SIGTERM, 10)
        self.straps = self.daemon = None
        if self.receiver_process:
            self.receiver_process.end()
        elif self.receiver:
            self.receiver.stop()
        self.receiver_process = self.receiver = None
        self.notify.close()
        self.log.close()
        shutil.rmtree(self.runtime_dir, ignore_errors=True)
