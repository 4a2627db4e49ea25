"""Deletes what nothing can rest on any more. Activations, tickets and certificates stay: they are evidence."""

from sqlalchemy import delete

from admittance.server.access.tables import (
    oauth_codes,
    oauth_device_codes,
    oauth_ended_tokens,
    oauth_flows,
    oauth_pushed_requests,
    oauth_sessions,
)
from admittance.server.accounts.store import invites, login_throttles, proofs_seen
from admittance.server.activation.store import challenges
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.enrolment.factors.tables import (
    approvals,
    device_logins,
    enrolment_codes,
    factor_tries,
    sms_codes,
)
from admittance.server.enrolment.store import spent_nonces
from admittance.server.enrolment.tpm.store import credential_challenges
from admittance.server.grants.tables import grant_invitations, grants, possession_keys
from admittance.server.mail.store import outbox
from admittance.server.relay.tickets import relay_tickets
from admittance.server.revocations.store import endings
from admittance.server.sms.store import outbox as sms_outbox

KEEP_INVITES_S = 30 * 86_400
KEEP_CHALLENGES_S = 3600
KEEP_MAIL_S = 30 * 86_400
KEEP_FACTORS_S = 86_400
KEEP_ENDINGS_S = 86_400
KEEP_KEYS_S = 86_400
KEEP_GRANTS_S = 400 * 86_400
KEEP_CODES_S = 86_400


class Purge:
    """Each table in a transaction of its own, so that requests never wait long."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self) -> int:
        """Returns how many rows went."""
        now = int(self._clock())
        statements = (
            *(
                delete(table).where(table.c.expires_at <= now)
                for table in (
                    oauth_sessions,
                    oauth_device_codes,
                    oauth_ended_tokens,
                    oauth_flows,
                    oauth_pushed_requests,
                )
            ),
            delete(oauth_codes).where(oauth_codes.c.expires_at <= now - KEEP_CODES_S),
            delete(proofs_seen).where(proofs_seen.c.expires_at <= now),
            delete(login_throttles).where(login_throttles.c.forget_at <= now),
            delete(invites).where(invites.c.expires_at <= now - KEEP_INVITES_S),
            delete(challenges).where(challenges.c.expires_at <= now - KEEP_CHALLENGES_S),
            delete(spent_nonces).where(spent_nonces.c.expires_at <= now),
            delete(credential_challenges).where(
                credential_challenges.c.used_at.is_(None), credential_challenges.c.expires_at <= now
            ),
            delete(outbox).where(outbox.c.state != "waiting", outbox.c.created_at <= now - KEEP_MAIL_S),
            delete(sms_outbox).where(sms_outbox.c.created_at <= now - KEEP_FACTORS_S),
            delete(endings).where(endings.c.ended_at <= now - KEEP_ENDINGS_S),
            delete(relay_tickets).where(relay_tickets.c.expires_at <= now),
            delete(possession_keys).where(possession_keys.c.expires_at <= now - KEEP_KEYS_S),
            delete(grant_invitations).where(grant_invitations.c.expires_at <= now),
            delete(grants).where(grants.c.ends_at <= now - KEEP_GRANTS_S),
            delete(factor_tries).where(factor_tries.c.ends_at <= now),
            *(
                delete(table).where(table.c.expires_at <= now - KEEP_FACTORS_S)
                for table in (enrolment_codes, sms_codes, approvals, device_logins)
            ),
        )
        gone = 0
        for statement in statements:
            async with self._database.transaction() as connection:
                gone += (await connection.execute(statement)).rowcount
        return gone
