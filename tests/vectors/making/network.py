"""Vectors of the encrypted premises network."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from admittance.protocol.provisioning.network_secret import Network, encrypt_network
from admittance.wire import cbor
from tests.vectors.making.material import APP_KEY, DEVICE, OTHER_DEVICE, TRANSACTION, Vector, seed


def network_vectors() -> Vector:
    salt, other = seed("salt"), seed("another salt")
    home = Network("Home", "correct horse battery staple")
    check = {
        "app_key": APP_KEY.hex(),
        "salt": salt.hex(),
        "device_id": DEVICE,
        "transaction_id": TRANSACTION.hex(),
        "attempt": 1,
    }

    def encrypted(network: Network) -> bytes:
        return encrypt_network(APP_KEY, salt, DEVICE, TRANSACTION, 1, network)

    def raw(plaintext: bytes) -> bytes:
        aad = cbor.encode(["admittance/network/1", DEVICE, TRANSACTION, 1])
        return network_cipher(APP_KEY, salt).encrypt(bytes(12), plaintext, aad)

    good = encrypted(home)
    rows: list[tuple[str, bytes, str, Vector]] = [
        ("password", good, "ok", {}),
        ("open network", encrypted(Network("Café", "")), "ok", {}),
        ("another app key", good, "NotDecryptable", {"app_key": bytes(32).hex()}),
        ("another salt", good, "NotDecryptable", {"salt": other.hex()}),
        ("another device", good, "NotDecryptable", {"device_id": OTHER_DEVICE}),
        ("another transaction", good, "NotDecryptable", {"transaction_id": bytes(16).hex()}),
        ("another try", good, "NotDecryptable", {"attempt": 2}),
        ("last byte changed", good[:-1] + bytes([good[-1] ^ 1]), "NotDecryptable", {}),
        ("shorter than its tag", good[:15], "NotDecryptable", {}),
        ("empty SSID", raw(cbor.encode(["", "secret"])), "Malformed", {}),
        ("SSID of 33 bytes in 17 characters", raw(cbor.encode(["é" * 16 + "e", "secret"])), "Malformed", {}),
        ("no passphrase", raw(cbor.encode(["Home"])), "Malformed", {}),
        ("not CBOR", raw(b"\xff"), "Malformed", {}),
    ]
    return {
        "about": "decrypt_network; hexadecimal; `check` of a vector changes that of the file",
        "check": check,
        "vectors": [
            {"name": name, "check": changes, "ciphertext": data.hex(), "expected": expected}
            for name, data, expected, changes in rows
        ],
    }


def network_cipher(app_key: bytes, salt: bytes) -> AESGCM:

    return AESGCM(HKDF(hashes.SHA256(), 32, salt, b"admittance/network/1").derive(app_key))
