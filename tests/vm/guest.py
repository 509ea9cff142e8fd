"""A Debian in QEMU, from the files that build-image made. Emulated, not KVM: it runs wherever QEMU does.

    guest = Guest(image, directory)
    guest.start()                        returns when its agent has said hello, 15 to 30 s later
    rc, out = guest.sh("systemctl is-active vitald", user="admin")
    out = guest.must("date +%s")         the same, and a failure is an error here
    guest.power_cut(); guest.start()     nothing is flushed; the same disk again
    guest.stop()

directory/share is /host in the guest, and lies on this machine: what is written there outlives a power cut of
the guest, which is good for the truth and wrong for what is under test. The disk is an overlay of its own in `directory`.
There is no network but the guest's loopback. QEMU ends with us, whatever ends us: the kernel sends it SIGKILL.
"""

import ctypes
import json
import pathlib
import select
import signal
import socket
import subprocess
import tempfile
import time

BOOT_S = 180  # a machine under load took 60
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)

KERNEL = "console=ttyS0 root=/dev/vda rw quiet mitigations=off systemd.show_status=0 random.trust_cpu=on panic=1"


class GuestError(RuntimeError):
    """It did not come up, went away, or a command failed that must not."""


class Guest:
    def __init__(self, image, directory, memory_mib=512):
        self.image, self.dir, self.memory = pathlib.Path(image), pathlib.Path(directory), memory_mib
        self.share = self.dir / "share"
        self.share.mkdir(parents=True)
        self.disk = self.dir / "disk.qcow2"
        self.sockets = tempfile.TemporaryDirectory(prefix="guest-")  # paths of sockets have to be short
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self.image.absolute() / "disk.img",
                        self.disk], check=True)
        self.qemu = self.agent = None
        self.rest = b""
        self.asked = 0

    def command(self):
        return [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(self.memory),
            "-nodefaults", "-display", "none", "-no-reboot", "-nic", "none",
            "-kernel", self.image / "vmlinuz", "-initrd", self.image / "initrd", "-append", KERNEL,
            "-drive", f"file={self.disk},format=qcow2,if=virtio,cache=writeback",
            "-serial", f"file:{self.dir}/console",
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={self.sockets.name}/agent,server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=agent",
            "-virtfs", f"local,path={self.share},mount_tag=host,security_model=none",
        ]

    # -- power

    def start(self, timeout=BOOT_S):
        began = time.monotonic()
        with open(self.dir / "qemu.log", "ab") as log:
            self.qemu = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        self.rest = b""
        self.agent = self.connect(began + 20)
        if "hello" not in self.hear(began + timeout):
            raise GuestError(f"the agent did not say hello\n{self.console()}")
        self.must("mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none host /host")
        return time.monotonic() - began

    def power_cut(self):
        """SIGKILL: what the guest had not flushed is gone."""
        if self.qemu:
            self.qemu.kill()
            self.qemu.wait()
        if self.agent:
            self.agent.close()
        self.qemu = self.agent = None
        (pathlib.Path(self.sockets.name) / "agent").unlink(missing_ok=True)

    def stop(self, timeout=60):
        """A clean end if there is one to be had."""
        try:
            if self.qemu and self.qemu.poll() is None:
                self.ask("systemctl --no-block poweroff", None, 20)
                self.qemu.wait(timeout)
        except (OSError, subprocess.TimeoutExpired):
            pass  # it ends all the same
        finally:
            self.power_cut()

    def close(self):
        self.power_cut()
        self.sockets.cleanup()

    # -- what to do

    def sh(self, cmd, user=None, timeout=120):
        """-> (exit status, output). 124: it took longer."""
        self.asked += 1
        self.ask(cmd, user, timeout)
        while (answer := self.hear(time.monotonic() + timeout + 30)).get("id") != self.asked:
            pass
        return answer["rc"], answer["out"]

    def must(self, cmd, user=None, timeout=120):
        rc, out = self.sh(cmd, user, timeout)
        if rc:
            raise GuestError(f"{cmd}: {rc}\n{out}")
        return out

    # -- the agent

    def connect(self, end):
        path = f"{self.sockets.name}/agent"
        while True:
            agent = socket.socket(socket.AF_UNIX)
            try:
                agent.connect(path)
                return agent
            except OSError:
                agent.close()
                self.alive(end)
                time.sleep(0.02)

    def ask(self, cmd, user, timeout):
        self.agent.sendall(json.dumps({"id": self.asked, "cmd": cmd, "user": user, "timeout": timeout}).encode() + b"\n")

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
