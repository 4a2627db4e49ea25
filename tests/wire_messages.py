"""Strategies for messages, and for bytes that almost are one."""

from hypothesis import strategies as st

from admittance.wire.enrolment import EnrolmentRequest, Factor, ResetReport, TpmProof
from admittance.wire.evidence import Claims, Evidence, PublicKeys
from admittance.wire.sealed import Configuration, Header

bytes16 = st.binary(min_size=16, max_size=16)
bytes32 = st.binary(min_size=32, max_size=32)
unsigned = st.integers(min_value=0, max_value=2**53)
words = st.text(max_size=64)
texts = st.text(max_size=80)
tickets = st.just(b"") | bytes32

headers = st.builds(
    Header,
    purpose=st.sampled_from(["activate", "reprovision"]),
    device_id=words,
    epoch=unsigned,
    signer_thumbprint=bytes32,
    sequence=unsigned,
    lifetime_s=unsigned,
    device_nonce=bytes16,
)
configurations = st.builds(
    Configuration,
    server_origin=texts,
    first_contact_url=texts,
    device_url=texts,
    anchors=st.lists(st.binary(max_size=40), min_size=1, max_size=4),
    server_time=unsigned,
    ticket=tickets,
    network=st.just(b"") | st.binary(min_size=33, max_size=100),
    permits=st.lists(words, max_size=8),
    renew_after_s=unsigned,
    relay_urls=st.lists(texts, max_size=4),
    server_channel=st.just(b"") | st.binary(min_size=91, max_size=91),
    token_keys=st.lists(st.binary(min_size=91, max_size=91), max_size=2),
)
evidences = st.builds(
    Evidence,
    server_origin=texts,
    challenge=bytes32,
    device_id=words,
    binding=bytes32,
    presence=st.sampled_from(["display", "button", "resume"]),
    code_age_s=unsigned,
    device_nonce=bytes16,
    last_sequence=unsigned,
    epoch=unsigned,
    public_keys=st.builds(
        PublicKeys,
        seal_algorithm=st.sampled_from(["hybrid", "classic", "symmetric"]),
        seal=st.binary(max_size=60),
        channel=st.binary(max_size=60),
        access=st.binary(max_size=60),
    ),
    claims=st.builds(Claims, model=words, firmware=words, resets=unsigned),
)
enrolment_requests = st.builds(
    EnrolmentRequest,
    nonce=bytes32,
    device_id=words,
    epoch=unsigned,
    ticket=tickets,
    csr=st.binary(max_size=80),
    proof=st.none() | st.builds(TpmProof, challenge_id=bytes16, secret=bytes32),
    factor=st.none() | st.builds(Factor, kind=st.sampled_from(["code", "totp", "sms", "approval"]), value=words),
)
reset_reports = st.builds(ResetReport, nonce=bytes32, device_id=words, epoch=unsigned, resets=unsigned)


@st.composite
def changed(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with one byte changed, inserted or removed, or cut short, or with bytes behind it.

    Nothing is inserted in front of it: that could be COSE's optional tag, which changes nothing.
    """
    at = draw(st.integers(0, len(data) - 1))
    byte = bytes([draw(st.integers(0, 255).filter(lambda value: value != data[at]))])
    return draw(
        st.sampled_from(
            [
                data[:at] + byte + data[at + 1 :],
                data[:at] + byte + data[at:],
                data[:at] + data[at + 1 :],
                data[:at],
                data + byte,
            ]
        ).filter(lambda candidate: data not in (candidate, candidate[1:]))
    )
