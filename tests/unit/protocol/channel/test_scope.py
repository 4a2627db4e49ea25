import pytest

from admittance.errors import NotAllowed
from admittance.protocol.channel.scope import check_scope
from admittance.wire.channel import DELETE, FETCH, GET, POST, PUT, Entry, Permission, Role
from admittance.wire.coap import codes


def entry(role: Role, *scope: Permission) -> Entry:
    return Entry(b"key", b"", role, 1, "x", 0, scope)


GUEST = entry("guest", Permission("/lock", GET | PUT), Permission("/sensors/*", GET | FETCH))
SERVER = entry("server", Permission("/server/*", POST))

ALLOWED = [
    (GUEST, codes.GET, "/lock"),
    (GUEST, codes.PUT, "/lock"),
    (GUEST, codes.GET, "/sensors/temperature"),
    (GUEST, codes.FETCH, "/sensors/a/b"),
    (entry("owner"), codes.DELETE, "/credentials/00"),
    (entry("owner"), codes.PATCH, "/anything"),
    (entry("recovery"), codes.POST, "/credentials"),
    (entry("recovery"), codes.DELETE, "/credentials/00"),
    (SERVER, codes.POST, "/server/ended"),
]
REFUSED = [
    (GUEST, codes.POST, "/lock"),
    (GUEST, codes.DELETE, "/lock"),
    (GUEST, codes.GET, "/lock/log"),
    (GUEST, codes.GET, "/locks"),
    (GUEST, codes.GET, "/sensors"),
    (GUEST, codes.GET, "/sensorsx"),
    (GUEST, codes.PUT, "/sensors/temperature"),
    (GUEST, codes.PATCH, "/lock"),
    (GUEST, codes.GET, "/"),
    (entry("guest", Permission("/*", 31)), codes.POST, "/credentials"),
    (entry("guest", Permission("/*", 31)), codes.DELETE, "/credentials/00"),
    (entry("guest", Permission("/*", 31)), codes.POST, "/provisioning"),
    (entry("guest", Permission("/*", 31)), codes.PUT, "/consent"),
    (entry("guest", Permission("/server/*", 31)), codes.POST, "/server/ended"),
    (entry("owner"), codes.POST, "/server/ended"),
    (entry("owner"), codes.POST, "/server"),
    (entry("recovery"), codes.GET, "/lock"),
    (entry("recovery"), codes.GET, "/credentialsx"),
    (entry("recovery"), codes.POST, "/server/ended"),
    (SERVER, codes.GET, "/server/ended"),
    (SERVER, codes.GET, "/lock"),
    (entry("server", Permission("/*", 31)), codes.GET, "/lock"),
    (entry("guest", Permission("/lock", DELETE)), codes.GET, "/lock"),
]


@pytest.mark.parametrize(("who", "code", "path"), ALLOWED)
def test_allowed(who: Entry, code: int, path: str) -> None:
    check_scope(who, code, path)


@pytest.mark.parametrize(("who", "code", "path"), REFUSED)
def test_refused(who: Entry, code: int, path: str) -> None:
    with pytest.raises(NotAllowed):
        check_scope(who, code, path)
