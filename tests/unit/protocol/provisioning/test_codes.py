"""Possession codes: who is let in, for how long, how often."""

import random
from hashlib import sha512

import pytest

from admittance.protocol.provisioning.codes import (
    ButtonWindow,
    CodeBook,
    PossessionCode,
    RotatingCodes,
    button_code,
)
from admittance.protocol.provisioning.srp import PROVISIONING_SUITE
from admittance.wire import crockford

DRAW = random.Random(1).randbytes
KEY = bytes(range(32))


def known(book: CodeBook, code: PossessionCode, now: float) -> bool:
    return book.find(code.code_id, now, DRAW) is not None


def test_code_and_id_are_too_long_to_guess() -> None:
    code = RotatingCodes().shown(0.0, DRAW)
    assert len(crockford.decode(code.code)) == 20
    assert len(crockford.decode(code.code_id)) == 10


def test_repr_hides_the_code() -> None:
    code = RotatingCodes().shown(0.0, DRAW)
    assert code.code not in repr(code)
    book = CodeBook(rotating=(rotating := RotatingCodes()))
    found = book.find(rotating.shown(0.0, DRAW).code_id, 0.0, DRAW)
    assert found is not None
    assert str(found.verifier) not in repr(found)


def test_verifier_is_that_of_the_code() -> None:
    rotating = RotatingCodes()
    code = rotating.shown(0.0, DRAW)
    found = CodeBook(rotating=rotating).find(code.code_id, 0.0, DRAW)
    assert found is not None
    assert found.verifier == PROVISIONING_SUITE.verifier(code.code_id, code.code, found.salt)
    assert found.salt[0] != 0


def test_shown_code_stays_until_its_rotation() -> None:
    rotating = RotatingCodes(rotation_s=60)
    first = rotating.shown(10.0, DRAW)
    assert rotating.rotates_at == 70.0
    assert rotating.shown(69.999, DRAW) == first
    assert rotating.shown(70.0, DRAW) != first


@pytest.mark.parametrize(("now", "good"), [(70.0, True), (159.999, True), (160.0, False)])
def test_rotated_code_is_good_for_its_grace_time(now: float, good: bool) -> None:
    rotating = RotatingCodes(rotation_s=60, grace_s=90)
    book = CodeBook(rotating=rotating)
    first = rotating.shown(10.0, DRAW)
    rotating.shown(70.0, DRAW)
    assert known(book, first, now) is good


@pytest.mark.parametrize(("now", "good"), [(159.999, True), (160.0, False)])
def test_code_of_a_stuck_display_dies_all_the_same(now: float, good: bool) -> None:
    rotating = RotatingCodes(rotation_s=60, grace_s=90)
    book = CodeBook(rotating=rotating)
    assert known(book, rotating.shown(10.0, DRAW), now) is good


@pytest.mark.parametrize(("now", "good"), [(109.999, True), (110.0, False)])
def test_hidden_code_is_good_for_its_grace_time(now: float, good: bool) -> None:
    rotating = RotatingCodes(grace_s=90)
    book = CodeBook(rotating=rotating)
    code = rotating.shown(10.0, DRAW)
    rotating.hide(20.0)
    assert rotating.rotates_at is None
    assert known(book, code, now) is good


def test_code_is_spent_by_one_try() -> None:
    rotating = RotatingCodes()
    book = CodeBook(rotating=rotating)
    code = rotating.shown(0.0, DRAW)
    assert book.spend(code.code_id, 1.0)
    assert not book.spend(code.code_id, 1.0)
    assert not known(book, code, 1.0)
    assert rotating.shown(1.0, DRAW) != code


def test_spending_one_code_leaves_the_others() -> None:
    rotating = RotatingCodes()
    book = CodeBook(rotating=rotating)
    first = rotating.shown(0.0, DRAW)
    second = rotating.shown(60.0, DRAW)
    assert book.spend(first.code_id, 61.0)
    assert known(book, second, 61.0)


def test_outdated_code_cannot_be_spent() -> None:
    rotating = RotatingCodes()
    book = CodeBook(rotating=rotating)
    code = rotating.shown(0.0, DRAW)
    assert not book.spend(code.code_id, 150.0)


def test_age_counts_from_the_first_showing() -> None:
    rotating = RotatingCodes()
    book = CodeBook(rotating=rotating)
    code = rotating.shown(10.0, DRAW)
    found = book.find(code.code_id, 25.9, DRAW)
    assert found is not None
    assert (found.method, found.age_s) == ("display", 15)


