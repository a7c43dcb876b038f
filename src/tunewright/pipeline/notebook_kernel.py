"""Run a notebook's cells in a kernel of its own: the interpreter that runs tunewright, reachable by this user alone.

Whatever kernels and IPython settings the user has installed, this one is ``sys.executable`` with an empty profile. It
listens on sockets in a private folder; where paths are too long for those, on the loopback address. However the run
ends, the kernel and what it started end with it; after a ``kill -9`` of this process the kernel sees to that itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager
    from nbformat import NotebookNode

LONGEST_FOLDER = 80
"""A socket's path has room for 107 characters on Linux and 103 on macOS; ours end in ``/kernel-ipc-N``."""
STARTUP_S = 120
ENDING_S = 5.0


class CellError(Exception):
    """A cell failed, took too long, or took the kernel with it.

    Args:
        index: The cell's position in the notebook as it ran, from 0.
        fact: What happened, in one line.
    """

    def __init__(self, index: int, fact: str) -> None:
        super().__init__(fact)
        self.index = index
        self.fact = fact


@dataclass(frozen=True, slots=True)
class _Kernel:
    """A kernel that isn't started yet, and the private folder in which it lives."""

    manager: AsyncKernelManager
    folder: Path

    @property
    def log(self) -> Path:
        """What the kernel's process says outside of cells."""
        return self.folder / "kernel.log"


def run_cells(
    notebook: NotebookNode, *, folder: Path, timeout_s: int | None, starting: Callable[[int], None]
) -> None:
    """Run all cells in order; outputs are put into ``notebook`` as they come.

    Args:
        notebook: Changed in place, also by a run that fails.
        folder: The working directory of the cells.
        timeout_s: Seconds that one cell may take.
        starting: Called before each cell with its position, from 0.

    Raises:
        CellError: When a cell fails.
        TunewrightError: When the kernel doesn't start.
    """
    from jupyter_core.utils import run_sync
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    with _kernel() as kernel, kernel.log.open("wb") as log:
        client = NotebookClient(
            notebook, km=kernel.manager, timeout=timeout_s, startup_timeout=STARTUP_S, coalesce_streams=True
        )
        environment = {**os.environ, **_settings(kernel.folder)}
        try:
            with _started(kernel):
                client.start_new_kernel(cwd=str(folder), env=environment, stdout=log, stderr=log)
                client.start_new_kernel_client()
            for index, cell in enumerate(notebook.cells):
                starting(index)
                try:
                    client.execute_cell(cell, index)
                except CellExecutionError as error:
                    raise CellError(index, _one_line(f"{error.ename}: {error.evalue}")) from error
                except CellTimeoutError as error:
                    raise CellError(index, f"took more than {timeout_s} s") from error
                except DeadKernelError as error:
                    raise CellError(index, "its process died, as it does when memory runs out") from error
            run_sync(kernel.manager.shutdown_kernel)()
        finally:
            if client.kc is not None:
                client.kc.stop_channels()


def _settings(folder: Path) -> dict[str, str]:
    """Return what the kernel's environment sets: an empty profile, plots into the notebook, no advice on widgets."""
    warnings = [os.environ.get("PYTHONWARNINGS", ""), "ignore:IProgress not found"]
    return {
        "IPYTHONDIR": str(folder / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONWARNINGS": ",".join(each for each in warnings if each),
    }


@contextmanager
def _kernel() -> Iterator[_Kernel]:
    """Give a kernel to be started, and end it whatever happens."""
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class ThisInterpreter(KernelSpecManager):
        """Knows one kernel: ipykernel in ``sys.executable``."""

        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            return KernelSpec(name=kernel_name, resource_dir=str(RESOURCES), **get_kernel_dict())

    with tempfile.TemporaryDirectory(prefix="tunewright-", ignore_cleanup_errors=True) as name:
        has_sockets = os.name == "posix" and len(name) <= LONGEST_FOLDER
        manager = AsyncKernelManager(
            kernel_spec_manager=ThisInterpreter(),
            connection_file=str(Path(name) / "kernel.json"),
            **({"transport": "ipc"} if has_sockets else {"transport": "tcp", "ip": "127.0.0.1"}),
        )
        try:
            yield _Kernel(manager, Path(name))
        finally:
            _end(getattr(manager.provisioner, "process", None))
            manager.context.destroy(linger=0)


@contextmanager
def _started(kernel: _Kernel) -> Iterator[None]:
    """Say in one line why a kernel didn't start: the last words of its process, where there are any."""
    try:
        yield
    except RuntimeError as error:
        words = kernel.log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line for line in reversed(words) if line.strip()), str(error))
        raise TunewrightError(
            f"the notebook's kernel didn't start ({_one_line(last)})",
            mend="check the installation: pip install 'tunewright[notebooks]'",
        ) from error


def _end(process: subprocess.Popen[bytes] | None) -> None:
    """End a kernel and all that it has started, also what no longer belongs to its group."""
    import psutil

    if process is None:
        return
    started = []
    with contextlib.suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid).children(recursive=True)
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a session of its own
    process.kill()
    for each in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
    psutil.wait_procs(started, timeout=ENDING_S)


def _one_line(text: str, most: int = 300) -> str:
    line = " ".join((text.strip().splitlines() or [""])[0].split())
    return line if len(line) <= most else line[: most - 1] + "…"
