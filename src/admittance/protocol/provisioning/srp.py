"""SRP-6a, client and server (RFC 5054, section 2), over any group and hash.

Unified Provisioning runs it over the 3072-bit group with SHA-512 and its own proofs::

    x  = H(s | H(I ":" P))              u = H(PAD(A) | PAD(B))         k = H(N | PAD(g))
    S  = (A * v^u)^b = (B - k * g^x)^(a + u * x)                       K = H(S)
    M1 = H(H(N) XOR H(PAD(g)) | H(I) | s | A | B | K)                  M2 = H(A | M1 | K)

PAD fills up to the length of N; S enters H without leading zero bytes. Private exponents have 256 bits with
the top bit set, which is the strength of the group twice over and half the work of longer ones.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from admittance.errors import AuthenticationFailed, KeyRefused, Malformed

Random = Callable[[int], bytes]

EXPONENT_BYTES = 32
SALT_BYTES = 16


@dataclass(frozen=True)
class Suite:
    """A safe prime `n`, its generator `g` and the name of a hash that `hashlib` knows."""

    n: int
    g: int
    hash_name: str

    @cached_property
    def length_bytes(self) -> int:
        """Length of N, and so of A and B."""
        return (self.n.bit_length() + 7) // 8

    @cached_property
    def multiplier(self) -> int:
        """k = H(N | PAD(g))."""
        return _integer(self.digest(self.pad(self.n), self.pad(self.g)))

    @cached_property
    def group_digest(self) -> bytes:
        """H(N) XOR H(PAD(g)), the group's part of M1."""
        of_n, of_g = self.digest(self.pad(self.n)), self.digest(self.pad(self.g))
        return bytes(left ^ right for left, right in zip(of_n, of_g, strict=True))

    def digest(self, *parts: bytes) -> bytes:
        state = hashlib.new(self.hash_name)
        for part in parts:
            state.update(part)
        return state.digest()

    def pad(self, value: int) -> bytes:
        return value.to_bytes(self.length_bytes, "big")

    def private_key(self, username: str, password: str, salt: bytes) -> int:
        """x. No length of username or password is refused here; the callers' decoders bound them."""
        return _integer(self.digest(salt, self.digest(username.encode(), b":", password.encode())))

    def verifier(self, username: str, password: str, salt: bytes) -> int:
        """v = g^x mod N."""
        return pow(self.g, self.private_key(username, password, salt), self.n)

    def client_public(self, exponent: int) -> int:
        """A = g^a mod N."""
        return pow(self.g, exponent, self.n)

    def server_public(self, exponent: int, verifier: int) -> int:
        """B = k * v + g^b mod N."""
        return (self.multiplier * verifier + pow(self.g, exponent, self.n)) % self.n

    def scrambler(self, client_public: bytes, server_public: bytes) -> int:
        """u, of the padded public values. Raises `KeyRefused` if it is zero."""
        u = _integer(self.digest(client_public, server_public))
        if u == 0:
            raise KeyRefused("The public values scramble to zero.")
        return u

    def server_secret(self, *, client_public: bytes, verifier: int, scrambler: int, exponent: int) -> int:
        """S on the server's side."""
        base = _integer(client_public) * pow(verifier, scrambler, self.n) % self.n
        return pow(base, exponent, self.n)

    def client_secret(self, *, server_public: bytes, private_key: int, scrambler: int, exponent: int) -> int:
        """S on the client's side."""
        base = (_integer(server_public) - self.multiplier * pow(self.g, private_key, self.n)) % self.n
        return pow(base, exponent + scrambler * private_key, self.n)

    def session_key(self, secret: int) -> bytes:
        """K = H(S), S as the shortest big-endian bytes."""
        return self.digest(secret.to_bytes((secret.bit_length() + 7) // 8 or 1, "big"))

    def check_public(self, public: bytes) -> None:
        """Raise `Malformed` unless `public` is as long as N, `KeyRefused` if it is zero modulo N."""
        if len(public) != self.length_bytes:
            raise Malformed(f"An SRP public value has {self.length_bytes} bytes, not {len(public)}.")
        if _integer(public) % self.n == 0:
            raise KeyRefused("An SRP public value is zero modulo N.")


# RFC 5054, appendix A, the 3072-bit group (the prime of RFC 3526, section 4, with g = 5).
PROVISIONING_SUITE = Suite(
    n=int(
        "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
        "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
        "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"
        "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"
        "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510"
        "15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7"
        "ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C"
        "BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
        16,
    ),
    g=5,
    hash_name="sha512",
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both sides hold once the proofs were exchanged: `binding_parts` are I, s, A, B and K."""

    username: str
    salt: bytes
    client_public: bytes
    server_public: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerHandshake:
    """The server's half between its challenge (salt, B) and the client's proof."""

    suite: Suite
    username: str
    salt: bytes
    verifier: int = field(repr=False)
    client_public: bytes
    server_public: bytes
    exponent: int = field(repr=False)

    @classmethod
    def start(
        cls, suite: Suite, *, username: str, salt: bytes, verifier: int, client_public: bytes, random: Random
    ) -> "ServerHandshake":
        """Answer `client_public` (A) with a B that never starts with 0x00, since stock clients strip that.

        Raises `Malformed` for an A of another length than N, `KeyRefused` for A = 0 modulo N.
        """
        suite.check_public(client_public)
        while True:
            exponent = draw_exponent(random)
            public = suite.pad(suite.server_public(exponent, verifier))
            if public[0] != 0:
                return cls(suite, username, salt, verifier, client_public, public, exponent)

    def finish(self, client_proof: bytes) -> tuple[Agreement, bytes]:
        """The agreement and the server's proof M2. Raises `AuthenticationFailed` for a wrong M1."""
        suite = self.suite
        secret = suite.server_secret(
            client_public=self.client_public,
            verifier=self.verifier,
            scrambler=suite.scrambler(self.client_public, self.server_public),
            exponent=self.exponent,
        )
        agreement = Agreement(
            self.username, self.salt, self.client_public, self.server_public, suite.session_key(secret)
        )
        expected = _client_proof(suite, agreement)
        if not hmac.compare_digest(expected, client_proof):
            raise AuthenticationFailed("The client's proof does not hold.")
        return agreement, _server_proof(suite, agreement, expected)


@dataclass(frozen=True, slots=True)
class ClientHandshake:
    """The client's half before the server's challenge."""

    suite: Suite
    username: str
    password: str = field(repr=False)
    client_public: bytes
    exponent: int = field(repr=False)

    @classmethod
    def start(cls, suite: Suite, *, username: str, password: str, random: Random) -> "ClientHandshake":
        while True:
            exponent = draw_exponent(random)
            public = suite.pad(suite.client_public(exponent))
            if public[0] != 0:
                return cls(suite, username, password, public, exponent)

    def answer(self, salt: bytes, server_public: bytes) -> "ClientProof":
        """M1 for the server's challenge. Raises `Malformed` or `KeyRefused` for a B that must not be used."""
        suite = self.suite
        suite.check_public(server_public)
        secret = suite.client_secret(
            server_public=server_public,
            private_key=suite.private_key(self.username, self.password, salt),
            scrambler=suite.scrambler(self.client_public, server_public),
            exponent=self.exponent,
        )
        agreement = Agreement(self.username, salt, self.client_public, server_public, suite.session_key(secret))
        return ClientProof(suite, agreement, _client_proof(suite, agreement))


@dataclass(frozen=True, slots=True)
class ClientProof:
    """M1, and what is needed to check the server's M2."""

    suite: Suite
    agreement: Agreement
    proof: bytes

    def check(self, server_proof: bytes) -> Agreement:
        """The agreement. Raises `AuthenticationFailed` for a wrong M2."""
        if not hmac.compare_digest(_server_proof(self.suite, self.agreement, self.proof), server_proof):
            raise AuthenticationFailed("The device's proof does not hold.")
        return self.agreement


def draw_exponent(random: Random) -> int:
    """A private exponent of 256 bits, the top bit set."""
    return _integer(random(EXPONENT_BYTES)) | 1 << (8 * EXPONENT_BYTES - 1)


def draw_salt(random: Random) -> bytes:
    """A salt of 16 bytes that does not start with 0x00, since stock clients strip that."""
    while True:
        salt = random(SALT_BYTES)
        if salt[0] != 0:
            return salt


def _client_proof(suite: Suite, agreement: Agreement) -> bytes:
    return suite.digest(
        suite.group_digest,
        suite.digest(agreement.username.encode()),
        agreement.salt,
        agreement.client_public,
        agreement.server_public,
        agreement.key,
    )


def _server_proof(suite: Suite, agreement: Agreement, client_proof: bytes) -> bytes:
    return suite.digest(agreement.client_public, client_proof, agreement.key)


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big")
