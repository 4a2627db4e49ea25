"""What a sealed configuration, and the app that brought it, put on the device's list of credentials."""

from admittance.protocol.channel.credentials import CredentialList
from admittance.protocol.channel.scope import SERVER_PATH
from admittance.wire.channel import GET, POST, Entry, Permission
from admittance.wire.provisioning_messages import ConfigurationRequest
from admittance.wire.sealed import Configuration


def configured(
    credentials: CredentialList, epoch: int, configuration: Configuration, request: ConfigurationRequest
) -> CredentialList:
    """The list from this configuration on: of its epoch, with the server's key and the app's as an owner's.

    Raises what `CredentialList.add` raises, so that a key which can't be listed refuses the whole configuration.
    """
    listed = credentials.begin_epoch(epoch)
    now = configuration.server_time
    if configuration.server_channel:
        scope = (Permission(f"{SERVER_PATH}/*", GET | POST),)
        listed = listed.add(Entry(configuration.server_channel, b"", "server", epoch, "server", 0, scope), now=now)
    if request.channel:
        listed = listed.add(Entry(request.channel, request.signing, "owner", epoch, request.name, 0, ()), now=now)
    return listed
