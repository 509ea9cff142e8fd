"""One wearable: what it advertises, its one link, L2CAP on it, and its whims.

Settings may be changed while it runs ("set"); those that say how a link begins count for the next link.
"""

import functools
import itertools
import os
import struct

import attributes
import memory
import pairing
import services

DEFAULTS = {
    "name": "Polar H10 SIM",
    "addr": None, "addr_type": "random",  # None: made from its place in the list
    "private": False,  # advertises with private addresses, another one every private_s, and tells its identity
    "private_s": 900,
    "services": list(services.STRAP),
    "pmd": True,  # False: a strap without ECG
    "rssi": -60, "adv": True, "adv_ms": 100, "adv_flags": 6, "adv_uuids": None, "adv_hex": None, "scan_rsp_hex": None,
    "mtu": 512, "mtu_answer": True,  # what the server offers; or it does not know the request
    "frag": 251,  # the largest ACL packet to the host; 27 makes many
    "latency_ms": 2,  # until an answer, about a connection event
    "refuse": False,  # connection requests are not answered
    "fail_establish": False,  # the link is made, and fails at once with 0x3e
    "encrypt": [],  # characteristics that want an encrypted link
    "error": {},  # {"2a19": 14}: an ATT error for whatever is done with it
    "security_request": False,
    "hr": True, "hr_ms": 1000, "rr": True, "contact": True,
    "ecg_hz": 130, "ecg_packet": 73, "ecg_drift_ppm": 0,
    "stream_when_down": True,  # the ECG goes on without a link: what is missing shows in the sensor's time
    "measure_ms": 1000,  # of the other sensors
    "drop_every": 0, "dup_every": 0, "corrupt_every": 0,  # each n-th notification
    "battery": 87, "model": "H10", "serial": "00000001", "firmware": "5.0.0",
}

ALL = services.ALL | {"memory": memory.Memory}
ATT, SIGNALLING, SECURITY = 4, 5, 6
COMMAND_REJECT, MOVE_ETC = 0x01, (0x01, 0x03, 0x13)  # answers among the signalling codes


def address_bytes(text):
    return bytes.fromhex(text.replace(":", ""))[::-1]


def address_text(data):
    return ":".join(f"{b:02X}" for b in data[::-1])


class Link:
    def __init__(self, handle, address, central, timeout_s):
        self.handle, self.address, self.central, self.timeout_s = handle, address, central, timeout_s
        self.partial = b""  # of an L2CAP frame
        self.muted = False


