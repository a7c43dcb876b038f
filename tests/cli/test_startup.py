"""The command line starts fast because nothing heavy is imported before it is needed."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = (
    "torch",
    "transformers",
    "mlflow",
    "pandas",
    "numpy",
    "dvc",
    "hydra",
    "sklearn",
    "matplotlib",
    "pyarrow",
    "pydantic",
    "optuna",
)


def _modules_after(code: str) -> set[str]:
    script = (
        f"import sys, json\n{code}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_imports_nothing_heavy():
    assert not _modules_after("import tunewright") & {*HEAVY, "typer", "rich"}


def test_the_command_line_imports_nothing_heavy():
    assert not _modules_after("import tunewright.cli.app") & set(HEAVY)


def test_public_names_are_there_and_unknown_ones_are_not():
    import pytest

    import tunewright

    for name in tunewright.__all__:
        assert getattr(tunewright, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        tunewright.nonsense  # noqa: B018


def test_telemetry_is_off_before_any_library_is_imported():
    code = (
        "import tunewright, os\n"
        "assert os.environ['MLFLOW_DISABLE_TELEMETRY'] == 'true' and os.environ['DO_NOT_TRACK'] == 'true'\n"
        "assert os.environ['DVC_NO_ANALYTICS'] and os.environ['HF_HUB_DISABLE_TELEMETRY']"
    )
    _modules_after(code)
