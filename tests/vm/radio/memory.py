"""The memory of a Polar H10: one recording of the intervals between beats, which goes on without a link, and the file
transfer that it is reached by. What is recorded is a function of a counter, and each beat is in the log.
"""

import services

FILES = "fb005c5{}-02e7-f387-1cad-8acd2d8df0c8"
MTU, D2H, H2D = FILES.format(1), FILES.format(2), FILES.format(3)
GET, REMOVE = 0, 3
START, STOP, STATUS = 14, 15, 16
NO_FILE, NOT_PERMITTED, NOT_IMPLEMENTED = 103, 106, 201
INTERVALS, SAMPLES = 16, "SAMPLES.BPB"
PACE_S = 0.02  # between packets, a connection event or so


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number, value):
    """A protocol buffer's: an integer, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(data):
    """{number: value} of what the host sends; enough for that."""
    found, at = {}, 0

    def number():
        nonlocal at
        value, shift = 0, 0
        while True:
            at, byte = at + 1, data[at]
            value, shift = value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(data):
        tag = number()
        value = number()
        if tag & 7 == 2:
            at, value = at + value, data[at:at + value]
        found[tag >> 3] = value
    return found


def interval_ms(n):
    return 650 + n * 37 % 301


class Memory(services.Service):
    def add(self, table):
        table.service("feee")
        table.characteristic(MTU, "write write-command notify", write=self.packet)
        table.characteristic(D2H, "notify")
        table.characteristic(H2D, "write write-command")
        self.n, self.recording, self.beats, self.timer = 0, None, [], None
        self.files = {}
        self.message, self.sending = b"", None

    def subscribed(self, uuids):
        if MTU not in uuids and self.sending:
            self.sending.cancel()
            self.sending = None

    # -- the recording

    def start(self, name):
        if self.recording or self.files:
            return NOT_PERMITTED
        self.recording, self.beats, self.due = name, [], self.wearable.loop.now()
        self.wearable.log("recording", on=True, name=name)
        self.next_beat()
        return 0

    def next_beat(self):
        self.due += interval_ms(self.n) / 1000
        self.timer = self.wearable.loop.at(self.due, self.beat)

    def beat(self):
        self.beats.append(interval_ms(self.n))
        self.wearable.log("beat", n=self.n, ms=interval_ms(self.n))
        self.n += 1
        self.next_beat()

    def stop(self):
        if not self.recording:
            return NOT_PERMITTED
        self.timer.cancel()
        beats = field(28, field(1, b"".join(varint(ms) for ms in self.beats)))
        self.files[f"/{self.recording}/{SAMPLES}"] = field(1, field(3, 1)) + beats
        self.wearable.log("recording", on=False, name=self.recording, n=len(self.beats))
        self.recording = None
        return 0

    # -- the file transfer

    def packet(self, data):
        head = data[0]
        self.message = (self.message if head & 1 else b"") + data[1:]
        if head >> 1 & 3 == 1:
            message, self.message = self.message, b""
            self.answer(*self.understand(message))

    def understand(self, message):
        """-> an error and an answer."""
        head, rest = int.from_bytes(message[:2], "little"), message[2:]
        if head & 0x8000:
            return self.query(head & 0x7FFF, fields(rest))
        asked = fields(rest[:head])
        path = asked[2].decode()
        if asked.get(1, 0) == GET:
            return self.get(path)
        if asked[1] != REMOVE:
            return NOT_IMPLEMENTED, b""
        self.wearable.log("removed", path=path, there=path in self.files)
        return (0 if self.files.pop(path, None) else NO_FILE), b""

    def query(self, number, asked):
        if number == STATUS:
            return 0, field(1, int(bool(self.recording))) + field(2, (self.recording or "").encode())
        if number == STOP:
            return self.stop(), b""
        if number == START and asked.get(1) == INTERVALS:
            return self.start(asked[3].decode()), b""
        return NOT_IMPLEMENTED, b""

    def get(self, path):
        if not path.endswith("/"):
            return (0, self.files[path]) if path in self.files else (NO_FILE, b"")
        entries = {}
        for name, data in self.files.items():
            inside, below, _ = name.removeprefix(path).partition("/")
            if name.startswith(path):
                entries[inside + below] = 0 if below else len(data)
        return 0, b"".join(field(1, field(1, name.encode()) + field(2, size)) for name, size in entries.items())

    def answer(self, error, data):
        """In packets of the link's MTU, one after the other."""
        if error or not data:
            self.wearable.notify(MTU, b"\x00" + error.to_bytes(2, "little"))
            return
        room = self.wearable.server.mtu - 4
        parts = [data[at:at + room] for at in range(0, len(data), room)]

        def send(i):
            status = 1 if i + 1 == len(parts) else 3
            self.wearable.notify(MTU, bytes([int(i > 0) | status << 1 | (i & 15) << 4]) + parts[i], part=i)
            self.sending = self.wearable.loop.after(PACE_S, lambda: send(i + 1)) if status == 3 else None

        send(0)
