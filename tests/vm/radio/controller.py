"""A Bluetooth 4.2 controller, LE only, as the host sees it (Core Specification 5.3, Vol 4 Part E), on /dev/vhci; and the
air between it and the wearables. What costs nothing is done at once, what takes a connection event takes a few ms.

Only while the host scans or waits for a connection do the wearables advertise: nobody else would hear it.
"""

import os
import struct

import pairing
from wearable import Link, address_bytes

COMMAND, ACL, EVENT, VENDOR = 1, 2, 4, 0xFF
SUCCESS, UNKNOWN_COMMAND, NO_CONNECTION, LIMIT, DISALLOWED = 0x00, 0x01, 0x02, 0x09, 0x0C
LINK_TIMEOUT, REMOTE_ENDED, LOCAL_ENDED, NOT_ESTABLISHED = 0x08, 0x13, 0x16, 0x3E
ACL_SIZE, ACL_PACKETS = 251, 8
VERSION, COMPANY = 8, 0x05F1  # 4.2; The Linux Foundation
FIRST_HANDLE = 0x40
# Whatever is asked of the other side takes two connection events at least. bluetoothd 5.66 depends on it: it has to hear
# that there is a link before the kernel, which first asks for features, opens the channel on it.
ESTABLISH_S, DISCONNECT_S, ENCRYPT_S, ASK_S = 0.05, 0.01, 0.005, 0.1

LMP_FEATURES = bytes([0, 0, 0, 0, 0x60, 0, 0, 0])  # BR/EDR not supported, LE supported
LE_FEATURES = bytes([0x01, 0, 0, 0, 0, 0, 0, 0])  # encryption
LE_STATES = bytes.fromhex("ffffffffff030000")
# Supported commands, octet -> bits (6.27): those that are answered below.
COMMANDS = {0: 0x20, 2: 0x80, 5: 0xC0, 10: 0x04, 14: 0xA8, 15: 0x22, 25: 0xF7, 26: 0xFF, 27: 0xFF, 28: 0x09}

NOTHING_TO_DO = (
    0x0C01, 0x0C63,  # event masks
    0x2001, 0x2006, 0x2008, 0x2009, 0x200A,  # LE event mask; our own advertising: nobody would hear it
    0x2014,  # host channel classification
)


