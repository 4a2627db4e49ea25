"""Statements on the tables of second factors.

Whatever is good once is used up by one conditional UPDATE: of any number of callers at once, one succeeds.
"""

from typing import Any

from sqlalchemy import Row, Table, and_, bindparam, case, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.devices.store import devices
from admittance.server.enrolment.factors.model import ENDED
from admittance.server.enrolment.factors.tables import (
    account_factors,
    approvals,
    device_logins,
    enrolment_codes,
    factor_tries,
    phones,
    sms_codes,
    totp_seeds,
)

_ACCOUNT_KINDS = select(account_factors.c.kinds).where(account_factors.c.account_id == bindparam("sought"))
_FIND_LOGIN = select(device_logins).where(
    device_logins.c.ticket_mac == bindparam("offered"),
    device_logins.c.registry_key == bindparam("of_device"),
    device_logins.c.expires_at > bindparam("now"),
)


_END_MADE_CODES = update(enrolment_codes).where(
    enrolment_codes.c.made_by == bindparam("of_device"), enrolment_codes.c.used_at.is_(None)
)
_END_SENT_CODES = update(sms_codes).where(
    sms_codes.c.bound_to == bindparam("of_device"), sms_codes.c.used_at.is_(None)
)
_END_QUESTIONS = tuple(
    update(table).where(table.c.registry_key == bindparam("of_device")) for table in (approvals, device_logins)
)


def _insert(connection: AsyncConnection, table: Table) -> Any:
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


async def admit_try(connection: AsyncConnection, bucket: str, limit: int, window_s: int, now: int) -> bool:
    """Take one of `limit` tries that the bucket has within `window_s`. False when none is left."""
    table = factor_tries.c
    is_over = table.ends_at <= now
    counted = (
        update(factor_tries)
        .where(table.bucket == bucket, or_(is_over, table.tries < limit))
        .values(
            tries=case((is_over, 1), else_=table.tries + 1),
            ends_at=case((is_over, now + window_s), else_=table.ends_at),
        )
    )
    if (await connection.execute(counted)).rowcount == 1:
        return True
    first = _insert(connection, factor_tries).values(bucket=bucket, tries=1, ends_at=now + window_s)
    if (await connection.execute(first.on_conflict_do_nothing())).rowcount == 1:
        return True
    return (await connection.execute(counted)).rowcount == 1


async def give_try_back(connection: AsyncConnection, bucket: str) -> None:
    """After a success: the try did not count."""
    table = factor_tries.c
    await connection.execute(
        update(factor_tries).where(table.bucket == bucket, table.tries > 0).values(tries=table.tries - 1)
    )


async def add_code(
    connection: AsyncConnection, code_mac: bytes, account_id: str, made_by: str, expires_at: int
) -> None:
    await connection.execute(
        insert(enrolment_codes).values(
            code_mac=code_mac, account_id=account_id, made_by=made_by, expires_at=expires_at
        )
    )


async def open_codes(connection: AsyncConnection, account_id: str, made_by: str, now: int) -> int:
    """How many codes of that maker are neither used nor over."""
    table = enrolment_codes.c
    query = select(func.count()).where(
        table.account_id == account_id,
        table.made_by == made_by,
        table.used_at.is_(None),
        table.expires_at > now,
    )
    return (await connection.execute(query)).scalar_one()


async def use_code(connection: AsyncConnection, code_mac: bytes, account_id: str, bound_to: str, now: int) -> bool:
    """Use an open code up, bound to nobody else. Of any number of callers at once, one gets true."""
    result = await connection.execute(
        update(enrolment_codes)
        .where(*_is_open(code_mac, account_id, bound_to, now))
        .values(bound_to=bound_to, used_at=now)
    )
    return result.rowcount == 1


def _is_open(code_mac: bytes, account_id: str, bound_to: str, now: int) -> tuple[Any, ...]:
    table = enrolment_codes.c
    return (
        table.code_mac == code_mac,
        table.account_id == account_id,
        or_(table.bound_to.is_(None), table.bound_to == bound_to),
        table.used_at.is_(None),
        table.expires_at > now,
    )


async def end_codes(connection: AsyncConnection, device_id: str) -> None:
    """End the codes that this device made, and the SMS codes that were sent for it."""
    device = f"device:{device_id}"
    await connection.execute(_END_MADE_CODES, {"of_device": device, "expires_at": ENDED})
    await connection.execute(_END_SENT_CODES, {"of_device": device, "expires_at": ENDED})


