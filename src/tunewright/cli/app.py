"""The command line: commands are mounted here, and errors are rendered once, here."""

from __future__ import annotations

import errno
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from typer.exceptions import TyperException

from tunewright import __version__
from tunewright.cli import (
    ask,
    auth,
    bench,
    config,
    data,
    doctor,
    evaluate,
    importing,
    infer,
    keys,
    labels,
    models,
    notebook,
    optimize,
    predict,
    project,
    run,
    sample,
    serve,
    server,
    stack,
    sweep,
    trace,
)
from tunewright.support.errors import InputError, TunewrightError

INTERRUPTED = 130
"""Exit code of a process that was stopped with Ctrl-C, as shells count it."""
TERMINATED = 143
"""The same for SIGTERM."""

app = typer.Typer(
    name="tunewright",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From raw text to a fine-tuned, compared, certified and promoted transformer.\n\n"
    "Start with `tunewright init NAME`, then `tunewright run data.source=FILE` inside it.",
)


def _show_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"tunewright {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and library messages; may stand anywhere.")
    ] = False,
) -> None:
    """Hold the options that come before a command."""


app.command("init")(project.init)
app.command("run")(run.run)
app.command("step", hidden=True)(run.step)
app.command("sweep")(sweep.sweep)
app.command("trial", hidden=True)(sweep.trial)
app.command("check")(run.check)
app.command("predict")(predict.predict)
app.command("ask")(ask.ask)
app.command("evaluate")(evaluate.evaluate)
app.command("infer")(infer.infer)
app.command("optimize")(optimize.optimize)
app.command("sample")(sample.sample)
app.command("serve")(serve.serve)
app.add_typer(labels.app, name="labels")
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.command("trace")(trace.trace)
app.add_typer(notebook.app, name="notebook")
app.add_typer(config.app, name="config")
app.command("import")(importing.import_)
app.command("up")(stack.up)
app.command("down")(stack.down)
app.command("status")(stack.status)
app.add_typer(server.app, name="server")
app.add_typer(auth.app, name="auth")
app.add_typer(keys.app, name="keys")
app.add_typer(bench.app, name="bench")
app.command("doctor")(doctor.doctor)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the process ends with 0, 1 for a failure, 2 for bad usage or input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    with _ending_cleanly():
        code = _run_shielded(
            lambda: _dispatch([word for word in words if word != "--debug"], debug=debug), debug=debug
        )
    sys.exit(code)


@contextmanager
def _ending_cleanly() -> Iterator[None]:
    """Let SIGTERM, with which systems end a process, unwind it, so that its MLflow run is closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(*_: object) -> None:
    _complain("terminated; the same command goes on where it stopped")
    sys.exit(TERMINATED)


def _dispatch(words: list[str], *, debug: bool) -> int:
    from tunewright.support.environment import quieten_libraries

    if not debug:
        quieten_libraries()
    code = app(words, standalone_mode=False, prog_name="tunewright")
    if code == INTERRUPTED:  # Typer makes Ctrl-C an exit code without a word
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _run_shielded(call: Callable[[], int], *, debug: bool) -> int:
    """Turn whatever went wrong into one line and an exit code; ``debug`` lets tracebacks through."""
    try:
        return call()
    except KeyboardInterrupt:
        _complain("interrupted; the same command goes on where it stopped")
        return INTERRUPTED
    except BrokenPipeError:
        return 0
    except typer.Abort:
        _complain("aborted; nothing was changed")
        return 1
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stdout.write(error.format_message() + "\n")
        else:
            _complain(f"{error.format_message()} ({_help_hint(error)})")
        return error.exit_code
    except Exception as error:
        if debug:
            raise
        known = error if isinstance(error, TunewrightError) else _translate(error)
        _complain(str(known))
        return known.exit_code


def _help_hint(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"see `{context.command_path if context else 'tunewright'} --help`"


def _translate(error: Exception) -> TunewrightError:
    """Give the faults that any file access can meet their one line."""
    if isinstance(error, OSError):
        place = str(error.filename or "")
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return TunewrightError(
                "the disk is full", place=place, mend="free some space and run the same command again"
            )
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return InputError(f"no permission ({error.strerror})", place=place, mend="check who owns it")
    fact = " ".join(str(error).split()) or type(error).__name__
    return TunewrightError(
        f"unexpected {type(error).__name__}: {fact}", mend="run again with --debug for the traceback"
    )


def _complain(line: str) -> None:
    sys.stderr.write(f"error: {line}\n")
