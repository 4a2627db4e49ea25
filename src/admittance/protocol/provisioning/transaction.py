"""One provisioning, as the device holds it: the machine behind the `admit-*` endpoints.

A transaction outlives sessions. It opens with the first `admit-hello` or `admit-evidence`, and ends after 15 minutes
on the monotonic clock or when another challenge is brought. The machine does no I/O: the shell calls an endpoint,
carries out what `drain` gives **before** it sends the answer, and reports what became of a network by `notify`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Final, TypeAlias

from admittance.errors import AdmittanceError, AlreadyUsed, Conflict, Expired, WrongOrigin
from admittance.protocol.channel.credentials import CredentialList
from admittance.protocol.provisioning.configured_credentials import configured
from admittance.protocol.provisioning.evidence import sign_evidence
from admittance.protocol.provisioning.network_secret import SALT_BYTES, Network, decrypt_network
from admittance.protocol.provisioning.transaction_events import (
    AllowResume,
    AttemptFailed,
    AttemptJoined,
    AttemptSucceeded,
    Command,
    EnrolmentFinished,
    Event,
    FactorWanted,
    ForgetResume,
    PersistConfiguration,
    TryNetwork,
    UseCode,
)
from admittance.protocol.provisioning.transaction_state import DeviceFacts, DeviceKeys, Open, Session, Standing
from admittance.protocol.sealing import Expectation, Opened, open_sealed
from admittance.wire import message
from admittance.wire import provisioning_messages as wire
from admittance.wire.evidence import Claims, Evidence, PublicKeys
from admittance.wire.message import Message

TRANSACTION_S: Final = 15 * 60
ID_BYTES: Final = 16

Random: TypeAlias = Callable[[int], bytes]


class Transaction:
    """See the module. `standing` is the device's at start; the machine keeps it up to date. `credentials` gives the
    device's list as it is now."""

    def __init__(
        self,
        facts: DeviceFacts,
        keys: DeviceKeys,
        standing: Standing,
        random: Random,
        credentials: Callable[[], CredentialList] = CredentialList,
    ) -> None:
        self._facts = facts
        self._keys = keys
        self._standing = standing
        self._random = random
        self._credentials = credentials
        self._open: Open | None = None
        self._commands: list[Command] = []

    @property
    def standing(self) -> Standing:
        return self._standing

    def endpoints(self) -> Mapping[str, Callable[[Session, bytes, float], bytes]]:
        """Each `admit-*` endpoint by its name: whole request in, whole answer out. An endpoint raises nothing."""
        return {
            wire.HELLO: self._endpoint(self._hello),
            wire.EVIDENCE: self._endpoint(self._evidence),
            wire.CONFIG: self._endpoint(self._config),
            wire.NETWORK: self._endpoint(self._network),
            wire.CODE: self._endpoint(self._code),
            wire.STATUS: self._endpoint(self._status),
        }

    def drain(self) -> tuple[Command, ...]:
        """Take the commands that the shell must carry out before it sends the answer."""
        commands, self._commands = tuple(self._commands), []
        return commands

    def notify(self, event: Event) -> None:
        """Note what became of an attempt; news of an attempt that was replaced is ignored."""
        if isinstance(event, EnrolmentFinished):
            epoch = max(self._standing.epoch, event.epoch)
            self._standing = replace(self._standing, owned=True, epoch=epoch)
            if self._open is not None and self._open.state in ("online", "factor"):
                self._open.state, self._open.cause = "enrolled", ""
            return
        if isinstance(event, FactorWanted):
            if self._open is not None and self._open.state in ("online", "factor"):
                self._open.state, self._open.cause = "factor", event.cause
            return
        if self._open is None or event.attempt != self._open.attempt:
            return
        match event:
            case AttemptJoined():
                self._open.state = "joined"
            case AttemptSucceeded():
                self._open.state = "enrolled" if self._standing.owned else "online"
            case AttemptFailed(cause=cause):
                self._open.state, self._open.cause = "failed", cause

    def permits(self, endpoint: str, session: Session | None, now: float) -> bool:
        """Whether stock `endpoint` may change anything in `session`: on an unowned device always, on an owned one
        when the configuration of the open transaction says so, for the session that brought it and for those that
        resume the transaction. Whoever proves another code is a stranger to the transaction."""
        if not self._standing.owned:
            return True
        current = self._live(now)
        if current is None or session is None or endpoint not in current.permits:
            return False
        return session.method == "resume" or session.binding == current.configured_by

    @property
    def complete(self) -> bool:
        """Whether the open transaction reached its end: network kept, device enrolled."""
        return self._open is not None and self._open.state == "enrolled"

    def deadline(self, now: float) -> float | None:
        """When the open transaction ends (monotonic seconds), or None if none is open."""
        current = self._live(now)
        return None if current is None else current.opened_at + TRANSACTION_S

    def expire(self, now: float) -> None:
        """End the transaction if its time is over."""
        if self._open is not None and self._live(now) is None:
            self._commands.append(ForgetResume(self._open.transaction_id))
            self._open = None

    def _endpoint(
        self, answer: Callable[[Session, bytes, float], Message]
    ) -> Callable[[Session, bytes, float], bytes]:
        def run(session: Session, request: bytes, now: float) -> bytes:
            self.expire(now)
            try:
                return wire.encode_answer(answer(session, request, now))
            except AdmittanceError as error:
                return wire.encode_refusal(wire.Refusal(error.code, str(error)))

        return run

    def _hello(self, session: Session, request: bytes, now: float) -> wire.Hello:
        message.decode(request, wire.HelloRequest)
        current = self._open
        if current is None or (current.state == "enrolled" and session.method != "resume"):
            current = self._begin(now)
        return wire.Hello(
            device_id=self._facts.device_id,
            model=self._facts.model,
            presence=self._facts.presence,
            owned=self._standing.owned,
            epoch=self._standing.epoch,
            server_origin=self._facts.server_origin,
            transaction_id=current.transaction_id,
            seal=self._keys.seal.algorithm,
            wifi_scan=self._facts.wifi_scan,
            transport=self._facts.transport,
        )

    def _evidence(self, session: Session, request: bytes, now: float) -> wire.EvidenceAnswer:
        challenge = message.decode(request, wire.EvidenceRequest).challenge
        current = self._open or self._begin(now)
        if current.challenge not in (None, challenge):
            if session.method == "resume":
                raise Conflict("This transaction answered another challenge. Show a new code and start again.")
            current = self._begin(now)
        current.challenge = challenge
        until = current.opened_at + TRANSACTION_S
        self._commands.append(AllowResume(current.transaction_id, current.resume_code, until))
        return wire.EvidenceAnswer(
            evidence=self._signed_evidence(session, current, challenge),
            transaction_id=current.transaction_id,
            resume_code=current.resume_code,
        )

    def _signed_evidence(self, session: Session, current: Open, challenge: bytes) -> bytes:
        seal = self._keys.seal
        evidence = Evidence(
            server_origin=self._facts.server_origin,
            challenge=challenge,
            device_id=self._facts.device_id,
            binding=session.binding,
            presence=session.method,
            code_age_s=session.code_age_s,
            device_nonce=current.device_nonce,
            last_sequence=self._standing.last_sequence,
            epoch=self._standing.epoch,
            public_keys=PublicKeys(
                seal_algorithm=seal.algorithm,
                seal=seal.public,
                channel=self._keys.channel_spki,
                access=self._keys.access_spki,
            ),
            claims=Claims(model=self._facts.model, firmware=self._facts.firmware, resets=self._standing.resets),
        )
        return sign_evidence(evidence, self._keys.identity, self._keys.chain)

    def _config(self, session: Session, request: bytes, now: float) -> wire.ConfigurationAnswer:
        wanted = message.decode(request, wire.ConfigurationRequest)
        current = self._required()
        digest = sha256(request).digest()
        if current.accepted != digest:
            self._accept(current, wanted, now)
            current.accepted = digest
            current.configured_by = session.binding
        return wire.ConfigurationAnswer(current.accepted_sequence, current.state)

    def _accept(self, current: Open, wanted: wire.ConfigurationRequest, now: float) -> None:
        standing = self._standing
        opened = open_sealed(
            wanted.sealed,
            root_spki_sha256=self._facts.root_spki_sha256,
            seal_key=self._keys.seal,
            expectation=Expectation(
                device_id=self._facts.device_id,
                purposes=frozenset({"activate", "reprovision"}),
                epoch=standing.epoch,
                last_sequence=standing.last_sequence,
                device_nonce=current.device_nonce,
                elapsed_s=now - current.opened_at,
            ),
        )
        if opened.configuration.server_origin != self._facts.server_origin:
            raise WrongOrigin("The sealed configuration leads to another server than this device was made for.")
        network = self._sealed_network(current, opened, wanted.app_key)
        header = opened.header
        credentials = configured(self._credentials(), header.epoch, opened.configuration, wanted)
        new_owner = header.epoch > standing.epoch
        self._standing = replace(
            standing,
            epoch=header.epoch,
            last_sequence=header.sequence,
            owned=standing.owned and not new_owner,
        )
        current.app_key = wanted.app_key
        current.accepted_sequence = header.sequence
        current.permits = frozenset(opened.configuration.permits)
        self._commands.append(PersistConfiguration(header, opened.configuration, new_owner, credentials))
        if network is not None:
            self._try(current, network, current.attempt)

    def _sealed_network(self, current: Open, opened: Opened, app_key: bytes) -> Network | None:
        sealed = opened.configuration.network
        if not sealed:
            return None
        return decrypt_network(
            app_key,
            sealed[:SALT_BYTES],
            self._facts.device_id,
            current.transaction_id,
            0,
            sealed[SALT_BYTES:],
        )

    def _network(self, session: Session, request: bytes, now: float) -> wire.NetworkAnswer:
        wanted = message.decode(request, wire.NetworkRequest)
        current = self._required()
        if current.app_key is None:
            raise Conflict("Bring the sealed configuration first: its app key opens the network.")
        digest = sha256(request).digest()
        if digest == current.attempt_digest:
            return wire.NetworkAnswer(current.state)
        if wanted.attempt <= current.attempt:
            raise AlreadyUsed(f"Try {wanted.attempt} was used. Send the network again as a higher try.")
        network = decrypt_network(
            current.app_key,
            wanted.salt,
            self._facts.device_id,
            current.transaction_id,
            wanted.attempt,
            wanted.ciphertext,
        )
        current.attempt_digest = digest
        self._try(current, network, wanted.attempt)
        return wire.NetworkAnswer(current.state)

    def _try(self, current: Open, network: Network, attempt: int) -> None:
        current.attempt, current.state, current.cause = attempt, "trying", ""
        self._commands.append(TryNetwork(network, attempt))

    def _code(self, session: Session, request: bytes, now: float) -> wire.CodeAnswer:
        wanted = message.decode(request, wire.CodeRequest)
        current = self._required()
        if current.accepted is None:
            raise Conflict("Bring the sealed configuration first: the code belongs to its enrolment.")
        if current.state == "factor":
            current.state, current.cause = "online", ""
        self._commands.append(UseCode(wanted.code))
        return wire.CodeAnswer(current.state)

    def _status(self, session: Session, request: bytes, now: float) -> wire.Status:
        message.decode(request, wire.StatusRequest)
        current = self._open
        if current is None:
            return wire.Status("idle", "", 0, 0)
        left = current.opened_at + TRANSACTION_S - now
        return wire.Status(current.state, current.cause, current.attempt, max(0, int(left)))

    def _begin(self, now: float) -> Open:
        if self._open is not None:
            self._commands.append(ForgetResume(self._open.transaction_id))
        self._open = Open(
            transaction_id=self._random(ID_BYTES),
            device_nonce=self._random(ID_BYTES),
            resume_code=self._random(ID_BYTES),
            opened_at=now,
        )
        return self._open

    def _live(self, now: float) -> Open | None:
        if self._open is None or now - self._open.opened_at >= TRANSACTION_S:
            return None
        return self._open

    def _required(self) -> Open:
        if self._open is None:
            raise Expired("The transaction is over. Show a new code and start again.")
        return self._open
