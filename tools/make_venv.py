"""Make ``.venv`` in the checkout and install tunewright with everything that its demo, tests and checks need.

Runs on a bare python3. pip fetches uv, uv installs the rest: the same packages in a tenth of the time. What the user
has told pip (find-links, index, certificate) is handed on to uv, which has its own names for them. On a machine
without an NVIDIA GPU the CPU build of torch is taken, so that no CUDA package is downloaded.

Set TUNEWRIGHT_TORCH_BACKEND to cpu, cu126, auto … to choose the build of torch, or to none to leave it to the index.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / "python"
UV = "uv==0.13.8"
STAMP = VENV / ".installed"
INPUTS = ("pyproject.toml", "constraints.txt", "tools/make_venv.py")
OLDEST = (3, 10)


def main() -> None:
    """Install unless what is installed is up to date."""
    if sys.version_info < OLDEST:
        sys.exit(f"error: python {sys.version.split()[0]} is too old; tunewright needs 3.10 or newer")
    wanted = _digest()
    if not STAMP.is_file() or STAMP.read_text() != wanted:
        _install()
        STAMP.write_text(wanted)
    # Where PYTHONDONTWRITEBYTECODE is set, nothing would ever be compiled, and each start would cost seconds.
    _call([str(PYTHON), "-m", "compileall", "-q", "src"], "can't compile the sources")


def _install() -> None:
    if not PYTHON.exists():
        _call(
            [sys.executable, "-m", "venv", str(VENV)],
            "can't make a virtual environment (is python3-venv installed?)",
        )
    _call(
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV],
        "pip can't install uv",
    )
    command = [str(BIN / "uv"), "pip", "install", "--python", str(PYTHON), "--constraint", "constraints.txt"]
    command += ["--compile-bytecode", *_torch_options(), "--editable", ".[dev]"]
    print(f"installing tunewright into {VENV} …", flush=True)  # noqa: T201 - a script's own output
    _call(command, "uv can't install the packages", extra_environment=_uv_environment())


def _digest() -> str:
    state = hashlib.sha256(sys.version.encode())
    for name in INPUTS:
        state.update((ROOT / name).read_bytes())
    return state.hexdigest()


def _pip_setting(name: str) -> str:
    """Return one of pip's settings, from the environment or its configuration files."""
    value = os.environ.get(f"PIP_{name.upper().replace('-', '_')}")
    if value:
        return value
    for section in ("install", "global"):
        command = [str(PYTHON), "-m", "pip", "config", "get", f"{section}.{name}"]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode == 0 and found.stdout.strip():
            return found.stdout.strip()
    return ""


def _uv_environment() -> dict[str, str]:
    """Hand pip's settings on under uv's names."""
    settings = {
        "UV_FIND_LINKS": ",".join(_pip_setting("find-links").split()),
        "UV_DEFAULT_INDEX": _pip_setting("index-url"),
        "SSL_CERT_FILE": _pip_setting("cert"),
        "UV_HTTP_TIMEOUT": _pip_setting("timeout") or "180",
    }
    return {name: value for name, value in settings.items() if value and name not in os.environ}


def _torch_options() -> list[str]:
    """Choose the build of torch: a wheel that lies ready in find-links, else the one for this machine."""
    backend = os.environ.get("TUNEWRIGHT_TORCH_BACKEND", "")
    if not backend:
        folders = [Path(each) for each in _pip_setting("find-links").split() if "://" not in each]
        if any(folder.is_dir() and list(folder.glob("torch-*.whl")) for folder in folders):
            backend = "none"
        elif shutil.which("nvidia-smi") or sys.platform == "darwin":
            backend = "auto"
        else:
            backend = "cpu"
    return [] if backend == "none" else ["--torch-backend", backend]


def _call(command: list[str], failure: str, extra_environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **(extra_environment or {})}, check=False)
    if done.returncode != 0:
        sys.exit(f"error: {failure}: see the lines above")


if __name__ == "__main__":
    main()
