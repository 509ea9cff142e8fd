"""What the wearables measure. Every value is a function of a counter that runs with the time, whether somebody listens
or not: so a gap shows, nothing is random, and a test that has the log can say which notification is missing.
"""

import math
import struct

PMD = "fb005c8{}-02e7-f387-1cad-8acd2d8df0c8"
PMD_CONTROL, PMD_DATA = PMD.format(1), PMD.format(2)
STRAP = ("heart_rate", "battery", "information", "pmd")
ECG_TYPE = 0
BEAT = 104  # samples: 75 beats a minute at 130 Hz
NOISE_UV = 41
# The waves of one beat: microvolts, where (0 to 1), how wide.
WAVES = ((120, 0.18, 0.025), (-110, 0.345, 0.009), (1150, 0.37, 0.011), (-240, 0.395, 0.010), (290, 0.62, 0.040))
SHAPE = [round(sum(height * math.exp(-(((i / BEAT) - centre) / width) ** 2 / 2) for height, centre, width in WAVES))
         for i in range(BEAT)]


def ecg_uv(i):
    """Sample i: the beat, a baseline that breathes, and noise; no two frames are alike."""
    breath = abs(i % 520 - 260) // 8 - 16
    return SHAPE[i % BEAT] + breath + (i * 2654435761 >> 13) % NOISE_UV - NOISE_UV // 2


def sfloat(mantissa, exponent=0):
    """IEEE 11073-20601, 16 bits."""
    return struct.pack("<H", exponent % 16 << 12 | mantissa % 4096)


def float32(mantissa, exponent=0):
    """IEEE 11073-20601, 32 bits."""
    return struct.pack("<I", exponent % 256 << 24 | mantissa % (1 << 24))


class Ticker:
    """Calls send(n) for each n whose time comes while it runs: n * period() after it was made."""

    def __init__(self, loop, period, send):
        self.loop, self.period, self.send = loop, period, send
        self.n, self.due, self.timer = 0, loop.now(), None

    def start(self):
        """What was not heard is skipped, not caught up with."""
        if self.timer:
            return
        behind = max(0, math.ceil((self.loop.now() - self.due) / self.period()))
        self.n += behind
        self.due += behind * self.period()
        self.timer = self.loop.at(self.due, self.tick)

    def tick(self):
        n = self.n
        self.n += 1
        self.due += self.period()
        self.timer = self.loop.at(self.due, self.tick)
        self.send(n)

    def stop(self):
        if self.timer:
            self.timer.cancel()
        self.timer = None


class Service:
    """One service of one wearable; adds itself to the table."""

    def __init__(self, wearable, table):
        self.wearable, self.settings = wearable, wearable.settings
        self.tickers = {}  # uuid -> Ticker that runs while the uuid is subscribed
        self.add(table)

    def ticks(self, uuid, setting, send):
        self.tickers[uuid] = Ticker(self.wearable.loop, lambda: max(0.001, self.settings[setting] / 1000), send)

    def subscribed(self, uuids):
        for uuid, ticker in self.tickers.items():
            ticker.start() if uuid in uuids else ticker.stop()

    def text(self, name):
        return lambda: self.settings[name].encode()


