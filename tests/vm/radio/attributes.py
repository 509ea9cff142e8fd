"""A GATT server on the Attribute Protocol (Core Specification 5.3, Vol 3 Parts F and G): the table of attributes, and
the answers to what a client asks of it. Notifications are sent as they come, indications one at a time; one that is not
confirmed in time ends the link (3.3.3).
"""

import struct

PRIMARY, DECLARATION, CONFIGURATION = 0x2800, 0x2803, 0x2902
PROPERTIES = {"read": 0x02, "write-command": 0x04, "write": 0x08, "notify": 0x10, "indicate": 0x20}
BASE = bytes.fromhex("fb349b5f8000008000100000")

INVALID_HANDLE, NO_READ, NO_WRITE, INVALID_PDU, AUTHENTICATION = 1, 2, 3, 4, 5
NOT_SUPPORTED, INVALID_OFFSET, NOT_FOUND, INVALID_LENGTH, ENCRYPTION = 6, 7, 10, 13, 15
UNSUPPORTED_GROUP = 16
CONFIRM_S = 30


def uuid_bytes(text):
    """"2a37", or 128 bits with dashes -> as on the air."""
    text = text.replace("-", "")
    return bytes.fromhex(text)[::-1]


def whole(uuid):
    """16 bits -> 128 bits, to compare them."""
    return BASE + uuid + bytes(2) if len(uuid) == 2 else uuid


class Refused(Exception):
    def __init__(self, code, handle=0):
        super().__init__(code)
        self.code, self.handle = code, handle


class Attribute:
    def __init__(self, handle, type_, value=b"", uuid=None):
        self.handle, self.type, self.value = handle, type_, value
        self.end = handle  # of a service: its last handle
        self.uuid = uuid  # of the characteristic that it belongs to
        self.read = self.write = None  # instead of the value
        self.properties = 0

    def get(self):
        return self.read() if self.read else self.value


class Table:
    """Services and characteristics, in the order in which they are added."""

    def __init__(self):
        self.all = []
        self.values = {}  # uuid -> value attribute

    def add(self, type_, value=b"", uuid=None):
        self.all.append(Attribute(len(self.all) + 1, type_, value, uuid))
        return self.all[-1]

    def service(self, uuid):
        self.group = self.add(uuid_bytes("2800"), uuid_bytes(uuid))

    def characteristic(self, uuid, properties, value=b"", read=None, write=None):
        bits = sum(PROPERTIES[name] for name in properties.split())
        declaration = self.add(uuid_bytes("2803"), uuid=uuid)
        value = self.values[uuid] = self.add(uuid_bytes(uuid), value, uuid)
        value.read, value.write, value.properties = read, write, bits
        declaration.value = struct.pack("<BH", bits, value.handle) + uuid_bytes(uuid)
        if bits & (PROPERTIES["notify"] | PROPERTIES["indicate"]):
            self.add(uuid_bytes("2902"), uuid=uuid)
        self.group.end = len(self.all)

    def between(self, first, last):
        if first == 0 or first > last:
            raise Refused(INVALID_HANDLE, first)
        return self.all[first - 1:last]

    def at(self, handle):
        if not 0 < handle <= len(self.all):
            raise Refused(INVALID_HANDLE, handle)
        return self.all[handle - 1]


