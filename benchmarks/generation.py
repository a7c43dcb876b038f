"""How many tokens a second does a Llama of 110M parameters write on each engine, ``generate()`` and ``pipeline``?

One model of random weights (for speed they are as good as any), the same prompts for all, the same number of tokens
written by all, greedily, 1, 8 and 32 requests at once; every arm in a process of its own on all cores, turn by turn.
The baselines are Transformers as its documentation first shows it, in fp32: its pipeline and ``generate()`` asked one
by one, and ``generate()`` in batches of prompts of one length. The roof of the machine (bandwidth of the memory, peak
of fp32, bf16 and int8 products) is measured in the same run.

    python benchmarks/generation.py                    # the figures of the docs, some 8 minutes on 2 cores
    python benchmarks/generation.py --quick            # a look: two engines, short answers
    python benchmarks/generation.py --vllm http://HOST:8000/v1   # also a vLLM that serves the same model

The first run also makes the model and converts it; both are kept in ``--keep``. A vLLM must serve the folder
``llama-12x768-32000`` that lies there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from generation.arms import BASELINES, Outcome, Task, answer
from generation.model import Shape, convert_all, make_model
from generation.report import print_result, result
from generation.roof import Machine, measure, precision_of
from roofline import Peak

KEPT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tunewright-benchmarks" / "generation"
FORMS = (
    "transformers:fp32",
    "transformers:bf16",
    "openvino:fp32",
    "openvino:bf16",
    "openvino:int8",
    "openvino:int8-bf16",
    "openvino:int4-bf16",
    "ctranslate2:fp32",
    "ctranslate2:int8",
    "onnx:fp32",
    "onnx:int8",
    "onnx:int4",
)
QUICK_FORMS = ("openvino:int8-bf16", "ctranslate2:int8")
LIBRARIES = (
    "torch",
    "transformers",
    "openvino",
    "openvino-genai",
    "ctranslate2",
    "onnxruntime",
    "onnxruntime-genai",
)
REMOTE = "remote:server"


def main() -> None:
    """Run the arms in turn, measure the roof, print tables in Markdown."""
    options = _options()
    if options.task:
        print(json.dumps(asdict(answer(Task.from_json(options.task)))))
        return
    if options.roof:
        machine = measure(_shape(options), options.roof, threads=options.threads)
        print(json.dumps(asdict(machine)))
        return
    if options.vllm:
        os.environ["TUNEWRIGHT_REMOTE_URL"] = options.vllm
    tasks = _tasks(options)
    rounds = [[_ask(task) for task in tasks] for _ in range(options.rounds)]
    machine = _machine(options, {precision_of(task.arm) for task in tasks})
    found = result(tasks[0], machine, rounds)
    print(f"\n{_hardware()}; {options.rounds} rounds; {_versions()}\n")
    print_result(found)
    if options.json:
        facts = {
            "hardware": _hardware(),
            "libraries": _versions(),
            **found.as_json(),
            "rounds": [[asdict(outcome) for outcome in one] for one in rounds],
        }
        options.json.write_text(json.dumps(facts, indent=1, default=str), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--forms", nargs="+", default=FORMS, help="engines and precisions, such as openvino:int8"
    )
    parser.add_argument(
        "--batches", nargs="+", type=int, default=(1, 8, 32), help="requests at once; 1 first"
    )
    parser.add_argument("--rounds", type=int, default=2, help="rounds over all arms; the median counts")
    parser.add_argument("--prompt-tokens", type=int, default=128, help="tokens of each prompt")
    parser.add_argument("--output-tokens", type=int, default=64, help="tokens of each answer")
    parser.add_argument("--singles", type=int, default=6, help="answers that the baselines write one by one")
    parser.add_argument("--threads", type=int, default=_cores(), help="of every arm; all cores by default")
    parser.add_argument("--layers", type=int, default=Shape().layers, help="of the model")
    parser.add_argument("--width", type=int, default=Shape().width, help="of the model, a multiple of 64")
    parser.add_argument(
        "--vocabulary", type=int, default=Shape().vocabulary, help="tokens that the model knows"
    )
    parser.add_argument("--quick", action="store_true", help="two engines, short answers, one round")
    parser.add_argument(
        "--vllm", metavar="URL", help="address, ending in /v1, of a vLLM that serves this model"
    )
    parser.add_argument("--keep", type=Path, default=KEPT, help=f"folder of model and copies ({KEPT})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything as JSON")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--roof", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.forms, options.batches, options.rounds = QUICK_FORMS, (1, 8), 1
        options.prompt_tokens, options.output_tokens, options.singles = 64, 16, 2
    if options.batches[0] != 1:
        parser.error("--batches begins with 1, which the others are compared with")
    return options


def _shape(options: argparse.Namespace) -> Shape:
    return Shape(options.vocabulary, options.width, options.layers)


def _tasks(options: argparse.Namespace) -> list[Task]:
    """Make the model and its copies; return what each arm is to do, the baselines first."""
    shape = _shape(options)
    folder = options.keep.resolve()
    model = make_model(folder / shape.name, shape)
    forms = [*options.forms, REMOTE] if options.vllm else list(options.forms)
    copies = convert_all(model, forms, folder / f"{shape.name}-copies")
    task = Task(
        arm="",
        folder=str(model),
        shape=shape,
        prompt_tokens=options.prompt_tokens,
        output_tokens=options.output_tokens,
        batches=tuple(options.batches),
        singles=options.singles,
        threads=options.threads,
    )
    ours = [replace(task, arm=form, folder=copy) for form, copy in copies.items()]
    return [*(replace(task, arm=name) for name in BASELINES), *ours]


def _ask(task: Task) -> Outcome:
    """Let one arm write in a process of its own."""
    print(f"{task.arm} …", file=sys.stderr, flush=True)
    return Outcome.from_json(_child(task.threads, "--task", task.as_json()))


def _machine(options: argparse.Namespace, precisions: set[str]) -> Machine:
    """Measure the roof, in a process of its own too."""
    sizes = ["--vocabulary", options.vocabulary, "--width", options.width, "--layers", options.layers]
    words = [*map(str, sizes), "--threads", str(options.threads), "--roof", *sorted(precisions)]
    facts = json.loads(_child(options.threads, *words))
    return Machine(**{**facts, "peaks": {kind: Peak(**each) for kind, each in facts["peaks"].items()}})


def _child(threads: int, *words: str) -> str:
    """Run this file again; return its last line."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, __file__, *words], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        sys.exit(f"a part of the benchmark failed:\n{done.stderr[-3000:]}")
    return done.stdout.splitlines()[-1]


def _cores() -> int:
    from tunewright.support.machine import describe_machine

    return describe_machine().cores


def _hardware() -> str:
    from tunewright.support.machine import describe_machine

    machine = describe_machine()
    return f"{machine.cores} cores of {machine.processor}, {machine.memory_gib} GiB, {machine.system}"


def _versions() -> str:
    return ", ".join(f"{name} {known}" for name in LIBRARIES if (known := _version(name)))


def _version(name: str) -> str:
    """Return the version of a library; empty where it isn't installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
