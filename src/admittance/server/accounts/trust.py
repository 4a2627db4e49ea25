"""Trusted apps: what must not rest on a leaked password alone rests on the key of an app that is known.

The first key that an account ever logs in with is trusted; every later one must be confirmed by a second factor. An
app that is not trusted can do all that the owner's password allows, but makes no enrolment codes, approves nothing
and changes no second factor.
"""

from sqlalchemy import delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import AppNotTrusted
from admittance.server.accounts.model import AuthenticatedAccount
from admittance.server.accounts.store import lock_account, trusted_apps

_UNTRUSTED = (
    "This app is not trusted yet: its login knows no more than the password. Confirm it by a second factor: "
    "admit account trust"
)


async def trust_first(connection: AsyncConnection, account_id: str, jkt: str, now: int) -> bool:
    """At a login: trust the key if the account trusts none yet. Of any number of logins at once, one gets true."""
    await lock_account(connection, account_id)
    any_key = select(trusted_apps.c.jkt).where(trusted_apps.c.account_id == account_id).limit(1)
    if (await connection.execute(any_key)).first() is not None:
        return False
    await connection.execute(insert(trusted_apps).values(account_id=account_id, jkt=jkt, since=now, by="first_login"))
    return True


async def trust(connection: AsyncConnection, account_id: str, jkt: str, by: str, now: int) -> None:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    values = {"account_id": account_id, "jkt": jkt, "since": now, "by": by}
    await connection.execute(dialect.insert(trusted_apps).values(values).on_conflict_do_nothing())


async def is_trusted(connection: AsyncConnection, account: AuthenticatedAccount) -> bool:
    query = select(trusted_apps.c.jkt).where(
        trusted_apps.c.account_id == account.account_id, trusted_apps.c.jkt == account.jkt
    )
    return (await connection.execute(query)).first() is not None


async def require_trusted(connection: AsyncConnection, account: AuthenticatedAccount) -> None:
    """Raises `AppNotTrusted`."""
    if not await is_trusted(connection, account):
        raise AppNotTrusted(_UNTRUSTED)


async def forget_apps(connection: AsyncConnection, account_id: str) -> int:
    """After the owner lost every trusted app and factor: the next login is trusted. Returns how many went."""
    result = await connection.execute(delete(trusted_apps).where(trusted_apps.c.account_id == account_id))
    return result.rowcount