async def end_questions(connection: AsyncConnection, registry_key: bytes) -> None:
    """End what the owner was asked about this device, and answered, and logins at its keyboard."""
    for statement in _END_QUESTIONS:
        await connection.execute(statement, {"of_device": registry_key, "expires_at": ENDED})


async def end_approvals(connection: AsyncConnection, registry_key: bytes) -> None:
    """End what the owner was asked about this device, and any answer that was not used."""
    unused = update(approvals).where(approvals.c.registry_key == registry_key, approvals.c.used_at.is_(None))
    await connection.execute(unused.values(expires_at=ENDED))


async def put_sms_code(
    connection: AsyncConnection, account_id: str, bound_to: str, code_mac: bytes, expires_at: int
) -> None:
    """Keep a code in place of the one before it."""
    values = {"code_mac": code_mac, "tries": 0, "expires_at": expires_at, "used_at": None}
    await connection.execute(
        _insert(connection, sms_codes)
        .values(account_id=account_id, bound_to=bound_to, **values)
        .on_conflict_do_update(index_elements=["account_id", "bound_to"], set_=values)
    )


async def try_sms_code(connection: AsyncConnection, account_id: str, bound_to: str, limit: int, now: int) -> bool:
    """Charge one of the open code's `limit` tries. False when there is no code, or no try is left."""
    table = sms_codes.c
    result = await connection.execute(
        update(sms_codes)
        .where(
            table.account_id == account_id,
            table.bound_to == bound_to,
            table.used_at.is_(None),
            table.expires_at > now,
            table.tries < limit,
        )
        .values(tries=table.tries + 1)
    )
    return result.rowcount == 1


async def use_sms_code(
    connection: AsyncConnection, account_id: str, bound_to: str, code_mac: bytes, now: int
) -> bool:
    """Use the open code up if it is this one. Of any number of callers at once, one gets true."""
    table = sms_codes.c
    result = await connection.execute(
        update(sms_codes)
        .where(
            table.account_id == account_id,
            table.bound_to == bound_to,
            table.code_mac == code_mac,
            table.used_at.is_(None),
            table.expires_at > now,
        )
        .values(used_at=now)
    )
    return result.rowcount == 1


async def find_seed(connection: AsyncConnection, account_id: str) -> Row[Any] | None:
    return (await connection.execute(select(totp_seeds).where(totp_seeds.c.account_id == account_id))).first()


async def put_seed(connection: AsyncConnection, account_id: str, sealed: bytes) -> bool:
    """Keep a seed that is not confirmed yet. False if the account has a confirmed one."""
    values = {"sealed": sealed, "confirmed_at": None, "last_step": 0}
    result = await connection.execute(
        _insert(connection, totp_seeds)
        .values(account_id=account_id, **values)
        .on_conflict_do_update(index_elements=["account_id"], set_=values, where=totp_seeds.c.confirmed_at.is_(None))
    )
    return bool(result.rowcount == 1)


async def use_step(connection: AsyncConnection, account_id: str, step: int, *, confirm_at: int | None = None) -> bool:
    """Accept a time step later than every one before it (RFC 6238, section 5.2), once.

    With `confirm_at` the seed must be unconfirmed and becomes confirmed, else it must be confirmed.
    """
    table = totp_seeds.c
    expected = table.confirmed_at.is_not(None) if confirm_at is None else table.confirmed_at.is_(None)
    values = {"last_step": step}
    if confirm_at is not None:
        values["confirmed_at"] = confirm_at
    is_later = and_(table.account_id == account_id, table.last_step < step, expected)
    result = await connection.execute(update(totp_seeds).where(is_later).values(values))
    return result.rowcount == 1


async def remove_seed(connection: AsyncConnection, account_id: str) -> bool:
    return (await connection.execute(delete(totp_seeds).where(totp_seeds.c.account_id == account_id))).rowcount == 1


async def find_phone(connection: AsyncConnection, account_id: str) -> Row[Any] | None:
    return (await connection.execute(select(phones).where(phones.c.account_id == account_id))).first()


async def put_phone_candidate(connection: AsyncConnection, account_id: str, candidate: bytes) -> None:
    await connection.execute(
        _insert(connection, phones)
        .values(account_id=account_id, candidate=candidate)
        .on_conflict_do_update(index_elements=["account_id"], set_={"candidate": candidate})
    )


