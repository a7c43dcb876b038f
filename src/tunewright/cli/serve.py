"""``tunewright serve``: a model behind HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from tunewright.support.console import say
from tunewright.support.environment import without_torch
from tunewright.support.errors import MissingExtraError

PACKAGES = ("fastapi", "uvicorn", "msgspec", "prometheus_client")


def serve(
    model: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL]",
            help="NAME[@alias|/version] or the folder of a converted copy; the project's champion by default.",
        ),
    ] = "",
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as serving.max_texts=64."),
    ] = None,
    *,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REFERENCE",
            help="A further adapter (LoRA) on the same base, in the same worker; may be repeated.",
        ),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REFERENCE",
            help="A further model with a worker of its own, named by `model` in requests; may be repeated.",
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 127.0.0.1 unless serving.host says else.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 takes any that is free.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Processor threads of the engine; all cores that it may use by default."),
    ] = None,
    tls_certificate: Annotated[
        str | None, typer.Option(metavar="FILE", help="Certificate, PEM: HTTPS is spoken with it.")
    ] = None,
    tls_key: Annotated[str | None, typer.Option(metavar="FILE", help="The certificate's key, PEM.")] = None,
) -> None:
    """Serve a model over HTTP: OpenAI's and MLflow's protocols, health, figures for Prometheus.

    tunewright serve spam@champion --port 8000

    tunewright serve spam/3 serving.max_texts=64 serving.timeout_s=5

    tunewright serve spam@champion --beside spam@challenger --beside spam/1

    tunewright serve support@champion --adapter refunds@champion --adapter orders/3
    """
    from importlib.util import find_spec

    if not all(find_spec(name) for name in PACKAGES):
        raise MissingExtraError("serving", "serve")
    from tunewright.cli.opening import project_if_any
    from tunewright.serving.beside import find_all
    from tunewright.serving.opening import watchable
    from tunewright.serving.server import serve as run
    from tunewright.serving.surroundings import surroundings
    from tunewright.training.hardware import allowed_cores

    without_torch()
    words = list(overrides or ())
    if "=" in model:
        model, words = "", [model, *words]
    recipe, paths = project_if_any(words)
    given = {
        "host": host,
        "port": port,
        "threads": threads,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
    }
    settings = recipe.serving.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    found, *others = find_all(model, recipe, paths, adapters=adapter or (), beside=beside or ())
    identity = found.identity
    also = "".join(f", {each.called} ({each.identity.form})" for each in others)
    run(
        found,
        settings,
        around=surroundings(settings, recipe.monitoring, paths),
        threads=settings.threads or allowed_cores(),
        ready=lambda address: say(f"{identity.words[1]} ({identity.form}){also} is served at {address}"),
        watching=watchable(model, recipe, paths),
        beside=others,
    )
