"""The composition root: settings in, a server out. The one place where edge, compute and models meet."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp

from hark import discreet
from hark.auth.keys import Keys
from hark.auth.limits import Sessions
from hark.auth.places import store_at
from hark.compute.cores import usable_cores
from hark.compute.running import Running, compute_of
from hark.config import Settings
from hark.edge import addresses, bodies, door, guard, neighbours, relay, requests, status, tls
from hark.edge.admission import Admission
from hark.edge.calls import Calls, either
from hark.edge.client_secrets import ClientSecrets
from hark.edge.console import Console
from hark.edge.drain import Drain
from hark.edge.eventlog import EventLogs
from hark.edge.gateway import Gateway
from hark.edge.ids import new_id
from hark.edge.journal import Recorder
from hark.edge.limits import Limits
from hark.edge.lives import Lives
from hark.edge.models import Models
from hark.edge.nodes import keys_of, sessions_of
from hark.edge.records import Records
from hark.edge.reference import Reference
from hark.edge.renewal import Apply, Front, Renewal
from hark.edge.scrape import Scrape
from hark.edge.server import Server, configured_as, listen, url_of
from hark.edge.transcriptions import Transcriptions
from hark.edge.transcripts import Transcripts
from hark.edge.watching import Watched, watched_as, watching
from hark.edge.websocket import Realtime, wrong_path
from hark.edge.witness import Begin, Witnesses
from hark.errors import HarkError, OperatorError
from hark.journal.store import Store as JournalStore
from hark.journal.writer import Journal
from hark.models import names
from hark.models.catalog import Catalog, configured, installed, renamed
from hark.protocol.answers import Model
from hark.protocol.sessions import answers_with_voice

if TYPE_CHECKING:
    from hark.edge.ice import Network

# Where clients look for the WebSocket: OpenAI's URL; the one that people take for it (contract G.3, S1); base URLs
# given without /v1; and Azure's.
REALTIME_PATHS = (
    "/v1/realtime",
    "/v1/realtime/transcription_sessions",
    "/realtime",
    "/openai/realtime",
    "/openai/v1/realtime",
)
MODEL_PATHS = ("/v1/models", "/models", "/openai/models", "/openai/v1/models")
AUDIO_PATHS = ("/v1/audio", "/audio", "/openai/v1/audio", "/openai/deployments/{deployment:path}/audio")


class Routed(Protocol):
    """What knows its own paths."""

    def routes(self) -> Sequence[BaseRoute]: ...


def routes(
    realtime: Realtime,
    secrets: ClientSecrets,
    models: Models,
    files: Transcriptions,
    *others: Routed,
) -> list[BaseRoute]:
    calls = realtime.calls
    paths = [path + slash for path in REALTIME_PATHS for slash in ("", "/")]
    return [
        Route("/health", status.health),
        *(route for other in others for route in other.routes()),
        *(WebSocketRoute(path, realtime.serve) for path in paths),
        *calls.routes(),
        *secrets.routes(),
        *(Route(path, either(status.needs_websocket, calls), methods=["GET", "POST"]) for path in paths),
        *(Route(path + slash, models.index) for path in MODEL_PATHS for slash in ("", "/")),
        *(Route(path + "/{name:path}", models.show) for path in MODEL_PATHS),
        *(Route(path + "/transcriptions", files.transcribe, methods=["POST"]) for path in AUDIO_PATHS),
        *(Route(path + "/translations", files.translate, methods=["POST"]) for path in AUDIO_PATHS),
        Route("/transcribe", files.transcribe_plainly, methods=["POST"]),
        WebSocketRoute("/{path:path}", wrong_path),
    ]


def build(
    settings: Settings,
    keys: Keys,
    catalog: Catalog,
    compute: Running,
    calls: Calls,
    *others: Routed,
    lives: Lives,
) -> ASGIApp:
    """The ASGI application, without the layers around it."""
    lifetime_s, anyone = settings.max_session_minutes * 60.0, settings.allow_anonymous
    realtime = Realtime(
        keys=keys,
        find_model=catalog.find,
        compute=compute,
        lifetime_s=lifetime_s,
        idle_s=settings.max_idle_minutes and settings.max_idle_minutes * 60.0,
        any_origin=anyone,
        limits=calls.limits,
        calls=calls,
        session_model=settings.session_model,
        witnesses=calls.witnesses,
        lives=lives,
        mint_id=calls.mint_id,
    )
    secrets = ClientSecrets(keys, catalog.find, lifetime_s, calls, anyone, settings.session_model)
    table = [Model(offer.name, offer.created, offer.owned_by) for offer in catalog.offers()]
    models = Models(keys, table, lambda name: Model(name, names.created(name), names.owner(name)), anyone)
    files = Transcriptions(
        keys=keys,
        find_model=catalog.find,
        compute=compute,
        max_bytes=settings.max_file_mb * 1024 * 1024,
        max_minutes=settings.max_file_minutes,
        limits=calls.limits,
        any_origin=anyone,
        witnesses=calls.witnesses,
    )
    handlers = {
        HTTPException: status.http_error,
        HarkError: status.raised,
        ClientDisconnect: status.client_gone,
        Exception: status.crash,
    }

    routing = routes(realtime, secrets, models, files, Reference(keys), Console(keys), *others)
    return calls.logs.around(Starlette(routes=routing, exception_handlers=handlers))


def around(app: ASGIApp, calls: Calls, watched: Watched) -> ASGIApp:
    """`app` in its outermost layers, request ids and CORS, so that errors have them too."""

    def any_origin() -> bool:
        try:
            return calls.any_origin or calls.keys.required_at_once
        except OperatorError:  # the request meets it too, and tells of it
            return False

    return requests.with_ids(guard.cross_origin(bodies.uncompressed(app), any_origin), watched.metrics, watched.tracing)


def journal_of(settings: Settings, gateway: Gateway | None) -> Journal | None:
    """Of several gateways that write to the same one, the first keeps the days."""
    if settings.journal is None:
        return None
    keep = settings.journal_days if gateway is None or gateway.index == 0 else None
    return Journal(JournalStore(settings.journal.expanduser()), keep_days=keep)


class _Lasting(Struct, frozen=True):
    """What lasts while settings change."""

    keys: Keys
    catalog: Catalog
    compute: Running
    calls: Calls
    admission: Admission
    others: tuple[Routed, ...]
    lives: Lives

    def build(self, settings: Settings, catalog: Catalog) -> ASGIApp:
        return build(settings, self.keys, catalog, self.compute, self.calls, *self.others, lives=self.lives)

    def prepare(self, settings: Settings, front: Front, served: ssl.SSLContext | None) -> Apply:
        """All that can fail. Raises OperatorError."""
        self.keys.keep_locked(settings.own_key)
        certificate = check(settings, self.keys)
        context = certificate.context() if certificate and served else None
        catalog = renamed(self.catalog, settings)
        app = self.build(settings, catalog)

        def apply() -> None:
            self.keys.change(settings.own_key)
            self.admission.allow(settings.max_sessions)
            self.calls.change(catalog.find, settings.max_session_minutes * 60.0, settings.session_model)
            front.app = app
            if context and served:
                tls.exchange(served, context)

        return apply


class _House(Struct, frozen=True):
    """What a running server is made of, beside its models."""

    app: Front
    lasting: _Lasting
    admission: Admission
    limits: Limits
    sessions: Sessions
    calls: Calls
    drain: Drain
    journal: Journal | None
    node: neighbours.Node | None


def _wire(  # noqa: PLR0917
    settings: Settings, gateway: Gateway | None, keys: Keys, catalog: Catalog, compute: Running, watched: Watched
) -> _House:
    admission = Admission(compute.strain, most=settings.max_sessions, lagged=watched.metrics.lagged)
    sessions, metrics = sessions_of(settings, keys.place, gateway), watched.metrics
    limits = Limits(store_at(keys.place), admission=admission, sessions=sessions, refused=metrics.sessions.refused)
    journal = journal_of(settings, gateway)
    lives = Lives(settings.resume_seconds, heard=journal is not None)
    records, node = Records(settings.resume_seconds), neighbours.of(settings, keys.signing, gateway)
    mint = node or gateway
    metrics.at_scrape(lambda: watched.look(compute.look, admission, limits, lives))
    # The journal comes first: it may withhold what the others see.
    begin: list[Begin] = [] if journal is None else [partial(Recorder, journal)]
    begin += [*watching(metrics, watched.tracing), records.begin]
    calls = Calls(
        keys=keys,
        find_model=catalog.find,
        compute=compute,
        lifetime_s=settings.max_session_minutes * 60.0,
        idle_s=settings.max_idle_minutes and settings.max_idle_minutes * 60.0,
        limits=limits,
        network=lambda: _network(settings),
        loopback=not settings.open_to_strangers,
        any_origin=settings.allow_anonymous,
        session_model=settings.session_model,
        logs=EventLogs(settings.event_log and settings.event_log.expanduser()),
        mint_id=mint.new_id if mint else new_id,
        witnesses=Witnesses(*begin),
        missed=metrics.sessions.packets,
    )
    drain = Drain(
        keys,
        limits,
        lives,
        calls,
        seconds=settings.drain_seconds,
        tell_others=gateway.tell_draining if gateway else None,
    )
    if gateway is not None:
        gateway.drain = drain.set
    kept = journal.store if journal else None
    transcripts = Transcripts(keys, records, lives, kept, any_origin=settings.allow_anonymous)
    scrape = Scrape(keys, metrics, settings.allow_anonymous, gateway, settings.workers)
    others: tuple[Routed, ...] = (drain, transcripts, scrape, *([node] if node else []))
    lasting = _Lasting(keys, catalog, compute, calls, admission, others, lives)
    return _House(
        Front(lasting.build(settings, catalog)), lasting, admission, limits, sessions, calls, drain, journal, node
    )


@contextlib.asynccontextmanager
async def running(
    settings: Settings, gateway: Gateway | None = None, renewal: Renewal | None = None
) -> AsyncIterator[str]:
    """Serve while the context lasts; yields the base URL, "http://127.0.0.1:8000". The models are loaded by then.

    With a `gateway`, this process is one of `settings.workers`: it listens to no port, gets its connections from there,
    and has its share of the threads; there is no URL then. `renewal` is told how to change settings. Raises
    OperatorError or ModelError if the options, the port, the files or a model stand in the way.
    """
    certificate = check(settings, keys := keys_of(settings))
    # uvicorn's lines show the query, where a key may stand, and asyncio's own what a fault was about.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    asyncio.get_running_loop().set_exception_handler(discreet.on_loop)
    catalog = configured(installed(), settings)
    watched = watched_as([offer.name for offer in catalog.offers()], catalog.engine.spec.name, gateway)
    threads = settings.threads if gateway is None else share(settings)
    compute = compute_of(settings, catalog, threads, watched.metrics, explains=watched.tracing is not None)
    house = _wire(settings, gateway, keys, catalog, compute, watched)
    listener = listen(settings) if gateway is None else None
    try:
        if house.journal is not None:
            await asyncio.to_thread(house.journal.start)
        await compute.start(*catalog.engines())
        whole = around(neighbours.within(house.app, gateway, house.node), house.calls, watched)
        server = Server(configured_as(whole, settings, certificate))
        serving = asyncio.create_task(server.serve(sockets=[]))
        keeping = house.sessions.keep(), neighbours.keep(house.node), compute.keep_within_memory()
        works = (house.admission.watch(), *keeping)
        beside = [asyncio.create_task(work) for work in works]
        try:
            while not server.started:
                if serving.done():
                    serving.result()
                await asyncio.sleep(0.01)
            if gateway is not None:
                beside.append(asyncio.create_task(_join(gateway, server, house)))
            if listener is not None:
                beside.append(asyncio.create_task(door.keep(listener, server.adopt)))
            if renewal is not None:
                renewal.attach(lambda anew: house.lasting.prepare(anew, house.app, server.config.ssl))
            yield url_of(settings, listener) if listener else ""
        finally:
            await house.drain.run()
            if gateway is not None:
                gateway.leave_service()
            server.should_exit = True
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            if listener is not None:
                listener.close()
            await serving
    finally:
        if listener is not None:
            listener.close()
        await _stop(house, compute)
        await watched.stop()


async def _stop(house: _House, compute: Running) -> None:
    await house.limits.stop()
    if house.journal is not None:
        await asyncio.to_thread(house.journal.stop)
    await compute.leave()
    await asyncio.to_thread(compute.stop)


async def _join(gateway: Gateway, server: Server, house: _House) -> None:
    def how_many() -> int:
        return len(server.server_state.connections) + house.calls.how_many

    await gateway.serve(server.adopt, lambda stream: relay.answer(house.app, relay.StreamLine(stream)), how_many)


def check(settings: Settings, keys: Keys) -> tls.Certificate | None:
    """What can be known before anything is loaded; the certificate to serve with. Raises OperatorError."""
    keys.check()
    settings.check(has_keys=keys.required)
    _check_session_model(settings.session_model)
    addresses.proxies(settings.forwarded_allow_ips)
    neighbours.address_of(settings)
    return _certificate(settings)


def share(settings: Settings) -> int:
    """The threads of one of several gateways, at least 1: --threads are those of all."""
    return max(1, (settings.threads or usable_cores()) // settings.workers)


def _certificate(settings: Settings) -> tls.Certificate | None:
    """Raises OperatorError if there should be one and it cannot be had."""
    if settings.tls_self_signed:
        return tls.self_signed(settings.data_folder)
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    named = tls.Certificate(settings.tls_cert.expanduser(), settings.tls_key.expanduser())
    named.context()
    return named


def _network(settings: Settings) -> Network:
    """Where calls may come, which loads aiortc."""
    from hark.edge.ice import Network  # noqa: PLC0415

    return Network(
        loopback=not settings.open_to_strangers,
        ports=settings.webrtc_port_range(),
        advertised=settings.webrtc_addresses(),
        stun=settings.webrtc_stun,
        turn=settings.webrtc_turn,
        turn_username=settings.webrtc_turn_username,
        turn_password=settings.webrtc_turn_password.get_secret_value() if settings.webrtc_turn_password else None,
    )


def _check_session_model(name: str) -> None:
    if not answers_with_voice(name):
        raise OperatorError(
            f"--session-model {name}: no model of a realtime session. Expected a name such as gpt-realtime or "
            "gpt-4o-realtime-preview; a model that transcribes goes into --transcription-model."
        )
