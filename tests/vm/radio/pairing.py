"""The Security Manager of a wearable without screen or buttons: legacy pairing, "Just Works", as the responder
(Core Specification 5.3, Vol 3 Part H). It hands out its long term key and, if it hides behind private addresses,
its identity: the key by which those are recognised, and its real address.

In here, as on the air, the least significant octet of a key comes first; AES wants it the other way round.
AES is our own, one block at a time and slow, so that neither a package nor a module of the kernel is needed.
"""

import functools
import os
import struct

ENCRYPTION_KEY, IDENTITY_KEY = 1, 2  # bits of the key distribution, 3.6.1
PASSKEY_FAILED, CONFIRM_FAILED, NOT_SUPPORTED = 1, 4, 7
(REQUEST, RESPONSE, CONFIRM, RANDOM, FAILED, LONG_TERM_KEY, CENTRAL_IDENTIFICATION, IDENTITY, IDENTITY_ADDRESS,
 SIGNING_KEY, SECURITY_REQUEST) = range(1, 12)
NO_INPUT_NO_OUTPUT = 3
BONDING = 1

# -- AES-128, FIPS 197


def _times_x(a):
    return a << 1 ^ (0x11B if a & 0x80 else 0)


@functools.cache
def substitution():
    """Inverses in GF(2^8), by the powers of 3, then the affine transformation."""
    powers = [1]
    while len(powers) < 255:
        powers.append(powers[-1] ^ _times_x(powers[-1]))
    box = bytearray([0x63]) * 256
    for i, a in enumerate(powers):
        inverse = powers[-i % 255]
        for n in range(5):
            box[a] ^= inverse << n & 0xFF | inverse >> 8 - n
    return bytes(box)


def _round_keys(key):
    box, words, constant = substitution(), [key[i:i + 4] for i in range(0, 16, 4)], 1
    while len(words) < 44:
        word = words[-1]
        if len(words) % 4 == 0:
            word = bytes(box[b] for b in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = _times_x(constant)
        words.append(xor(word, words[-4]))
    return [b"".join(words[i:i + 4]) for i in range(0, 44, 4)]


def _mix(column):
    a, b, c, d = column
    all_of = a ^ b ^ c ^ d
    return [x ^ all_of ^ _times_x(x ^ y) for x, y in ((a, b), (b, c), (c, d), (d, a))]


def aes(key, block):
    """One block, most significant octet first."""
    box, keys = substitution(), _round_keys(key)
    state = xor(block, keys[0])
    for number, round_key in enumerate(keys[1:], 1):
        rows = [box[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]  # substituted, and its rows shifted
        if number < 10:
            rows = sum((_mix(rows[i:i + 4]) for i in range(0, 16, 4)), [])
        state = xor(rows, round_key)
    return state


# -- the functions of 2.2


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def e(key, plain):
    return aes(key[::-1], plain[::-1])[::-1]


def c1(k, r, preq, pres, initiator, responder):
    """Confirm value, 2.2.3; initiator and responder are (type, address)."""
    first = bytes([initiator[0], responder[0]]) + preq + pres
    second = responder[1] + initiator[1] + bytes(4)
    return e(k, xor(e(k, xor(r, first)), second))


def s1(k, r1, r2):
    """Short term key, 2.2.4: r1 is the responder's random number, r2 the initiator's."""
    return e(k, r2[:8] + r1[:8])


def ah(irk, prand):
    """Random address hash, 2.2.2."""
    return e(irk, prand + bytes(13))[:3]


def private_address(irk, random=os.urandom):
    """A resolvable private address, Vol 6 Part B 1.3.2.2: 01 in the two highest bits of its random part."""
    prand = bytearray(random(3))
    prand[2] = prand[2] & 0x3F | 0x40
    return ah(irk, bytes(prand)) + bytes(prand)


class Pairing:
    """That of one wearable; link_down() after each link."""

    def __init__(self, wearable):
        self.wearable = wearable
        self.bond = None  # (long term key, ediv, rand)
        self.link_down()

    def link_down(self):
        self.encrypted = False
        self.short_term_key = self.confirm = self.request = self.response = None
        self.keys = 0

    def received(self, pdu):
        code = pdu[0] if pdu else 0
        self.wearable.log("smp", code=code)
        if code == REQUEST and len(pdu) == 7:
            self.begin(pdu)
        elif code == CONFIRM and len(pdu) == 17 and self.request:
            self.confirm, self.random = pdu[1:], os.urandom(16)
            self.send(CONFIRM, self.confirmation(self.random))
        elif code == RANDOM and len(pdu) == 17 and self.confirm:
            self.compare(pdu[1:])
        elif code == FAILED:
            self.request = self.confirm = None
        elif code not in range(LONG_TERM_KEY, SIGNING_KEY + 1):
            self.send(FAILED, bytes([NOT_SUPPORTED]))

    def begin(self, request):
        """No key of the initiator is asked for; the others as far as both sides want them."""
        ours = ENCRYPTION_KEY | (IDENTITY_KEY if self.wearable.settings["private"] else 0)
        self.keys = request[6] & ours
        self.request, self.confirm = request, None
        self.response = bytes([RESPONSE, NO_INPUT_NO_OUTPUT, 0, BONDING, 16, 0, self.keys])
        self.wearable.send(6, self.response)

    def confirmation(self, random):
        """With the addresses that the link was made with."""
        link = self.wearable.link
        return c1(bytes(16), random, self.request, self.response, link.central, link.address)

    def compare(self, random):
        if self.confirmation(random) != self.confirm:
            self.send(FAILED, bytes([CONFIRM_FAILED]))
            self.request = self.confirm = None
            return
        self.short_term_key = s1(bytes(16), self.random, random)
        self.send(RANDOM, self.random)

    def encrypt(self, rand, ediv, key):
        """The central starts encryption -> status of the HCI."""
        if self.short_term_key and (rand, ediv) == (bytes(8), 0):
            if key != self.short_term_key:
                return 0x3D  # connection terminated due to MIC failure
            self.encrypted = True
            if self.keys & ENCRYPTION_KEY:
                self.bond = (os.urandom(16), struct.unpack("<H", os.urandom(2))[0], os.urandom(8))
            self.wearable.log("paired", bonded=self.bond is not None)
            return 0
        if not self.bond or (rand, ediv) != (self.bond[2], self.bond[1]):
            self.wearable.log("key-missing")
            return 0x06
        self.encrypted = key == self.bond[0]
        self.wearable.log("encrypted", ok=self.encrypted)
        return 0 if self.encrypted else 0x3D

    def hand_out(self):
        """When the host knows that the link is encrypted; keys that come earlier are refused."""
        if not self.encrypted or not self.short_term_key:
            return
        self.short_term_key = None
        if self.keys & ENCRYPTION_KEY:
            key, ediv, rand = self.bond
            self.send(LONG_TERM_KEY, key)
            self.send(CENTRAL_IDENTIFICATION, struct.pack("<H", ediv) + rand)
        if self.keys & IDENTITY_KEY:
            self.send(IDENTITY, self.wearable.irk)
            self.send(IDENTITY_ADDRESS, bytes([self.wearable.identity[0]]) + self.wearable.identity[1])

    def send(self, code, data):
        self.wearable.send(6, bytes([code]) + data)
