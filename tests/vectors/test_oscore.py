"""RFC 8613, appendix C: its vectors, and what becomes of them when they are changed or come again."""

import json
from pathlib import Path
from typing import Any

import pytest

from admittance import errors
from admittance.protocol.channel.oscore import Exchange, MemorySequence, SecurityContext, oscore_option
from admittance.protocol.channel.oscore.algorithms import AES_CCM_16_64_128
from admittance.protocol.channel.oscore.keys import DerivedKeys, Numbering
from admittance.wire.coap import datagram
from admittance.wire.coap import options as opt
from admittance.wire.coap.datagram import Datagram
from admittance.wire.coap.message import CoapMessage
from admittance.wire.oscore import encode_partial_iv

FILE: dict[str, Any] = json.loads(Path(__file__).with_name("oscore.json").read_text())
CONTEXTS = {context["name"]: context for context in FILE["contexts"]}
REQUESTS = {request["name"]: request for request in FILE["requests"]}


def named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def inputs(name: str) -> dict[str, bytes | None]:
    fields = ("master_secret", "master_salt", "sender_id", "recipient_id", "id_context")
    return {field: None if (text := CONTEXTS[name][field]) is None else bytes.fromhex(text) for field in fields}


def context(name: str, first: int = 0) -> SecurityContext:
    arguments: Any = inputs(name)
    return SecurityContext.derive(**arguments, algorithm=AES_CCM_16_64_128, sequence=MemorySequence(first))


def message(text: str) -> CoapMessage:
    return datagram.decode(bytes.fromhex(text)).message


def on_the_wire(like: str, protected: CoapMessage) -> str:
    """The datagram with the type and message id of the vector's."""
    template = datagram.decode(bytes.fromhex(like))
    return datagram.encode(Datagram(template.type, template.message_id, protected)).hex()


def outcome_of(call: Any, *arguments: Any) -> str:
    try:
        call(*arguments)
    except errors.AdmittanceError as error:
        return type(error).__name__
    return "ok"


def sent(vector: dict[str, Any]) -> tuple[SecurityContext, CoapMessage, Exchange]:
    client = context(vector["client"], vector["sequence"])
    return client, *client.protect_request(message(vector["unprotected"]))


@pytest.mark.parametrize("vector", FILE["contexts"], ids=named)
def test_derivation(vector: dict[str, Any]) -> None:
    arguments: Any = inputs(vector["name"])
    keys = DerivedKeys.derive(**arguments, algorithm=AES_CCM_16_64_128)
    assert (keys.sender.hex(), keys.recipient.hex()) == (vector["sender_key"], vector["recipient_key"])
    assert keys.common_iv.hex() == vector["common_iv"]
    for end in ("sender", "recipient"):
        numbering = Numbering(bytes.fromhex(vector[f"{end}_id"]), keys.common_iv, AES_CCM_16_64_128)
        assert numbering.nonce(0).hex() == vector[f"{end}_nonce"]


@pytest.mark.parametrize("vector", FILE["requests"], ids=named)
def test_request(vector: dict[str, Any]) -> None:
    _, outer, exchange = sent(vector)
    assert exchange.aad.hex() == vector["aad"]
    assert exchange.nonce.hex() == vector["nonce"]
    assert oscore_option(outer).partial_iv == encode_partial_iv(vector["sequence"])
    assert (outer.option(opt.OSCORE) or b"").hex() == vector["option"]
    assert outer.payload.hex() == vector["ciphertext"]
    assert on_the_wire(vector["unprotected"], outer) == vector["protected"]
    opened, received = context(vector["server"]).unprotect_request(message(vector["protected"]))
    assert opened == message(vector["unprotected"]).without(opt.URI_HOST)
    assert (received.aad, received.nonce) == (exchange.aad, exchange.nonce)


@pytest.mark.parametrize("vector", FILE["responses"], ids=named)
def test_response(vector: dict[str, Any]) -> None:
    request = REQUESTS[vector["request"]]
    server = context(request["server"])
    _, received = server.unprotect_request(message(request["protected"]))
    response = message(vector["unprotected"])
    outer = server.protect_response(response, received, own_piv=vector["own_piv"])
    assert (outer.option(opt.OSCORE) or b"").hex() == vector["option"]
    assert outer.payload.hex() == vector["ciphertext"]
    assert on_the_wire(vector["unprotected"], outer) == vector["protected"]
    client, _, exchange = sent(request)
    assert client.unprotect_response(message(vector["protected"]), exchange) == response


@pytest.mark.parametrize("vector", FILE["changed_requests"], ids=named)
def test_changed_request(vector: dict[str, Any]) -> None:
    server = context(vector["server"])
    for seen in vector["seen"]:
        outcome_of(server.unprotect_request, message(seen))
    assert outcome_of(server.unprotect_request, message(vector["message"])) == vector["expected"]


@pytest.mark.parametrize("vector", FILE["changed_responses"], ids=named)
def test_changed_response(vector: dict[str, Any]) -> None:
    client, _, exchange = sent(REQUESTS[vector["request"]])
    for seen in vector["seen"]:
        outcome_of(client.unprotect_response, message(seen), exchange)
    assert outcome_of(client.unprotect_response, message(vector["message"]), exchange) == vector["expected"]