class Controller:
    def __init__(self, radio, address, slots=None):
        self.radio, self.loop, self.address, self.slots = radio, radio.loop, address_bytes(address), slots
        self.device = None
        self.hung = False
        self.answers = {
            0x0C03: self.reset,
            0x1001: lambda p: struct.pack("<BHBHH", VERSION, 0, VERSION, COMPANY, 0),
            0x1002: lambda p: bytes(COMMANDS.get(i, 0) for i in range(64)),
            0x1003: lambda p: LMP_FEATURES,
            0x1004: lambda p: p[:1] + b"\0" + LMP_FEATURES,
            0x1005: lambda p: struct.pack("<HBHH", ACL_SIZE, 0, ACL_PACKETS, 0),
            0x1009: lambda p: self.address,
            0x1405: lambda p: p[:2] + struct.pack("b", self.rssi(p)),
            0x0C2D: lambda p: p[:2] + b"\0",  # transmit power
            0x2002: lambda p: struct.pack("<HB", ACL_SIZE, ACL_PACKETS),
            0x2003: lambda p: LE_FEATURES,
            0x2005: self.set_random_address,
            0x2007: lambda p: b"\0",
            0x200B: self.set_scan_parameters,
            0x200C: self.set_scan,
            0x200F: lambda p: b"\x10",
            0x2010: lambda p: self.accept.clear(),
            0x2011: lambda p: self.accept.add(p[:7]),
            0x2012: lambda p: self.accept.discard(p[:7]),
            0x2015: lambda p: p[:2] + b"\xff\xff\xff\xff\x1f",
            0x2017: lambda p: pairing.e(p[:16], p[16:32]),
            0x2018: lambda p: os.urandom(8),
            0x201C: lambda p: LE_STATES,
        } | {opcode: lambda p: None for opcode in NOTHING_TO_DO}
        self.begins = {  # answered with a status, and later with an event
            0x0406: self.disconnect,
            0x041D: self.read_remote_version,
            0x200D: self.create_connection,
            0x2013: self.update_connection,
            0x2016: self.read_remote_features,
            0x2019: self.start_encryption,
        }
        self.reset()

    def reset(self, parameters=None):
        for one in self.radio.wearables:
            if one.link:
                one.link_down()
        self.scanning = self.active = self.only_accepted = self.no_duplicates = False
        self.accept, self.seen = set(), set()
        self.pending = None  # (by accept list?, peer, parameters of the link)
        self.random_address, self.own = bytes(6), (0, self.address)

    # -- the plug

    def plug(self):
        if self.device is not None:
            return
        self.device = os.open("/dev/vhci", os.O_RDWR | os.O_NONBLOCK)
        os.write(self.device, bytes([VENDOR, 0]))  # a primary controller, now
        self.loop.watch(self.device, self.readable)

    def unplug(self):
        if self.device is None:
            return
        self.loop.forget(self.device)
        os.close(self.device)
        self.device = None
        self.reset()

    # -- to the host

    def write(self, kind, data):
        """-> was it handed over?"""
        if self.device is None or self.hung:
            return False
        try:
            os.write(self.device, bytes([kind]) + data)
        except OSError as error:
            self.radio.log(None, "vhci-write-failed", err=str(error), hex=data[:20].hex())
            return False
        return True

    def event(self, code, data):
        self.write(EVENT, bytes([code, len(data)]) + data)

    def le_event(self, code, data):
        self.event(0x3E, bytes([code]) + data)

    def acl(self, handle, first, data):
        return self.write(ACL, struct.pack("<HH", handle | (0x2000 if first else 0x1000), len(data)) + data)

    # -- from the host

    def readable(self):
        try:
            packet = os.read(self.device, 4096)
        except BlockingIOError:
            return
        if self.hung or not packet:
            return  # what a wedged controller was told is lost
        if packet[0] == VENDOR:
            self.radio.log(None, "adapter", index=struct.unpack_from("<H", packet, 2)[0])
        elif packet[0] == COMMAND:
            self.command(struct.unpack_from("<H", packet, 1)[0], packet[4:])
        elif packet[0] == ACL:
            handle, size = struct.unpack_from("<HH", packet, 1)
            self.event(0x13, struct.pack("<BHH", 1, handle & 0xFFF, 1))  # one packet is through
            one = self.by_handle(handle)
            if one:
                one.received(handle >> 12 & 3 != 1, packet[5:5 + size])

    def command(self, opcode, parameters):
        try:
            if opcode in self.answers:
                values = self.answers[opcode](parameters) or b""
                self.event(0x0E, struct.pack("<BHB", 1, opcode, SUCCESS) + values)
            elif opcode == 0x200E:
                self.cancel_connection()
            elif opcode in self.begins:
                outcome = self.begins[opcode](parameters)
                status, then = outcome if isinstance(outcome, tuple) else (outcome, None)
                self.event(0x0F, struct.pack("<BBH", status, 1, opcode))
                if then:
                    then()
            else:
                self.radio.log(None, "unknown-command", op=f"{opcode:04x}", hex=parameters.hex())
                self.event(0x0F, struct.pack("<BBH", UNKNOWN_COMMAND, 1, opcode))
        except struct.error:
            self.radio.log(None, "short-command", op=f"{opcode:04x}", hex=parameters.hex())
            self.event(0x0F, struct.pack("<BBH", 0x12, 1, opcode))  # invalid parameters

    def by_handle(self, data):
        handle = data if isinstance(data, int) else struct.unpack_from("<H", data)[0]
        return next((one for one in self.radio.wearables if one.link and one.link.handle == handle & 0xFFF), None)

    def rssi(self, parameters):
        one = self.by_handle(parameters)
        return one.settings["rssi"] if one else 127  # 127: not to be had

    def set_random_address(self, parameters):
        self.random_address = parameters[:6]

    def set_scan_parameters(self, parameters):
        self.active, self.only_accepted = bool(parameters[0]), bool(parameters[6] & 1)

    def set_scan(self, parameters):
        self.scanning, self.no_duplicates = bool(parameters[0]), bool(parameters[1])
        self.seen.clear()
        self.listen()

    # -- links

    def create_connection(self, parameters):
        policy, peer, own = parameters[4], parameters[5:12], parameters[12]
        if self.pending:
            return DISALLOWED
        if self.slots is not None and sum(one.link is not None for one in self.radio.wearables) >= self.slots:
            return LIMIT
        self.own = (1, self.random_address) if own & 1 else (0, self.address)
        self.pending = (policy == 1, peer, struct.unpack_from("<HHHH", parameters, 13))
        self.listen()
        return SUCCESS

    def cancel_connection(self):
        pending, self.pending = self.pending, None
        self.event(0x0E, struct.pack("<BHB", 1, 0x200E, SUCCESS if pending else DISALLOWED))
        if pending:
            self.le_event(0x01, bytes([NO_CONNECTION]) + bytes(17))

    def connect(self, one):
        interval, latency, timeout = self.pending[2][1:]
        self.pending = None
        one.link_up(Link(FIRST_HANDLE + one.index, one.address, self.own, timeout / 100))
        one.log("connected", interval=interval, timeout=timeout)
        self.le_event(0x01, struct.pack("<BHB", SUCCESS, one.link.handle, 0) + bytes([one.address[0]]) + one.address[1]
                      + struct.pack("<HHHB", interval, latency, timeout, 0))
        if one.settings["fail_establish"]:
            self.end_later(ESTABLISH_S, one, NOT_ESTABLISHED)

    def end_later(self, seconds, one, reason):
        link = one.link
        self.loop.after(seconds, lambda: self.end(one, link, reason))

    def end(self, one, link, reason):
        if not link or one.link is not link:
            return
        one.link_down()
        one.log("disconnected", reason=reason)
        self.event(0x05, struct.pack("<BHB", SUCCESS, link.handle, reason))
        self.listen()

    def disconnect(self, parameters):
        one = self.by_handle(parameters)
        if not one:
            return NO_CONNECTION
        return SUCCESS, lambda: self.end_later(DISCONNECT_S, one, LOCAL_ENDED)

    def read_remote_version(self, parameters):
        return SUCCESS, lambda: self.loop.after(ASK_S, lambda: self.event(
            0x0C, b"\0" + parameters[:2] + struct.pack("<BHH", VERSION, COMPANY, 0)))

    def read_remote_features(self, parameters):
        return SUCCESS, lambda: self.loop.after(
            ASK_S, lambda: self.le_event(0x04, b"\0" + parameters[:2] + LE_FEATURES))

    def update_connection(self, parameters):
        handle, _, interval, latency, timeout = struct.unpack_from("<HHHHH", parameters)
        one = self.by_handle(handle)
        if not one:
            return NO_CONNECTION
        one.link.timeout_s = timeout / 100
        return SUCCESS, lambda: self.le_event(0x03, struct.pack("<BHHHH", SUCCESS, handle, interval, latency, timeout))

    def start_encryption(self, parameters):
        handle, rand, ediv, key = struct.unpack_from("<H8sH16s", parameters)
        one = self.by_handle(handle)
        if not one:
            return NO_CONNECTION
        status = one.pairing.encrypt(rand, ediv, key)

        def encrypted():
            self.event(0x08, struct.pack("<BHB", status, handle, int(status == SUCCESS)))
            one.later(one.pairing.hand_out)

        return SUCCESS, lambda: self.loop.after(ENCRYPT_S, encrypted)

    # -- the air

    def listen(self):
        """Starts the wearables' advertising where somebody listens now; it ends by itself."""
        if self.scanning or self.pending:
            for place, one in enumerate(self.radio.wearables):
                if not one.advertising and not one.link and one.settings["adv"]:
                    one.advertising = self.loop.after(0.003 * (place + 1), lambda one=one: self.advertise(one))

    def advertise(self, one):
        one.advertising = None
        if self.device is None or one.link or not one.settings["adv"] or not (self.scanning or self.pending):
            return
        self.heard(one)
        if not one.link:
            one.advertising = self.loop.after(max(0.005, one.settings["adv_ms"] / 1000), lambda: self.advertise(one))

    def heard(self, one):
        who = bytes([one.address[0]]) + one.address[1]
        if self.pending and not one.settings["refuse"]:
            by_list, peer, _ = self.pending
            if who in self.accept if by_list else who == peer:
                self.connect(one)
                return
        if not self.scanning or self.only_accepted and who not in self.accept:
            return
        if self.no_duplicates and who in self.seen:
            return
        self.seen.add(who)
        reports = [(0, one.advertisement())] + ([(4, one.scan_response())] if self.active else [])
        for kind, data in reports:
            self.le_event(0x02, bytes([1, kind]) + who + bytes([len(data)]) + data
                          + struct.pack("b", one.settings["rssi"]))
