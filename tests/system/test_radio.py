"""The simulated radio of tests/vm, as far as it can be tried without a kernel: its cryptography against the samples
of the standards, what it advertises, and its GATT server through scripts of bytes."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "vm" / "radio"))

import pairing  # noqa: E402
import timers  # noqa: E402
import wearable  # noqa: E402


def reverse(text):
    return bytes.fromhex(text)[::-1]


def test_aes():
    """FIPS 197, appendices B and C.1."""
    for key, plain, coded in (
        ("2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734", "3925841d02dc09fbdc118597196a0b32"),
        ("000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"),
    ):
        assert pairing.aes(bytes.fromhex(key), bytes.fromhex(plain)).hex() == coded


def test_confirm_value():
    """Core Specification 5.3, Vol 3 Part H 2.2.3."""
    value = pairing.c1(bytes(16), reverse("5783d52156ad6f0e6388274ec6702ee0"), reverse("07071000000101"),
                       reverse("05000800000302"), (1, reverse("a1a2a3a4a5a6")), (0, reverse("b1b2b3b4b5b6")))
    assert value == reverse("1e1e3fef878988ead2a74dc5bef13b86")


def test_short_term_key():
    """Vol 3 Part H 2.2.4."""
    key = pairing.s1(bytes(16), reverse("000f0e0d0c0b0a091122334455667788"), reverse("010203040506070899aabbccddeeff00"))
    assert key == reverse("9a1fe1f0e8b0f49b5b4216ae796da062")


def test_private_address():
    """Vol 3 Part H D.7: a hash under a key; and its place in the address."""
    irk = reverse("ec0234a357c8ad05341010a60a397d9b")
    assert pairing.ah(irk, reverse("708194")) == reverse("0dfbaa")
    address = pairing.private_address(irk, random=lambda n: reverse("f08194"))
    assert address[3:] == reverse("708194") and address[:3] == reverse("0dfbaa")


class Air:
    """In place of the radio: keeps what is sent and logged."""

    def __init__(self):
        self.loop, self.controller = timers.Loop(), self
        self.hung, self.device = False, 0
        self.frames, self.logged = [], []

    def log(self, one, event, **more):
        self.logged.append((event, more))

    def acl(self, handle, first, data):
        self.frames.append((first, data))
        return True

    def payloads(self):
        out = []
        for first, data in self.frames:
            if first:
                out.append(data[4:])
            else:
                out[-1] += data
        self.frames.clear()
        return [one.hex() for one in out]


@pytest.fixture
def air():
    return Air()


def linked(air, **settings):
    one = wearable.Wearable(air, 0, settings)
    one.link_up(wearable.Link(0x40, one.address, (0, bytes(6)), 0.5))
    one.later = lambda call: call()
    return one


def test_advertisement(air):
    one = wearable.Wearable(air, 0, {"name": "Strap"})
    assert one.advertisement().hex() == "020106" + "03030d18"
    assert one.scan_response() == b"\x06\x09Strap"
    assert wearable.address_text(one.address[1]) == "C0:9E:10:00:00:01" and one.address[0] == 1
    many = wearable.Wearable(air, 1, {"services": ["oximeter", "thermometer"], "adv_flags": 4, "addr_type": "public"})
    assert many.advertisement().hex() == "020104" + "050322180918"
    assert many.address[0] == 0


def test_unknown_setting(air):
    with pytest.raises(ValueError, match="colour"):
        wearable.Wearable(air, 0, {"colour": "red"})


@pytest.mark.parametrize(("asked", "answered"), [
    ("020002", "030002"),  # MTU
    ("100100ffff0028", "1106" "010005000018" "060009000118" "0a000f000d18" "100013000f18" "14001c000a18"),
    ("080100ffff2a00", None),  # not a type of 2 octets in order: 0x002a, which nobody has
    ("0a0300", "0b" + b"Polar H10 SIM".hex()),
    ("0c03000600", "0d" + b"H10 SIM".hex()),
    ("0c0300ff00", "010c030007"),
    ("0a9900", "010a990001"),
    ("0a0c00", "010a0c0002"),  # 2a37 may not be read
    ("040d000d00", "05010d000229"),
    ("060100ffff00280d18", "070a000f00"),
    ("12030041", "0112030003"),
    ("120d0001", "01120d000d"),
    ("120d000100", "13"),
    ("20", "0120000006"),
    ("0a", "010a000004"),
])
def test_server(air, asked, answered):
    one = linked(air)
    one.server.mtu = 64
    one.server.received(bytes.fromhex(asked))
    assert air.payloads() == [answered or "01" + asked[:2] + asked[2:6] + "0a"]


def test_notification(air):
    """Only to who subscribed, in fragments, whole, and with the counter's value in the log."""
    one = linked(air, frag=5)
    one.notify("2a37", b"\x00\x40")
    assert not air.frames
    one.server.received(bytes.fromhex("120d000100"))
    air.payloads()
    one.notify("2a37", b"\x00\x40", n=3)
    assert [first for first, _ in air.frames] == [True, False]
    assert air.payloads() == ["1b0c000040"]
    assert air.logged[-1] == ("tx", {"uuid": "2a37", "hex": "0040", "corrupt": False, "n": 3})
    one.notify("2a37", bytes(21))
    assert air.logged[-1] == ("tx", {"uuid": "2a37", "toolong": 21}) and not air.frames