class Server:
    """That of one link."""

    def __init__(self, wearable, table):
        self.wearable, self.table = wearable, table
        self.mtu = 23
        self.subscribed = {}  # uuid -> value of its client characteristic configuration
        self.prepared = []
        self.waiting, self.unconfirmed = [], None
        self.requests = {
            0x02: self.exchange_mtu, 0x04: self.find_information, 0x06: self.find_by_type_value,
            0x08: self.read_by_type, 0x0A: self.read, 0x0C: self.read_blob, 0x10: self.read_by_group_type,
            0x12: self.write, 0x16: self.prepare_write, 0x18: self.execute_write,
        }

    def received(self, pdu):
        opcode = pdu[0] if pdu else 0
        if opcode == 0x1E:
            self.confirmed()
            self.indicate_next()
        elif opcode == 0x52:
            try:
                self.write(pdu)
            except (Refused, struct.error):
                pass  # a command is never answered
        elif not opcode & 0x40 and opcode % 2 == 0:
            self.wearable.send(4, self.answer(opcode, pdu))

    def answer(self, opcode, pdu):
        try:
            if opcode not in self.requests:
                raise Refused(NOT_SUPPORTED)
            return self.requests[opcode](pdu)
        except Refused as refused:
            return struct.pack("<BBHB", 1, opcode, refused.handle, refused.code)
        except struct.error:
            return struct.pack("<BBHB", 1, opcode, 0, INVALID_PDU)

    # -- towards the client

    def notify(self, uuid, value):
        self.wearable.send(4, struct.pack("<BH", 0x1B, self.table.values[uuid].handle) + value)

    def indicate(self, uuid, value, sending=lambda: None):
        """`sending` is called when it is its turn, which may never be."""
        self.waiting.append((struct.pack("<BH", 0x1D, self.table.values[uuid].handle) + value, sending))
        self.indicate_next()

    def indicate_next(self):
        if self.waiting and not self.unconfirmed:
            self.unconfirmed = self.wearable.loop.after(CONFIRM_S, self.wearable.give_up)
            pdu, sending = self.waiting.pop(0)
            sending()
            self.wearable.send(4, pdu)

    def confirmed(self):
        if self.unconfirmed:
            self.unconfirmed.cancel()
        self.unconfirmed = None

    # -- requests

    def permit(self, attribute, write):
        """Declarations may always be read; for the rest the wearable's whims come first."""
        settings, uuid = self.wearable.settings, attribute.uuid
        if attribute.type in (uuid_bytes("2800"), uuid_bytes("2803")):
            if write:
                raise Refused(NO_WRITE, attribute.handle)
            return
        if settings["error"].get(uuid):
            raise Refused(settings["error"][uuid], attribute.handle)
        configuration = attribute.type == uuid_bytes("2902")
        if uuid in settings["encrypt"] and not self.wearable.pairing.encrypted:
            raise Refused(AUTHENTICATION if configuration else ENCRYPTION, attribute.handle)
        if configuration:
            return
        allowed = (PROPERTIES["write"] | PROPERTIES["write-command"]) if write else PROPERTIES["read"]
        if not attribute.properties & allowed:
            raise Refused(NO_WRITE if write else NO_READ, attribute.handle)

    def value(self, attribute):
        self.permit(attribute, False)
        if attribute.type == uuid_bytes("2902"):
            return struct.pack("<H", self.subscribed.get(attribute.uuid, 0))
        return attribute.get()

    def exchange_mtu(self, pdu):
        (client,) = struct.unpack_from("<H", pdu, 1)
        if not self.wearable.settings["mtu_answer"]:
            raise Refused(NOT_SUPPORTED)
        ours = max(23, self.wearable.settings["mtu"])
        self.mtu = max(23, min(client, ours))
        self.wearable.log("mtu", client=client, mtu=self.mtu)
        return struct.pack("<BH", 0x03, ours)

    def listed(self, head, first, items):
        """As many items of one length as fit."""
        out = b""
        for item in items:
            item = item[:min(self.mtu - len(head) - 1, 255)]
            if out and (len(item) != size or len(out) + size > self.mtu - len(head) - 1):
                break
            size, out = len(item), out + item
        if not out:
            raise Refused(NOT_FOUND, first)
        return head + bytes([size]) + out

    def find_information(self, pdu):
        first, last = struct.unpack_from("<HH", pdu, 1)
        items = (struct.pack("<H", a.handle) + a.type for a in self.table.between(first, last))
        answer = bytearray(self.listed(b"\x05", first, items))
        answer[1] = 1 if answer[1] == 4 else 2  # not the length but the format
        return bytes(answer)

    def find_by_type_value(self, pdu):
        first, last, type_ = struct.unpack_from("<HHH", pdu, 1)
        out = b"".join(struct.pack("<HH", a.handle, a.end) for a in self.table.between(first, last)
                       if a.type == struct.pack("<H", type_) and a.value == pdu[7:])
        if not out:
            raise Refused(NOT_FOUND, first)
        return b"\x07" + out[:(self.mtu - 1) // 4 * 4]

    def read_by_type(self, pdu):
        """What may not be read ends the list, or is the answer if it comes first."""
        first, last = struct.unpack_from("<HH", pdu, 1)
        items = []
        for a in self.table.between(first, last):
            if whole(a.type) != whole(pdu[5:]):
                continue
            try:
                items.append(struct.pack("<H", a.handle) + self.value(a))
            except Refused:
                if not items:
                    raise
                break
        return self.listed(b"\x09", first, items)

    def read_by_group_type(self, pdu):
        first, last = struct.unpack_from("<HH", pdu, 1)
        if pdu[5:] != uuid_bytes("2800"):
            raise Refused(UNSUPPORTED_GROUP, first)
        return self.listed(b"\x11", first, (struct.pack("<HH", a.handle, a.end) + a.value
                                            for a in self.table.between(first, last) if a.type == pdu[5:]))

    def read(self, pdu):
        (handle,) = struct.unpack_from("<H", pdu, 1)
        return b"\x0b" + self.value(self.table.at(handle))[:self.mtu - 1]

    def read_blob(self, pdu):
        handle, offset = struct.unpack_from("<HH", pdu, 1)
        value = self.value(self.table.at(handle))
        if offset > len(value):
            raise Refused(INVALID_OFFSET, handle)
        return b"\x0d" + value[offset:offset + self.mtu - 1]

    def write(self, pdu):
        (handle,) = struct.unpack_from("<H", pdu, 1)
        self.put(self.table.at(handle), pdu[3:])
        return b"\x13"

    def put(self, attribute, value):
        self.permit(attribute, True)
        if attribute.type == uuid_bytes("2902"):
            if len(value) != 2:
                raise Refused(INVALID_LENGTH, attribute.handle)
            self.subscribed[attribute.uuid] = struct.unpack("<H", value)[0]
            self.wearable.log("cccd", uuid=attribute.uuid, value=self.subscribed[attribute.uuid])
            self.wearable.later(self.wearable.subscriptions_changed)
            return
        self.wearable.log("write", uuid=attribute.uuid, hex=value.hex())
        if attribute.write:  # after the answer, which an indication must not overtake
            self.wearable.later(lambda: attribute.write(value))

    def prepare_write(self, pdu):
        handle, offset = struct.unpack_from("<HH", pdu, 1)
        self.permit(self.table.at(handle), True)
        self.prepared.append((handle, offset, pdu[5:]))
        return b"\x17" + pdu[1:]

    def execute_write(self, pdu):
        (flags,) = struct.unpack_from("<B", pdu, 1)
        queue, self.prepared = self.prepared, []
        for handle in dict.fromkeys(one[0] for one in queue) if flags else ():
            value = b""
            for _, offset, part in (one for one in queue if one[0] == handle):
                if offset > len(value):
                    raise Refused(INVALID_OFFSET, handle)
                value = value[:offset] + part
            self.put(self.table.at(handle), value)
        return b"\x19"