class Wearable:
    def __init__(self, radio, index, wishes):
        unknown = set(wishes) - set(DEFAULTS)
        if unknown:
            raise ValueError(f"unknown settings of a wearable: {sorted(unknown)}")
        self.radio, self.loop, self.index = radio, radio.loop, index
        self.settings = {key: value.copy() if isinstance(value, (list, dict)) else value
                         for key, value in DEFAULTS.items()} | wishes
        random = self.settings["addr_type"] == "random"
        self.settings["addr"] = self.settings["addr"] or f"{'C0' if random else 'A0'}:9E:10:00:00:{index + 1:02X}"
        self.identity = (int(random), address_bytes(self.settings["addr"]))
        self.irk = os.urandom(16)
        self.address, self.rotation = self.identity, None  # as advertised, and when that changes
        self.advertising = None  # the timer of the next advertising event
        self.link = None
        self.sent = 0
        self.pairing = pairing.Pairing(self)
        self.table = attributes.Table()
        self.table.service("1800")
        self.table.characteristic("2a00", "read", read=lambda: self.settings["name"].encode())
        self.table.characteristic("2a01", "read", b"\x41\x03")  # a heart rate belt
        self.table.service("1801")
        self.table.characteristic("2a05", "indicate")
        self.services = {name: ALL[name](self, self.table) for name in self.settings["services"]
                         if name != "pmd" or self.settings["pmd"]}
        self.server = attributes.Server(self, self.table)
        if self.settings["private"]:
            self.rotate()

    def log(self, event, **more):
        self.radio.log(self, event, **more)

    def rotate(self):
        """Another private address, now and from then on."""
        self.address = (1, pairing.private_address(self.irk))
        self.log("private-address", address=address_text(self.address[1]))
        if self.rotation:
            self.rotation.cancel()
        self.rotation = self.loop.after(self.settings["private_s"], self.rotate)

    # -- advertising (Core Specification Supplement, Part A)

    def advertisement(self):
        if self.settings["adv_hex"] is not None:
            return bytes.fromhex(self.settings["adv_hex"])
        uuids = self.settings["adv_uuids"]
        if uuids is None:
            uuids = [services.ADVERTISED[name] for name in self.services if name in services.ADVERTISED]
        short = b"".join(attributes.uuid_bytes(uuid) for uuid in uuids if len(uuid) == 4)
        long = b"".join(attributes.uuid_bytes(uuid) for uuid in uuids if len(uuid) != 4)
        parts = ((0x01, bytes([self.settings["adv_flags"]])), (0x03, short), (0x07, long))
        return b"".join(bytes([len(data) + 1, type_]) + data for type_, data in parts if data)[:31]

    def scan_response(self):
        if self.settings["scan_rsp_hex"] is not None:
            return bytes.fromhex(self.settings["scan_rsp_hex"])
        name = self.settings["name"].encode()[:29]
        return bytes([len(name) + 1, 0x09]) + name

    # -- the link

    def link_up(self, link):
        self.link = link
        self.server.confirmed()
        self.server = attributes.Server(self, self.table)
        self.pairing.link_down()
        if self.settings["security_request"]:
            self.later(lambda: self.send(SECURITY, bytes([pairing.SECURITY_REQUEST, pairing.BONDING])))

    def link_down(self):
        self.link = None
        self.server.confirmed()
        self.pairing.link_down()
        self.server = attributes.Server(self, self.table)
        self.subscriptions_changed()

    def give_up(self):
        """It ends the link itself."""
        self.radio.controller.end(self, self.link, 0x13)

    def later(self, call):
        """After the latency, if the link is still the same and not silent."""
        link = self.link

        def now():
            if link and self.link is link and not link.muted:
                call()

        self.loop.after(self.settings["latency_ms"] / 1000, now)

    def subscriptions_changed(self):
        uuids = {uuid for uuid, value in self.server.subscribed.items() if value}
        for service in self.services.values():
            service.subscribed(uuids)

    # -- L2CAP (Vol 3 Part A): fixed channels, basic frames

    def send(self, channel, payload):
        """-> was it handed to the host?"""
        if not self.link or self.link.muted:
            return False
        frame, first = struct.pack("<HH", len(payload), channel) + payload, True
        size = max(1, self.settings["frag"])
        for at in range(0, len(frame), size):
            if not self.radio.controller.acl(self.link.handle, first, frame[at:at + size]):
                return False
            first = False
        return True

    def received(self, first, data):
        link = self.link
        link.partial = data if first else link.partial + data
        if len(link.partial) < 4:
            return
        size, channel = struct.unpack_from("<HH", link.partial)
        if len(link.partial) < size + 4:
            return
        payload, link.partial = link.partial[4:4 + size], b""
        receiver = {ATT: lambda: self.server.received(payload), SECURITY: lambda: self.pairing.received(payload),
                    SIGNALLING: lambda: self.signalled(payload)}.get(channel)
        if receiver:
            self.later(receiver)

    def signalled(self, payload):
        """Requests are rejected: command not understood."""
        if len(payload) >= 2 and payload[0] not in MOVE_ETC:
            self.send(SIGNALLING, struct.pack("<BBHH", COMMAND_REJECT, payload[1], 2, 0))

    # -- what it says

    def notify(self, uuid, value, **more):
        if self.server.subscribed.get(uuid, 0) & 1:
            self.say(uuid, value, False, more)

    def indicate(self, uuid, value, **more):
        if self.server.subscribed.get(uuid, 0) & 2:
            self.say(uuid, value, True, more)

    def say(self, uuid, value, indicate, more):
        """Logs what the host got, and only as sent what it got."""
        if not self.link or self.link.muted:
            return
        self.sent += 1
        every = lambda setting: self.settings[setting] and self.sent % self.settings[setting] == 0  # noqa: E731
        if every("drop_every"):
            self.log("tx", uuid=uuid, dropped=True, **more)
            return
        if len(value) + 3 > self.server.mtu:
            self.log("tx", uuid=uuid, toolong=len(value), **more)
            return
        corrupt = every("corrupt_every")
        if corrupt:
            value = bytes(b ^ 0xFF for b in value)
        for _ in range(2 if every("dup_every") and not indicate else 1):
            if self.radio.controller.hung or self.radio.controller.device is None:
                self.log("tx", uuid=uuid, dropped=True, **more)
                continue
            tell = functools.partial(self.log, "tx", uuid=uuid, hex=value.hex(), corrupt=bool(corrupt), **more)
            if indicate:
                self.server.indicate(uuid, value, tell)
            else:
                tell()
                self.server.notify(uuid, value)

    def state(self):
        pmd = self.services.get("pmd")
        beat = self.services.get("heart_rate")
        return {"addr": self.settings["addr"], "address": address_text(self.address[1]),
                "connected": self.link is not None, "enc": self.pairing.encrypted, "mtu": self.server.mtu,
                "bonded": self.pairing.bond is not None, "ecg_on": bool(pmd and pmd.running),
                "ecg_n": pmd.n if pmd else 0, "hr_n": beat.tickers["2a37"].n if beat else 0, "sent": self.sent,
                "subscribed": sorted(uuid for uuid, value in self.server.subscribed.items() if value)}


def make_all(radio, wishes):
    return [Wearable(radio, i, one) for i, one in zip(itertools.count(), wishes)]
