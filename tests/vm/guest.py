"""A Debian in QEMU, from the files that build-image made. Emulated, not KVM: it runs wherever QEMU does.

    freeze(image)                        boots one and keeps it as it then stands: frozen.qcow2, frozen.state
    guest = Guest(image, directory)
    guest.start()                        the first time it is thawed, in 2 s; without freeze(), or after the
                                         power was cut, it boots: 15 to 30 s until its agent says hello
    rc, out = guest.sh("systemctl is-active vitald", user="admin")
    out = guest.must("date +%s")         the same, and a failure is an error here
    guest.power_cut(); guest.start()     nothing is flushed; the same disk again
    guest.stop()

directory/share is /host in the guest, and lies on this machine: what is written there outlives a power cut of
the guest, which is good for the truth and wrong for what is under test. The disk is an overlay of its own in `directory`.
There is no network but the guest's loopback. QEMU ends with us, whatever ends us: the kernel sends it SIGKILL.
"""

import ctypes
import hashlib
import json
import pathlib
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

BOOT_S = 180  # a machine under load took 60
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)

KERNEL = "console=ttyS0 root=/dev/vda rw quiet mitigations=off systemd.show_status=0 random.trust_cpu=on panic=1"

MEMORY_MIB = 512

# What a thawed guest has behind it: modules that take seconds to load, and the pages of what every test starts.
WARM = """modprobe -a hci_vhci ecb cmac algif_hash algif_skcipher && systemctl start bluetooth.service &&
python3 -c 'import asyncio, http.server, sqlite3, ssl' && bluetoothctl --version && sync"""


class GuestError(RuntimeError):
    """It did not come up, went away, or a command failed that must not."""


