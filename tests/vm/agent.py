#!/usr/bin/python3
"""Runs in the guest, as root, what guest.py says over a virtio serial port. One JSON object a line:

    in    {"id": 1, "cmd": "...", "user": null, "timeout": 60}
    out   {"id": 1, "rc": 0, "out": "..."}             rc 124: it took longer, and was killed

    in    {"id": 2, "to": "/run/socket" or port, "say": "...", "timeout": 60}
    out   {"id": 2, "rc": 0, "out": "..."}             from a socket a line, from a port all there is; else rc 1

and {"hello": uptime} once, when the guest is up. One after the other; commands by /bin/sh, in sessions of their own.
To say something to a socket takes a hundredth of the time that a program takes to start here.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time

PORT = "agent"
MODULES = ("virtio_console", "virtio_rng", "9pnet_virtio", "9p")


def port():
    """The device, by the name that the host gave the port: udev is not asked, so there is no link to it."""
    while True:
        for name in pathlib.Path("/sys/class/virtio-ports").glob("*/name"):
            device = "/dev/" + name.parent.name
            if name.read_text().strip() == PORT and os.path.exists(device):
                return device
        time.sleep(0.02)


def run(cmd, user, timeout):
    """Output goes to a file: what a command leaves behind in the background must not hold us up."""
    shell = ["/bin/sh", "-c", cmd]
    with open("/run/agent.out", "w+b") as out:
        process = subprocess.Popen(["runuser", "-u", user, "--", *shell] if user else shell, cwd="/",
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            rc = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            rc = 124
        out.seek(0)
        return rc, out.read().decode(errors="replace")


def relay(to, say, timeout):
    heard = b""
    try:
        with socket.socket(socket.AF_UNIX if isinstance(to, str) else socket.AF_INET) as peer:
            peer.settimeout(timeout)
            peer.connect(to if isinstance(to, str) else ("127.0.0.1", to))
            peer.sendall(say.encode())
            while not (isinstance(to, str) and heard.endswith(b"\n")) and (data := peer.recv(65536)):
                heard += data
    except OSError as error:
        return 1, str(error)
    return 0, heard.decode(errors="replace")


def lines(fd):
    """Nothing to read means that nobody is connected at the other end."""
    rest = b""
    while True:
        data = os.read(fd, 65536)
        if not data:
            time.sleep(0.02)
        *whole, rest = (rest + data).split(b"\n")
        yield from whole


def main():
    os.environ.update(PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME="/root", LC_ALL="C.UTF-8")
    subprocess.run(["modprobe", "-a", *MODULES], check=True)
    fd = os.open(port(), os.O_RDWR)
    file = os.fdopen(os.dup(fd), "wb", buffering=0)

    def say(**what):
        data = memoryview(json.dumps(what).encode() + b"\n")
        while data:
            data = data[file.write(data):]

    say(hello=float(pathlib.Path("/proc/uptime").read_text().split()[0]))
    for line in lines(fd):
        ask = json.loads(line)
        if "to" in ask:
            rc, out = relay(ask["to"], ask["say"], ask["timeout"])
        else:
            rc, out = run(ask["cmd"], ask["user"], ask["timeout"])
        say(id=ask["id"], rc=rc, out=out)


main()