def test_ecg_begins_when_asked(air):
    one = linked(air)
    control, data = (one.table.values[f"fb005c8{i}-02e7-f387-1cad-8acd2d8df0c8"].handle for i in (1, 2))
    for handle, value in ((control, 2), (data, 1)):
        one.server.received(bytes([0x12, handle + 1, 0, value, 0]))
    start = bytes([0x12, control, 0]) + bytes.fromhex("02000001820001010e00")
    for mtu, status in ((23, "f000020a"), (64, "f002000a00"), (232, "f002000000"), (232, "f002000600")):
        one.server.mtu = mtu
        air.payloads()
        one.server.received(start)
        one.server.received(b"\x1e")
        assert f"1d{control:02x}00" + status in air.payloads()
    assert one.state()["ecg_on"]
    one.server.received(bytes([0x12, control, 0, 3, 0]))
    assert not one.state()["ecg_on"]


def test_indications(air):
    """One at a time, and logged when it goes; and the one that is never confirmed ends the link."""
    ended = []
    air.end = lambda *why: ended.append(why)
    one = linked(air, services=["thermometer"])
    value = one.table.values["2a1c"].handle
    one.server.received(bytes([0x12, value + 1, 0, 2, 0]))
    air.payloads()
    said = lambda: [more["hex"] for event, more in air.logged if event == "tx"]
    for n in range(3):
        one.indicate("2a1c", bytes([n]))
    assert air.payloads() == [f"1d{value:02x}0000"] and said() == ["00"]
    one.server.received(b"\x1e")
    assert air.payloads() == [f"1d{value:02x}0001"] and said() == ["00", "01"]
    for _, _, timer in sorted(air.loop.timers, key=lambda timer: timer[:2]):
        if timer.call and not ended:
            timer.call()
    assert ended == [(one, one.link, 0x13)]


def test_encryption_is_wanted(air):
    one = linked(air, encrypt=["2a37", "2a19"])
    one.server.received(bytes.fromhex("120d000100"))
    one.server.received(bytes.fromhex("0a1200"))
    assert air.payloads() == ["01120d0005", "010a12000f"]
    one.pairing.encrypted = True
    one.server.received(bytes.fromhex("0a1200"))
    assert air.payloads() == ["0b57"]


def test_pairing(air):
    """Both sides of it, played by the same functions; what is handed out includes the identity."""
    one = linked(air, private=True)
    request = bytes.fromhex("01030009100003")
    one.pairing.received(request)
    response = bytes.fromhex(air.payloads()[0])
    ours = bytes(range(16))
    confirm = pairing.c1(bytes(16), ours, request, response, (0, bytes(6)), one.address)
    one.pairing.received(b"\x03" + confirm)
    theirs = bytes.fromhex(air.payloads()[0])[1:]
    one.pairing.received(b"\x04" + ours)
    random = bytes.fromhex(air.payloads()[0])[1:]
    assert pairing.c1(bytes(16), random, request, response, (0, bytes(6)), one.address) == theirs
    assert one.pairing.encrypt(bytes(8), 0, pairing.s1(bytes(16), random, ours)) == 0
    assert not air.frames, "before the host knows that the link is encrypted"
    one.pairing.hand_out()
    keys = [bytes.fromhex(one) for one in air.payloads()]
    assert [key[0] for key in keys] == [6, 7, 8, 9]
    assert keys[2][1:] == one.irk and keys[3][1:] == b"\x01" + one.identity[1]
    assert pairing.ah(one.irk, one.address[1][3:]) == one.address[1][:3]
    ediv, rand = int.from_bytes(keys[1][1:3], "little"), keys[1][3:]
    assert one.pairing.encrypt(rand, ediv, keys[0][1:]) == 0
    one.pairing.bond = None
    assert one.pairing.encrypt(rand, ediv, keys[0][1:]) == 6
