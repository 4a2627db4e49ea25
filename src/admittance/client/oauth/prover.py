"""The proofs of one client at one server, with the nonce that the server wants in them (RFC 9449, section 8)."""

from collections.abc import Callable, Mapping

from admittance.client.dpop import DpopKey


class Prover:
    """`clock` tells Unix seconds."""

    def __init__(self, origin: str, key: DpopKey, clock: Callable[[], float]) -> None:
        self.origin = origin
        self._key = key
        self._clock = clock
        self._nonce: str | None = None

    def now(self) -> float:
        return self._clock()

    def headers(self, method: str, path: str, access_token: str | None = None) -> dict[str, str]:
        """What proves one request, and authorizes it where there is a token."""
        proof = self._key.proof(
            method=method, uri=self.origin + path, now=self._clock(), nonce=self._nonce, access_token=access_token
        )
        return {"dpop": proof} if access_token is None else {"dpop": proof, "authorization": f"DPoP {access_token}"}

    def take(self, headers: Mapping[str, str]) -> None:
        """Carry the nonce of an answer in the next proofs; names in `headers` are in lower case."""
        self._nonce = headers.get("dpop-nonce", self._nonce)