def test_closing_forgets_possession_codes_and_keeps_the_transaction() -> None:
    rotating = RotatingCodes()
    book = CodeBook(rotating=rotating)
    code = rotating.shown(0.0, DRAW)
    book.open_window(window := ButtonWindow(KEY, 0.0, DRAW))
    book.allow_resume(b"t" * 16, b"r" * 16, 900.0, 0.0)
    book.close()
    assert not known(book, code, 1.0)
    assert not known(book, button_code(KEY, window.nonce), 1.0)
    assert book.find(crockford.encode(b"t" * 16), 1.0, DRAW) is not None


def test_button_code_is_fixed_by_key_and_nonce() -> None:
    code_id, code = button_code(KEY, b"n" * 16)
    assert (code_id, code) == button_code(KEY, b"n" * 16)
    assert button_code(KEY, b"m" * 16).code != code
    assert button_code(KEY[::-1], b"n" * 16).code != code
    assert len(crockford.decode(code_id)) == 10
    assert len(crockford.decode(code)) == 20


@pytest.mark.parametrize(("now", "good"), [(309.999, True), (310.0, False)])
def test_button_window_closes_after_five_minutes(now: float, good: bool) -> None:
    book = CodeBook()
    window = ButtonWindow(KEY, 10.0, DRAW)
    book.open_window(window)
    assert known(book, button_code(KEY, window.nonce), now) is good
    assert (book.window_nonce(now, DRAW) is not None) is good


def test_spent_button_code_is_followed_by_another_of_the_same_window() -> None:
    book = CodeBook()
    window = ButtonWindow(KEY, 0.0, DRAW)
    book.open_window(window)
    first = window.nonce
    assert book.spend(button_code(KEY, first).code_id, 1.0)
    second = book.window_nonce(2.0, DRAW)
    assert second is not None
    assert second != first
    assert known(book, button_code(KEY, second), 299.0)
    assert not known(book, button_code(KEY, second), 300.0)


def test_resume_code_survives_success_and_failure() -> None:
    book = CodeBook()
    book.allow_resume(b"t" * 16, b"r" * 16, 900.0, 0.0)
    username = crockford.encode(b"t" * 16)
    assert book.spend(username, 1.0)
    assert book.spend(username, 899.999)
    assert not book.spend(username, 900.0)


def test_forgotten_resume_code_is_unknown() -> None:
    book = CodeBook()
    book.allow_resume(b"t" * 16, b"r" * 16, 900.0, 0.0)
    book.forget_resume(b"t" * 16)
    book.forget_resume(b"t" * 16)
    assert book.find(crockford.encode(b"t" * 16), 1.0, DRAW) is None


def test_resume_code_allowed_again_keeps_its_salt() -> None:
    book = CodeBook()
    username = crockford.encode(b"t" * 16)
    book.allow_resume(b"t" * 16, b"r" * 16, 900.0, 0.0)
    first = book.find(username, 1.0, DRAW)
    book.allow_resume(b"t" * 16, b"r" * 16, 900.0, 5.0)
    second = book.find(username, 1.0, DRAW)
    assert first is not None
    assert second is not None
    assert first.salt == second.salt
    book.allow_resume(b"t" * 16, b"s" * 16, 900.0, 5.0)
    third = book.find(username, 6.0, DRAW)
    assert third is not None
    assert third.verifier != first.verifier


def test_resume_codes_are_bounded() -> None:
    book = CodeBook()
    for number in range(20):
        book.allow_resume(bytes([number]) * 16, b"r" * 16, 900.0, 0.0)
    good = [n for n in range(20) if book.spend(crockford.encode(bytes([n]) * 16), 1.0)]
    assert good == [16, 17, 18, 19]


def test_no_code_trips_the_stock_clients_that_drop_leading_zeros() -> None:
    rotating = RotatingCodes(rotation_s=1)
    for now in range(600):
        code = rotating.shown(float(now), DRAW)
        assert sha512(f"{code.code_id}:{code.code}".encode()).digest()[0] != 0
    for _ in range(300):
        code = button_code(KEY, ButtonWindow(KEY, 0.0, DRAW).nonce)
        assert sha512(f"{code.code_id}:{code.code}".encode()).digest()[0] != 0