async def verify_phone(connection: AsyncConnection, account_id: str, now: int) -> bool:
    """The candidate becomes the account's number."""
    table = phones.c
    result = await connection.execute(
        update(phones)
        .where(table.account_id == account_id, table.candidate.is_not(None))
        .values(sealed=table.candidate, candidate=None, verified_at=now)
    )
    return result.rowcount == 1


async def remove_phone(connection: AsyncConnection, account_id: str) -> bool:
    return (await connection.execute(delete(phones).where(phones.c.account_id == account_id))).rowcount == 1


async def account_kinds(connection: AsyncConnection, account_id: str) -> tuple[str, ...]:
    """The kinds that the account itself asks for, none by default."""
    return tuple(((await connection.execute(_ACCOUNT_KINDS, {"sought": account_id})).scalar() or "").split())


async def set_account_kinds(connection: AsyncConnection, account_id: str, kinds: tuple[str, ...]) -> None:
    values = {"kinds": " ".join(kinds)}
    await connection.execute(
        _insert(connection, account_factors)
        .values(account_id=account_id, **values)
        .on_conflict_do_update(index_elements=["account_id"], set_=values)
    )


async def ask_approval(
    connection: AsyncConnection,
    registry_key: bytes,
    account_id: str,
    epoch: int,
    source: str,
    expires_at: int,
    now: int,
) -> bool:
    """Put a question to the owner, unless one is open or was answered. Returns whether it is new."""
    table = approvals.c
    values = {
        "source": source,
        "asked_at": now,
        "expires_at": expires_at,
        "decision": None,
        "decided_at": None,
        "used_at": None,
    }
    is_over = or_(table.expires_at <= now, table.used_at.is_not(None))
    result = await connection.execute(
        _insert(connection, approvals)
        .values(registry_key=registry_key, account_id=account_id, epoch=epoch, **values)
        .on_conflict_do_update(index_elements=["registry_key", "account_id", "epoch"], set_=values, where=is_over)
    )
    return bool(result.rowcount == 1)


async def use_approval(
    connection: AsyncConnection, registry_key: bytes, account_id: str, epoch: int, now: int
) -> bool:
    """Use the owner's yes up. Of any number of callers at once, one gets true."""
    table = approvals.c
    result = await connection.execute(
        update(approvals)
        .where(
            table.registry_key == registry_key,
            table.account_id == account_id,
            table.epoch == epoch,
            table.decision == "approved",
            table.used_at.is_(None),
            table.expires_at > now,
        )
        .values(used_at=now)
    )
    return result.rowcount == 1


async def is_denied(connection: AsyncConnection, registry_key: bytes, account_id: str, epoch: int, now: int) -> bool:
    table = approvals.c
    query = select(table.decision).where(
        table.registry_key == registry_key,
        table.account_id == account_id,
        table.epoch == epoch,
        table.expires_at > now,
    )
    return (await connection.execute(query)).scalar() == "denied"


async def pending_approvals(connection: AsyncConnection, account_id: str, now: int) -> list[Row[Any]]:
    """The open questions, each beside its device's id and model."""
    table = approvals.c
    query = (
        select(approvals, devices.c.device_id, devices.c.model)
        .join_from(approvals, devices, table.registry_key == devices.c.registry_key)
        .where(table.account_id == account_id, table.decision.is_(None), table.expires_at > now)
        .order_by(table.asked_at)
    )
    return list(await connection.execute(query))


async def decide_approval(
    connection: AsyncConnection, registry_key: bytes, account_id: str, decision: str, now: int
) -> bool:
    """Answer the device's open questions. False if there is none."""
    table = approvals.c
    result = await connection.execute(
        update(approvals)
        .where(
            table.registry_key == registry_key,
            table.account_id == account_id,
            table.decision.is_(None),
            table.expires_at > now,
        )
        .values(decision=decision, decided_at=now)
    )
    return result.rowcount > 0


async def add_login(
    connection: AsyncConnection, ticket_mac: bytes, registry_key: bytes, account_id: str, epoch: int, expires_at: int
) -> None:
    await connection.execute(
        insert(device_logins).values(
            ticket_mac=ticket_mac,
            registry_key=registry_key,
            account_id=account_id,
            epoch=epoch,
            expires_at=expires_at,
        )
    )


async def find_login(
    connection: AsyncConnection, ticket_mac: bytes, registry_key: bytes, now: int
) -> Row[Any] | None:
    """A login that is not over, of that device."""
    values = {"offered": ticket_mac, "of_device": registry_key, "now": now}
    return (await connection.execute(_FIND_LOGIN, values)).first()
