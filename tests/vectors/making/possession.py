"""Vectors of possession keys: shares make a secret, nonces a context, and a request opens under it, or not."""

from admittance.protocol.access.possession import master_salt, master_secret
from admittance.protocol.channel.oscore import SecurityContext
from admittance.wire import cbor
from admittance.wire.ace import AuthzInfo, AuthzInfoAnswer
from admittance.wire.coap import codes
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import OSCORE, path_options
from tests.vectors.making.material import DEVICE, OTHER_DEVICE, Vector, seed

TOKEN, GRANT = seed("token", 16), seed("grant", 16)
NONCE1, NONCE2 = seed("nonce 1", 8), seed("nonce 2", 8)
CLIENT_ID, SERVER_ID = b"\x16\x45", b"\x00"
ORDER = cbor.encode({"state": "unlocked"})


def possession_vectors() -> Vector:
    request, answer = AuthzInfo(TOKEN, NONCE1, CLIENT_ID).encode(), AuthzInfoAnswer(NONCE2, SERVER_ID).encode()
    check = {
        "server_share": seed("server share").hex(),
        "client_share": seed("client share").hex(),
        "device_id": DEVICE,
        "client": "app of a guest",
        "grant": GRANT.hex(),
        "token": TOKEN.hex(),
        "request": request.hex(),
        "answer": answer.hex(),
    }
    ours, alone = secret(seed("client share")), secret(b"")
    good = protected(ours, master_salt(NONCE1, NONCE2))
    changed = good | {"payload": good["payload"][:-2] + f"{int(good['payload'][-2:], 16) ^ 1:02x}"}

    def asked(fields: object) -> Vector:
        return {"request": cbor.encode(fields).hex()}

    rows: list[tuple[str, Vector, str, Vector]] = [
        ("both shares", good, "ok", {}),
        ("the server's share alone", protected(alone, master_salt(NONCE1, NONCE2)), "ok", {"client_share": ""}),
        ("another server share", good, "DecryptionFailed", {"server_share": seed("another share").hex()}),
        ("another client share", good, "DecryptionFailed", {"client_share": seed("another share").hex()}),
        ("no client share", good, "DecryptionFailed", {"client_share": ""}),
        ("another device", good, "DecryptionFailed", {"device_id": OTHER_DEVICE}),
        ("another client", good, "DecryptionFailed", {"client": "another app"}),
        ("another grant", good, "DecryptionFailed", {"grant": bytes(16).hex()}),
        ("another nonce1", good, "DecryptionFailed", asked({1: TOKEN, 40: NONCE2, 43: CLIENT_ID})),
        ("another id of the client", good, "ok", asked({1: TOKEN, 40: NONCE1, 43: b"\x17"})),
        (
            "another nonce2",
            good,
            "DecryptionFailed",
            {"answer": AuthzInfoAnswer(NONCE1, SERVER_ID).encode().hex()},
        ),
        (
            "another id of the device",
            good,
            "DecryptionFailed",
            {"answer": AuthzInfoAnswer(NONCE2, b"\x01").encode().hex()},
        ),
        ("nonces that are not encoded", protected(ours, NONCE1 + NONCE2), "DecryptionFailed", {}),
        ("nonces in the other order", protected(ours, master_salt(NONCE2, NONCE1)), "DecryptionFailed", {}),
        ("an input salt", protected(ours, master_salt(NONCE1, NONCE2, input_salt=b"\0")), "DecryptionFailed", {}),
        ("last byte changed", changed, "DecryptionFailed", {}),
        ("another token", good, "NotFound", asked({1: GRANT, 40: NONCE1, 43: CLIENT_ID})),
        ("no nonce1", good, "Malformed", asked({1: TOKEN, 43: CLIENT_ID})),
        ("nonce1 of seven bytes", good, "Malformed", asked({1: TOKEN, 40: NONCE1[1:], 43: CLIENT_ID})),
        ("no id of the client", good, "Malformed", asked({1: TOKEN, 40: NONCE1})),
        ("an id of eight bytes", good, "Malformed", asked({1: TOKEN, 40: NONCE1, 43: bytes(8)})),
        ("a token that is text", good, "Malformed", asked({1: TOKEN.hex(), 40: NONCE1, 43: CLIENT_ID})),
        ("a parameter of the answer", good, "Malformed", asked({1: TOKEN, 40: NONCE1, 42: NONCE2, 43: CLIENT_ID})),
        ("labels in another order", good, "Malformed", {"request": (b"\xa3" + _unordered()).hex()}),
        ("an answer without nonce2", good, "Malformed", {"answer": cbor.encode({44: SERVER_ID}).hex()}),
        ("an answer without id", good, "Malformed", {"answer": cbor.encode({42: NONCE2}).hex()}),
        ("no CBOR", good, "Malformed", {"request": "ff"}),
    ]
    return {
        "about": "a token's way from authz-info to the first request that opens at the device; hexadecimal; `check` "
        "of a vector changes that of the file; `option` and `payload` are those of PUT /lock with `order`",
        "check": check,
        "order": ORDER.hex(),
        "vectors": [
            {"name": name, "check": changes, **message, "expected": expected}
            for name, message, expected, changes in rows
        ],
    }


def secret(client_share: bytes) -> bytes:
    return master_secret(
        seed("server share"), client_share=client_share, device_id=DEVICE, client="app of a guest", grant=GRANT
    )


def protected(secret: bytes, salt: bytes) -> Vector:
    """The client's first request."""
    context = SecurityContext.derive(secret, master_salt=salt, sender_id=SERVER_ID, recipient_id=CLIENT_ID)
    outer, _ = context.protect_request(CoapMessage(codes.PUT, b"", path_options("/lock"), ORDER))
    option = outer.option(OSCORE)
    assert option is not None
    return {"option": option.hex(), "payload": outer.payload.hex()}


def _unordered() -> bytes:
    pairs = ((40, NONCE1), (1, TOKEN), (43, CLIENT_ID))
    return b"".join(cbor.encode(label) + cbor.encode(value) for label, value in pairs)
