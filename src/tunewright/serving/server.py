"""The server's process: its socket, its loop, its signals, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from tunewright.serving.adapters import adapter_models, open_adapters
from tunewright.serving.app import build_app
from tunewright.serving.rollout.conducting import Rollout
from tunewright.serving.rollout.proving import prove
from tunewright.serving.rollout.trial import found_model
from tunewright.serving.service import Service
from tunewright.serving.surroundings import Surroundings
from tunewright.serving.tls import tls_options
from tunewright.support.console import say
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from tunewright.config.serving import ServingConfig
    from tunewright.serving.generation.served import ServedLanguageModel
    from tunewright.serving.opening import Found, Request
    from tunewright.serving.served import ServedModel
    from tunewright.serving.service import Prove

BACKLOG = 2048
"""Connections that the system keeps for us until we take them; uvicorn's default."""
KEEP_ALIVE_S = 75
"""Idle connections are kept a little longer than common proxies keep theirs (60 s), so that they close first."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(
    found: Found,
    settings: ServingConfig,
    *,
    threads: int,
    ready: Callable[[str], None],
    around: Surroundings | None = None,
    watching: Request | None = None,
    beside: Sequence[Found] = (),
) -> None:
    """Serve a copy until SIGTERM or Ctrl-C; then answer what is in work, and return.

    Args:
        found: The copy.
        settings: Address, sizes and limits.
        threads: Processor threads of the engine.
        ready: Called with the server's address when it answers.
        around: Keys, logs and traces; by default everybody is let in and nothing is kept.
        watching: What the copy was found by, where that may come to mean another version.
        beside: Further copies; requests name them. Adapters share the worker of the first, which is one, too; each of
            the others has a worker of its own. They stay as they are.

    Raises:
        InputError: When the address can't be used, or a copy is no classifier's.
        TunewrightError: When the copy can't be opened.
    """
    around = around or Surroundings()
    tls = tls_options(settings)
    listening = listen(settings.host, settings.port)
    with listening, around:
        service = Service(settings, authorise=around.authorise, sink=around.hear, feedback=around.feedback)
        around.show(service.metrics)
        sharing = [each for each in (found, *beside) if each.base]
        adapters = (
            adapter_models(sharing, settings, threads=threads, metrics=service.metrics) if sharing else []
        )
        others = [each for each in (found, *beside) if not each.base]
        own = [found_model(each, settings, threads=threads, metrics=service.metrics) for each in others]
        proving = partial(_prove, service, dict(zip(own, others, strict=True)))
        if watching:
            service.rollout = Rollout(service, watching, found, threads=threads)
        with _loop() as loop:
            opening = partial(_open, service, adapters, sharing, own, proving)
            loop.run_until_complete(_run(service, opening, listening, ready, tls))


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket; port 0 takes any that is free.

    Raises:
        InputError: When the address can't be used.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise InputError(
            f"'{host}' is not an address", place="--host", mend="use 127.0.0.1 or an address of this machine"
        ) from None
    listening = socket.socket(family, kind)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise InputError(
            f"port {port} of {host} can't be used ({error.strerror or error})",
            place="--port",
            mend="choose another one, or --port 0 for any that is free",
        ) from None
    return listening


def address_of(listening: socket.socket, *, is_tls: bool = False) -> str:
    """Return the address that clients use."""
    host, port = listening.getsockname()[:2]
    scheme = "https" if is_tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn without its own signals: the service is drained first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


async def _open(
    service: Service,
    adapters: Sequence[ServedLanguageModel],
    found: Sequence[Found],
    own: Sequence[ServedModel],
    proving: Prove,
) -> None:
    """Open the models: those that share a worker, then those with one of their own."""
    if adapters:
        await open_adapters(service, adapters, found)
    await service.open(*adapters, *own, prove=proving)


async def _prove(service: Service, copies: Mapping[ServedModel, Found], model: ServedModel) -> None:
    """Replay the certificate of a copy that was proved on another kind of processor."""
    found = copies[model]
    if found.is_proved or found.certificate is None:
        return
    say(f"{model.identity.id} was proved on another kind of processor: its certificate is replayed first")
    await prove(service, model, found.certificate)


async def _run(
    service: Service,
    opens: Callable[[], Coroutine[Any, Any, None]],
    listening: socket.socket,
    ready: Callable[[str], None],
    tls: Mapping[str, Any],
) -> None:
    """Answer from the first moment on (health says ``starting``), open the models, and end when told to."""
    server = _Server(
        uvicorn.Config(
            build_app(service),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
            **tls,
        )
    )
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in SIGNALS:
        loop.add_signal_handler(name, told.set)
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    opening = asyncio.ensure_future(opens())
    ending = asyncio.ensure_future(told.wait())
    try:
        await asyncio.wait([opening, ending], return_when=asyncio.FIRST_COMPLETED)
        if opening.done():
            opening.result()
            ready(address_of(listening, is_tls=bool(tls)))
            if service.rollout:
                service.rollout.begin()
            broken = asyncio.ensure_future(service.until_broken())
            await asyncio.wait([ending, broken, serving], return_when=asyncio.FIRST_COMPLETED)
            if broken.done() or serving.done():
                raise TunewrightError("a part of the server has ended", mend="start it again, and tell us")
            broken.cancel()
        for name in SIGNALS:  # a second signal ends the server at once
            loop.remove_signal_handler(name)
        await service.drain()
    finally:
        opening.cancel()
        ending.cancel()
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        await service.close()


@contextlib.contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give an event loop, uvloop's where it is installed."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform != "win32":
        with contextlib.suppress(ImportError):
            import uvloop

            return uvloop.new_event_loop()
    return asyncio.new_event_loop()