class Guest:
    def __init__(self, image, directory, frozen=True):
        """frozen: may it be thawed? False: it boots, from the bare disk."""
        self.image, self.dir = pathlib.Path(image), pathlib.Path(directory)
        self.share = self.dir / "share"
        self.share.mkdir(parents=True)
        self.disk = self.dir / "disk.qcow2"
        self.sockets = tempfile.TemporaryDirectory(prefix="guest-")  # paths of sockets have to be short
        self.thaw = frozen and freezer_key(self.image) == key_of(self.image / "frozen.key")
        overlay(self.image / ("frozen.qcow2" if self.thaw else "disk.img"), self.disk)
        self.qemu = self.agent = None
        self.rest = b""
        self.asked = 0

    def command(self):
        return [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(MEMORY_MIB),
            "-nodefaults", "-display", "none", "-no-reboot", "-nic", "none",
            "-kernel", self.image / "vmlinuz", "-initrd", self.image / "initrd", "-append", KERNEL,
            "-drive", f"file={self.disk},format=qcow2,if=virtio,cache=writeback",
            "-serial", f"file:{self.dir}/console",
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={self.sockets.name}/agent,server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=agent",
            "-virtfs", f"local,path={self.share},mount_tag=host,security_model=none",
            "-qmp", f"unix:{self.sockets.name}/qmp,server=on,wait=off",
            *(["-incoming", f"exec:cat '{self.image.absolute()}/frozen.state'"] if self.thaw else []),
        ]

    # -- power

    def start(self, timeout=BOOT_S):
        began = time.monotonic()
        self.power_on(began + timeout)
        self.must("mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none host /host")
        return time.monotonic() - began

    def power_on(self, end):
        with open(self.dir / "qemu.log", "ab") as log:
            self.qemu = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        self.rest = b""
        self.agent = self.connect("agent", end)
        if not self.thaw:
            if "hello" not in self.hear(end):
                raise GuestError(f"the agent did not say hello\n{self.console()}")
            return
        self.thaw = False
        while self.qmp("query-status")["status"] == "inmigrate":
            self.alive(end)
            time.sleep(0.02)
        self.qmp("cont")
        self.must(f"date -s @{time.time():.3f}")

    def power_cut(self):
        """SIGKILL: what the guest had not flushed is gone."""
        if self.qemu:
            self.qemu.kill()
            self.qemu.wait()
        if self.agent:
            self.agent.close()
        self.qemu = self.agent = None
        for name in ("agent", "qmp"):
            (pathlib.Path(self.sockets.name) / name).unlink(missing_ok=True)

    def stop(self, timeout=60):
        """A clean end if there is one to be had."""
        try:
            if self.qemu and self.qemu.poll() is None:
                self.sh("systemctl --no-block poweroff", timeout=20)
                self.qemu.wait(timeout)
        except (OSError, GuestError, subprocess.TimeoutExpired):
            pass  # it ends all the same
        finally:
            self.power_cut()

    def close(self):
        self.power_cut()
        self.sockets.cleanup()

    # -- what to do

    def sh(self, cmd, user=None, timeout=120):
        """-> (exit status, output). 124: it took longer."""
        return self.ask(timeout, cmd=cmd, user=user)

    def say(self, to, text, timeout=60):
        """To a socket (a path) or a port in the guest -> (0 or 1, what was answered)."""
        return self.ask(timeout, to=to, say=text)

    def must(self, cmd, user=None, timeout=120):
        rc, out = self.sh(cmd, user, timeout)
        if rc:
            raise GuestError(f"{cmd}: {rc}\n{out}")
        return out

    # -- the agent

    def connect(self, name, end):
        while True:
            peer = socket.socket(socket.AF_UNIX)
            try:
                peer.connect(f"{self.sockets.name}/{name}")
                return peer
            except OSError:
                peer.close()
                self.alive(end)
                time.sleep(0.02)

    def qmp(self, command, **arguments):
        """Asks QEMU itself. Events that lie between are of no interest."""
        with self.connect("qmp", time.monotonic() + 20) as peer, peer.makefile("rw") as file:
            file.readline()  # the greeting
            for execute, more in (("qmp_capabilities", {}), (command, arguments)):
                file.write(json.dumps({"execute": execute, "arguments": more}) + "\n")
                file.flush()
                while "return" not in (answer := json.loads(file.readline())):
                    if "error" in answer:
                        raise GuestError(f"{execute}: {answer['error']}")
        return answer["return"]

    def ask(self, timeout, **what):
        self.asked += 1
        self.agent.sendall(json.dumps({"id": self.asked, "timeout": timeout, **what}).encode() + b"\n")
        while (answer := self.hear(time.monotonic() + timeout + 30)).get("id") != self.asked:
            pass
        return answer["rc"], answer["out"]

    def hear(self, end):
        while b"\n" not in self.rest:
            self.alive(end)
            if not select.select([self.agent], [], [], 1)[0]:
                continue
            data = self.agent.recv(65536)
            if not data:
                raise GuestError(f"the guest is gone\n{self.console()}")
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def alive(self, end):
        if self.qemu.poll() is not None:
            raise GuestError(f"qemu ended with {self.qemu.returncode}\n{(self.dir / 'qemu.log').read_text()}")
        if time.monotonic() > end:
            raise GuestError(f"the guest does not answer\n{self.console()}")

    def console(self, lines=30):
        try:
            return "\n".join((self.dir / "console").read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""


def overlay(base, disk):
    form = "qcow2" if base.suffix == ".qcow2" else "raw"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", base.absolute(), disk], check=True)


def key_of(path):
    return path.read_text().strip() if path.exists() else None


def freezer_key(image):
    """Of all that a frozen guest depends on. Other versions of QEMU read its state, but not for certain."""
    version = subprocess.run(["qemu-system-x86_64", "--version"], check=True, capture_output=True).stdout
    parts = (version, (image / "key").read_bytes(), pathlib.Path(__file__).read_bytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def freeze(image):
    """The share is not mounted in it: QEMU does not freeze a mounted one."""
    image = pathlib.Path(image)
    key = freezer_key(image)
    if key_of(image / "frozen.key") == key:
        return
    (image / "frozen.key").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=image) as work:
        guest = Guest(image, work, frozen=False)
        try:
            guest.power_on(time.monotonic() + BOOT_S)
            guest.must(WARM)
            guest.qmp("stop")
            guest.qmp("migrate", uri=f"exec:cat >'{image.absolute()}/frozen.state'")
            end = time.monotonic() + BOOT_S
            while (status := guest.qmp("query-migrate").get("status")) != "completed":
                if status == "failed":
                    raise GuestError("it could not be frozen")
                guest.alive(end)
                time.sleep(0.05)
            guest.qmp("quit")
            guest.qemu.wait(20)
            guest.disk.rename(image / "frozen.qcow2")
        finally:
            guest.close()
    (image / "frozen.key").write_text(key + "\n")


if __name__ == "__main__":
    freeze(sys.argv[1])
