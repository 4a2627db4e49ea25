"""Which second factors an enrolment may use: the model's word, made stricter by the account's."""

from collections.abc import Iterable

from admittance.wire.enrolment import FactorKind

KINDS: tuple[FactorKind, ...] = ("code", "totp", "sms", "approval")

AFTER_LOGIN: tuple[FactorKind, ...] = ("sms", "totp")
"""What a login on the device's keyboard needs where neither model nor account says anything."""


def kinds_for(
    of_model: Iterable[str], of_account: Iterable[str], *, after_login: bool = False
) -> tuple[FactorKind, ...]:
    """Any one of these satisfies; empty: no second factor is needed.

    An account may ask where its model does not, and leave out some of what the model takes; it can never ask for
    less. A login always needs one.
    """
    model, account = set(of_model), set(of_account)
    allowed = (model & account or model) if model else account
    if not allowed and after_login:
        return AFTER_LOGIN
    return tuple(kind for kind in KINDS if kind in allowed)