class HeartRate(Service):
    def add(self, table):
        table.service("180d")
        table.characteristic("2a37", "notify")
        table.characteristic("2a38", "read", b"\x01")
        self.ticks("2a37", "hr_ms", self.beat)

    def beat(self, n):
        """Rate and interval together name n for an hour; every tenth has energy, every seventh two intervals."""
        if not self.settings["hr"]:
            return
        bpm = 58 + n % 41
        flags, value = (0x06 if self.settings["contact"] else 0x04), bytes([bpm])
        if n % 10 == 0:
            flags, value = flags | 0x08, value + struct.pack("<H", n // 10 & 0xFFFF)
        if self.settings["rr"]:
            interval = 61440 // bpm + n % 89 - 44
            flags, value = flags | 0x10, value + struct.pack("<H", interval)
            if n % 7 == 0:
                value += struct.pack("<H", interval + 3)
        self.wearable.notify("2a37", bytes([flags]) + value, n=n, bpm=bpm)


class Battery(Service):
    def add(self, table):
        table.service("180f")
        table.characteristic("2a19", "read notify", read=lambda: bytes([self.settings["battery"]]))


class Information(Service):
    def add(self, table):
        table.service("180a")
        table.characteristic("2a29", "read", b"Lab")
        for uuid, name in (("2a24", "model"), ("2a25", "serial"), ("2a26", "firmware")):
            table.characteristic(uuid, "read", read=self.text(name))


class Pmd(Service):
    """ECG as a Polar H10 sends it: asked for at the control point, in frames of 73 samples and the time of the last."""

    CLOCK_NS = 800_000_000_000_000_000  # its clock when it was made: the year 2025
    SETTINGS = bytes.fromhex("00018200 01010e00")  # 130 Hz, 14 bits
    INVALID_OPERATION, INVALID_TYPE, INVALID_PARAMETER, ALREADY, INVALID_MTU = 1, 2, 5, 6, 10

    def add(self, table):
        table.service(PMD.format(0))
        table.characteristic(PMD_CONTROL, "read write indicate", b"\x0f\x01" + bytes(15), write=self.command)
        table.characteristic(PMD_DATA, "notify")
        self.born, self.n, self.running, self.timer = self.wearable.loop.now(), 0, False, None

    def subscribed(self, uuids):
        if PMD_DATA not in uuids:
            self.stop()

    def command(self, data):
        opcode, type_ = (data + bytes(2))[:2]
        status, rest = 0, b""
        if self.wearable.server.mtu < 64:  # it does not even say what was asked
            self.wearable.indicate(PMD_CONTROL, bytes([0xF0, 0, opcode, self.INVALID_MTU]))
            return
        if opcode not in (1, 2, 3):
            status = self.INVALID_OPERATION
        elif type_ & 0x3F != ECG_TYPE:
            status = self.INVALID_TYPE
        elif opcode == 1:
            rest = b"\x00" + self.SETTINGS
        elif opcode == 2:
            status = self.start(data[2:])
        else:
            self.stop()
        self.wearable.indicate(PMD_CONTROL, bytes([0xF0, opcode, type_, status]) + (rest or b"\x00"))

    def start(self, settings):
        if self.running:
            return self.ALREADY
        if settings != self.SETTINGS:
            return self.INVALID_PARAMETER
        if self.wearable.server.mtu < 13 + 3 * self.settings["ecg_packet"]:
            return self.INVALID_MTU
        now = self.wearable.loop.now()
        if self.settings["stream_when_down"]:
            self.n = max(self.n, int((now - self.born) * self.settings["ecg_hz"]))
        self.running, self.first, self.since = True, self.n, now
        self.wearable.log("stream", on=True)
        self.next()
        return 0

    def stop(self):
        if self.running:
            self.timer.cancel()
            self.running = False
            self.wearable.log("stream", on=False)

    def next(self):
        """From the start on, so that late timers do not add up."""
        real_hz = self.settings["ecg_hz"] * (1 + self.settings["ecg_drift_ppm"] / 1e6)
        end = self.n + self.settings["ecg_packet"]
        self.timer = self.wearable.loop.at(self.since + (end - self.first) / real_hz, self.frame)

    def frame(self):
        first, n = self.n, self.settings["ecg_packet"]
        self.n += n
        ns = self.CLOCK_NS + (self.n - 1) * 1_000_000_000 // self.settings["ecg_hz"]
        samples = b"".join(ecg_uv(i).to_bytes(3, "little", signed=True) for i in range(first, self.n))
        self.next()
        self.wearable.notify(PMD_DATA, struct.pack("<BQB", ECG_TYPE, ns, 0) + samples, first=first, n=n, ts=ns)


class Oximeter(Service):
    """Pulse Oximeter Service: continuous measurements, now and then without a value."""

    NO_VALUE = 0x07FF

    def add(self, table):
        table.service("1822")
        table.characteristic("2a5f", "notify")
        table.characteristic("2a60", "read", b"\x00\x00")
        self.ticks("2a5f", "measure_ms", self.measure)

    def measure(self, n):
        if n % 16 == 15:
            value = sfloat(self.NO_VALUE) * 2
        else:
            value = sfloat(930 + n % 70, -1) + sfloat(55 + n % 53)
        self.wearable.notify("2a5f", b"\x00" + value, n=n)


class Thermometer(Service):
    """Health Thermometer Service: degrees Celsius, hundredths, of the ear."""

    def add(self, table):
        table.service("1809")
        table.characteristic("2a1c", "indicate")
        table.characteristic("2a1d", "read", b"\x03")
        self.ticks("2a1c", "measure_ms", self.measure)

    def measure(self, n):
        self.wearable.indicate("2a1c", b"\x04" + float32(3600 + n % 211, -2) + b"\x03", n=n)


class BloodPressure(Service):
    """Blood Pressure Service: mmHg, with the pulse."""

    def add(self, table):
        table.service("1810")
        table.characteristic("2a35", "indicate")
        table.characteristic("2a49", "read", b"\x00\x00")
        self.ticks("2a35", "measure_ms", self.measure)

    def measure(self, n):
        systolic, diastolic = 110 + n % 37, 70 + n % 23
        values = (systolic, diastolic, (systolic + 2 * diastolic) // 3, 60 + n % 31)
        self.wearable.indicate("2a35", b"\x04" + b"".join(sfloat(v) for v in values), n=n)


ALL = {"heart_rate": HeartRate, "battery": Battery, "information": Information, "pmd": Pmd, "oximeter": Oximeter,
       "thermometer": Thermometer, "blood_pressure": BloodPressure}
ADVERTISED = {"heart_rate": "180d", "oximeter": "1822", "thermometer": "1809", "blood_pressure": "1810"}
