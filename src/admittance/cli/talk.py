"""`admit talk`."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, BinaryIO, TypeVar

import click

from admittance.cli.channel_options import Target, local_option, with_device
from admittance.cli.output import emit, json_option
from admittance.cli.profile import profile_option
from admittance.client.channel.content import Content
from admittance.client.channel.device_channel import REQUEST_TIMEOUT_S, DeviceChannel
from admittance.client.session_store import SessionStore
from admittance.errors import Malformed
from admittance.wire.coap import codes

PROXY_PORT = 5683

F = TypeVar("F", bound=Callable[..., Any])

timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 600),
    default=REQUEST_TIMEOUT_S,
    show_default=True,
    help="Seconds to wait for the answer.",
)


def body_options(command: F) -> F:
    """Add the ways to give a body, as the arguments of `body_of`."""

    for option in reversed(
        (
            click.option("--text", help="Send a text."),
            click.option("--json-body", metavar="JSON", help="Send JSON."),
            click.option("--cbor", metavar="JSON", help="Send CBOR; give the value in JSON."),
            click.option("--file", type=click.File("rb"), help="Send a file's bytes, or standard input's for -."),
            click.option("--content-format", type=click.IntRange(0, 65535), help="With --file: IANA's number of it."),
        )
    ):
        command = option(command)
    return command


@click.group()
@click.argument("device")
@click.option("--ble", default="", metavar="CONTROLLER", help="Over Bluetooth alone, by a controller such as usb:0.")
@click.pass_context
def talk(context: click.Context, device: str, ble: str) -> None:
    """Talk to a DEVICE (its id, its setup code or its name): through the server, which can read nothing, or --local.

    The device must know this app: the app that provisioned it is known, others are let in by `admit credentials`. A
    guest talks by the key that it has of the device.

    \b
    Examples:
      admit talk ADJBSWY3DPEHPK3PXPJBSW get /.well-known/core
      admit talk climate-1 observe /sensors/temperature --json
      admit talk lock-1 put /lock --cbor '{"state": "unlocked"}'
      admit talk lock-1 proxy
      admit talk --ble usb:0 monitor-1 get /measurements
    """
    context.obj = Target(device, ble)


@talk.command()
@click.argument("path")
@click.option("--raw", is_flag=True, help="Write the bytes as they are.")
@local_option
@timeout_option
@profile_option
@json_option
@click.pass_obj
def get(
    to: Target, /, path: str, raw: bool, local: bool, timeout_s: float, store: SessionStore, as_json: bool
) -> None:
    """Read the resource at PATH, such as /info.

    \b
    Examples:
      admit talk lock-1 get /lock
      admit talk camera-1 get /snapshot --raw > snapshot.jpg
    """

    async def work(channel: DeviceChannel) -> Content:
        return await channel.get(path, timeout_s=timeout_s)

    content = with_device(store, to, local, work)
    if raw:
        click.echo(content.payload, nl=False)
    else:
        show(content, as_json)


@talk.command()
@click.argument("path")
@body_options
@local_option
@timeout_option
@profile_option
@json_option
@click.pass_obj
def put(
    to: Target, /, path: str, local: bool, timeout_s: float, store: SessionStore, as_json: bool, **body: Any
) -> None:
    """Set the resource at PATH.

    \b
    Examples:
      admit talk lock-1 put /lock --cbor '{"state": "locked"}'
      admit talk sign-1 put /text --text "Back at five"
    """
    content = body_of(**body)
    if content is None:
        raise click.UsageError("Give what to set: --text, --json-body, --cbor or --file.")
    show(
        with_device(store, to, local, lambda channel: channel.put(path, content, timeout_s=timeout_s)),
        as_json,
    )


@talk.command()
@click.argument("path")
@body_options
@local_option
@timeout_option
@profile_option
@json_option
@click.pass_obj
def post(
    to: Target, /, path: str, local: bool, timeout_s: float, store: SessionStore, as_json: bool, **body: Any
) -> None:
    """Hand something to the resource at PATH.

    \b
    Example:
      admit talk lock-1 post /provisioning
    """
    content = body_of(**body)
    ask(store, to, local, as_json, lambda channel: channel.post(path, content, timeout_s=timeout_s))


@talk.command()
@click.argument("path")
@local_option
@timeout_option
@profile_option
@json_option
@click.pass_obj
def delete(to: Target, /, path: str, local: bool, timeout_s: float, store: SessionStore, as_json: bool) -> None:
    """Remove the resource at PATH.

    \b
    Example:
      admit talk sign-1 delete /text
    """
    ask(store, to, local, as_json, lambda channel: channel.delete(path, timeout_s=timeout_s))


@talk.command()
@click.argument("path")
@click.option("--count", type=click.IntRange(min=1), help="End after that many contents.")
@local_option
@timeout_option
@profile_option
@json_option
@click.pass_obj
def observe(
    to: Target,
    /,
    path: str,
    count: int | None,
    local: bool,
    timeout_s: float,
    store: SessionStore,
    as_json: bool,
) -> None:
    """Print the content of PATH now and whenever it changes, one line each, until Ctrl-C.

    A lost connection is opened again; standard error tells of it.

    \b
    Examples:
      admit talk climate-1 observe /sensors/temperature
      admit talk climate-1 observe /sensors/temperature --count 10 --json
    """

    async def work(channel: DeviceChannel) -> None:
        left = count
        async with aclosing(channel.observe(path, timeout_s=timeout_s)) as contents:
            async for content in contents:
                show(content, as_json)
                left = None if left is None else left - 1
                if left == 0:
                    return

    until_interrupted(lambda: with_device(store, to, local, work))


@talk.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PROXY_PORT, show_default=True, help="UDP port; 0 for a free one."
)
@local_option
@profile_option
@json_option
@click.pass_obj
def proxy(to: Target, /, port: int, local: bool, store: SessionStore, as_json: bool) -> None:
    """Let any CoAP client on this computer talk to the device, at coap://127.0.0.1:PORT, until Ctrl-C.

    Between client and proxy nothing is encrypted, and every program on this computer can use it: it listens on
    127.0.0.1 alone.

    \b
    Examples:
      admit talk lock-1 proxy
      admit talk --ble usb:0 monitor-1 get /measurements
      coap-client-notls coap://127.0.0.1/lock
    """
    from admittance.client.channel.proxy import serve_proxy

    async def work(channel: DeviceChannel) -> None:
        async with serve_proxy(channel, port) as served:
            uri = f"coap://127.0.0.1:{served}"
            shown = {"event": "listening", "port": served, "uri": uri}
            emit(shown if as_json else f"{channel.device_id} is at {uri}", as_json)
            await asyncio.Event().wait()

    until_interrupted(lambda: with_device(store, to, local, work))


def body_of(
    *, text: str | None, json_body: str | None, cbor: str | None, file: BinaryIO | None, content_format: int | None
) -> Content | None:
    """The body that the options give, if any. Raises `Malformed` for what is no JSON."""
    if sum(value is not None for value in (text, json_body, cbor, file)) > 1:
        raise click.UsageError("Give one of --text, --json-body, --cbor and --file.")
    if content_format is not None and file is None:
        raise click.UsageError("--content-format belongs to --file.")
    if text is not None:
        return Content.of_text(text)
    if json_body is not None:
        return Content.of_json(_parse(json_body))
    if cbor is not None:
        return Content.of_cbor(_parse(cbor))
    if file is not None:
        return Content(file.read(), content_format)
    return None


def show(content: Content, as_json: bool) -> None:
    """Print an answer: its content, or its code where it has none; with --json code, format and value."""
    value = content.plain()
    code = codes.text(content.code)
    if as_json:
        emit({"code": code, "content_format": content.content_format, "value": value}, as_json)
    elif not content.payload:
        click.echo(code)
    else:
        click.echo(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def ask(
    store: SessionStore,
    to: Target,
    local: bool,
    as_json: bool,
    send: Callable[[DeviceChannel], Awaitable[Content]],
) -> None:
    """Send a request, and show its answer."""
    show(with_device(store, to, local, send), as_json)


def until_interrupted(work: Callable[[], None]) -> None:
    """Run `work`; Ctrl-C is its proper end."""
    try:
        work()
    except KeyboardInterrupt:
        click.echo(err=True)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed(f"This is no JSON: {text[:80]}") from None
