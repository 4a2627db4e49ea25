import pytest

from admittance.server.enrolment.factors.policy import AFTER_LOGIN, KINDS, kinds_for


@pytest.mark.parametrize(
    ("of_model", "of_account", "expected"),
    [
        ((), (), ()),
        (("code",), (), ("code",)),
        ((), ("totp",), ("totp",)),
        (("sms", "totp", "code"), ("totp",), ("totp",)),
        (("sms",), ("totp",), ("sms",)),
        (KINDS, KINDS, KINDS),
    ],
)
def test_an_account_asks_for_more_and_never_for_less(
    of_model: tuple[str, ...], of_account: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert kinds_for(of_model, of_account) == expected
    assert kinds_for(of_model, of_account, after_login=True) == (expected or AFTER_LOGIN)
