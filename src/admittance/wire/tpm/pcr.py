"""TPML_PCR_SELECTION: which platform configuration registers a quote covers."""

from dataclasses import dataclass

from admittance.errors import Malformed
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.codec import Reader, uint16, uint32

PCRS = 24
_SELECT_BYTES = PCRS // 8
_MAX_BANKS = 4
_BANKS = {name: algorithm for algorithm, name in alg.HASH_NAMES.items()}


@dataclass(frozen=True, slots=True)
class PcrSelection:
    """TPMS_PCR_SELECTION (part 2, section 10.6.1): a bank and its PCRs, ascending, each 0 to 23."""

    hash: int
    pcrs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PcrSelections:
    """TPML_PCR_SELECTION (part 2, section 10.9.7); the text form is that of tpm2-tools, as in ``sha256:0,7``."""

    banks: tuple[PcrSelection, ...]

    @classmethod
    def read(cls, reader: Reader) -> "PcrSelections":
        """Read a list of selections. Raises `Malformed`."""
        count = reader.uint32()
        if count > _MAX_BANKS:
            raise Malformed("PCR selection with too many banks")
        return cls(tuple(_selection(reader) for _ in range(count)))

    def encode(self) -> bytes:
        return uint32(len(self.banks)) + b"".join(_encoded(bank) for bank in self.banks)

    @classmethod
    def parse(cls, text: str) -> "PcrSelections":
        """Parse the text form, banks joined by ``+``. Raises `Malformed`."""
        return cls(tuple(_parsed(bank) for bank in text.split("+")))

    def __str__(self) -> str:
        return "+".join(f"{alg.HASH_NAMES[bank.hash]}:{','.join(map(str, bank.pcrs))}" for bank in self.banks)


def _selection(reader: Reader) -> PcrSelection:
    bank = alg.check_hash(reader.uint16())
    if reader.uint8() != _SELECT_BYTES:
        raise Malformed("PCR selection that is not of 3 bytes")
    bits = int.from_bytes(reader.take(_SELECT_BYTES), "little")
    return PcrSelection(bank, tuple(pcr for pcr in range(PCRS) if bits >> pcr & 1))


def _encoded(bank: PcrSelection) -> bytes:
    bits = sum(1 << pcr for pcr in bank.pcrs)
    return uint16(bank.hash) + bytes([_SELECT_BYTES]) + bits.to_bytes(_SELECT_BYTES, "little")


def _parsed(text: str) -> PcrSelection:
    name, _, numbers = text.partition(":")
    if name not in _BANKS:
        raise Malformed("a PCR selection names a bank: sha256, sha384 or sha512, as in sha256:0,7")
    pcrs = tuple(int(number) if number.isascii() and number.isdigit() else -1 for number in numbers.split(","))
    if not all(0 <= pcr < PCRS for pcr in pcrs) or list(pcrs) != sorted(set(pcrs)):
        raise Malformed("a PCR selection lists PCRs 0 to 23, ascending and once each, as in sha256:0,7")
    return PcrSelection(_BANKS[name], pcrs)
