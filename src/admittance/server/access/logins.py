"""Passwords at the authorization server: throttled like every login, and each refusal is in the audit log."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Malformed
from admittance.server.accounts import store
from admittance.server.accounts.model import normalise_email
from admittance.server.accounts.password_check import PasswordCheck
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database


@dataclass(frozen=True)
class Person:
    """Who knew an account's password."""

    account_id: str
    email: str
    operator: bool


class Logins:
    """An address without account takes the same path and the same work as one with a wrong password."""

    def __init__(self, *, database: Database, clock: Clock, audit: AuditLog, passwords: PasswordCheck) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._passwords = passwords

    async def check(self, *, email: str, password: str, source: str) -> Person | None:
        """The account of address and password, or None, whichever of them is wrong.

        Raises `Throttled`, or `Unavailable` when the store does not answer or too much is going on.
        """
        try:
            address = normalise_email(email)
        except Malformed:
            return None
        account_id = await self._passwords.account_id(email=address, password=password, source=source)
        async with self._database.transaction() as connection:
            row = await store.find_by_email(connection, address)
            if account_id is None:
                subject = "account:unknown" if row is None else f"account:{row.account_id}"
                await self._audit.append(
                    connection, event="login.refused", actor="anonymous", subject=subject, now=self._clock()
                )
        if account_id is None or row is None:
            return None
        return Person(account_id=account_id, email=address, operator=row.operator)

    async def forgive(self, connection: AsyncConnection, person: Person, *, source: str) -> None:
        """After a login that succeeded in whole, in its transaction: the tries are forgotten."""
        await self._passwords.forgive(connection, email=person.email, source=source)
