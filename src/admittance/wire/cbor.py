"""Deterministic CBOR (RFC 8949, section 4.2.1), the subset that our messages use.

Values are `int` (below 2**64, as major types 0 and 1 carry them), `bytes`, `str`, `bool`, `None`, `list` and `dict`.
Tags, floats, other simple values, indefinite lengths, duplicate keys and any encoding that is not the deterministic
one are refused, so two different byte strings never mean the same value.
"""

import cbor2

from admittance.errors import Malformed

MAX_DEPTH = 16
_INTEGERS = range(-(2**64), 2**64)


def encode(value: object) -> bytes:
    """Encode `value` deterministically."""
    return cbor2.dumps(_with_ordered_keys(value))


def decode(data: bytes, max_bytes: int = 16384) -> object:
    """Decode exactly one value that fills `data`.

    Raises `Malformed` if `data` is longer than `max_bytes`, is not well-formed, has trailing bytes, holds a type
    that our messages do not use, or is not in its deterministic encoding.
    """
    if len(data) > max_bytes:
        raise Malformed(f"CBOR of {len(data)} bytes where at most {max_bytes} are allowed")
    try:
        value = cbor2.loads(data)
        _check(value, MAX_DEPTH)
        canonical = cbor2.dumps(value)
    except Malformed:
        raise
    except Exception as error:
        raise Malformed("not well-formed CBOR") from error
    if canonical != data:
        raise Malformed("CBOR that is not in its deterministic encoding")
    return value


def _with_ordered_keys(value: object) -> object:
    """`value` with the keys of every map in the bytewise order of their encodings (RFC 8949, section 4.2.1)."""
    if isinstance(value, dict):
        return {key: _with_ordered_keys(value[key]) for key in sorted(value, key=cbor2.dumps)}
    if isinstance(value, list | tuple):
        return [_with_ordered_keys(item) for item in value]
    return value


def _check(value: object, depth: int) -> None:
    if depth == 0:
        raise Malformed("CBOR nested too deeply")
    if value is None or isinstance(value, bool | bytes | str):
        return
    if isinstance(value, int):
        if value not in _INTEGERS:
            raise Malformed("CBOR with an integer beyond 64 bits")
        return
    if isinstance(value, list):
        for item in value:
            _check(item, depth - 1)
        return
    if isinstance(value, dict):
        keys = [cbor2.dumps(key) for key in value]
        if keys != sorted(keys):
            raise Malformed("CBOR map whose keys are not in their deterministic order")
        for key, item in value.items():
            if not isinstance(key, int | str) or isinstance(key, bool):
                raise Malformed("CBOR map with a key that is neither an integer nor a text")
            _check(key, depth - 1)
            _check(item, depth - 1)
        return
    raise Malformed("CBOR with a type that is not allowed here")
