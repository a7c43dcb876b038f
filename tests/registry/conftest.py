"""A tiny classifier with a WordPiece tokenizer, whole and as an adapter, and a project to record it in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tunewright.support.environment import prepare_environment, quieten_libraries

prepare_environment()

SENTENCE = "you have won a prize call now see at home for lunch the meeting is late free cash text stop ok"
WORDS = SENTENCE.split()
LABELS = ("ham", "spam")
TEXTS = [
    "You have WON a prize, call now",
    "see you at home",
    "FREE cash: text now!",
    "ok",
    "the meeting is late, lunch at home? ok see you",
    "call &amp; win",
]


@pytest.fixture(autouse=True)
def no_tracking_environment(monkeypatch):
    quieten_libraries()
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A database that was initialised once; making one costs over a second of CPU."""
    import mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def texts() -> list[str]:
    return list(TEXTS)


@pytest.fixture
def open_project(tmp_path: Path, empty_store: Path) -> Callable[..., SimpleNamespace]:
    """Open a project below a temporary folder, as often as wanted."""

    def opened(name: str = "project", **registry: object):
        from tunewright.config.schema import Recipe
        from tunewright.registry.tracking import connect
        from tunewright.support.paths import ProjectPaths

        paths = ProjectPaths(tmp_path / name)
        if not paths.state.exists():
            paths.state.mkdir(parents=True)
            shutil.copy(empty_store, paths.state / "mlflow.db")
        recipe = Recipe.model_validate({"project": "spam", "registry": registry})
        return SimpleNamespace(paths=paths, recipe=recipe, tracking=connect(recipe, paths))

    return opened


@pytest.fixture
def tracking(open_project):
    return open_project().tracking


@pytest.fixture(scope="session")
def tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(33, 127)]
    names = dict.fromkeys([*special, *WORDS, *letters, *(f"##{letter}" for letter in letters)])
    vocabulary = {name: at for at, name in enumerate(names)}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def bert(vocabulary: int, seed: int):
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        id2label=dict(enumerate(LABELS)),
        label2id={name: at for at, name in enumerate(LABELS)},
        pad_token_id=0,
        attn_implementation="eager",
    )
    model = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        model.classifier.weight.normal_(0, 1)
    return model


@pytest.fixture(scope="session")
def make_classifier(tokenizer):
    """Make a tiny classifier; another seed gives other weights."""

    def made(seed: int = 0, *, adapter: bool = False):
        import torch

        from tunewright.config.data import Cleaning
        from tunewright.models.classifier import Classifier

        model = bert(len(tokenizer), seed)
        if adapter:
            from peft import LoraConfig, get_peft_model

            model = get_peft_model(
                model, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"])
            ).eval()
            torch.manual_seed(seed + 1)
            with torch.no_grad():
                for name, weight in model.named_parameters():
                    if "lora_B" in name or "modules_to_save" in name:
                        weight.normal_(0, 0.5)
        return Classifier(
            tokenizer=tokenizer,
            model=model,
            label_names=LABELS,
            max_length=32,
            cleaning=Cleaning().model_dump(),
        )

    return made


@pytest.fixture
def log(make_classifier):
    """Log a tiny classifier in an execution of its own; give what was logged and the classifier."""

    def logged(tracking, seed: int = 0, *, role: str = "tuned", base=None, adapter: bool = False):
        from tunewright.registry.certificate import record
        from tunewright.registry.executions import execution
        from tunewright.registry.models import log_classifier

        classifier = make_classifier(seed, adapter=adapter)
        certificate = record(classifier, TEXTS, bound=1e-4)
        with execution(tracking, "train", params={}, tags={}) as run:
            run.metrics({"loss": 0.5}, 1)
            return log_classifier(run, classifier, certificate=certificate, role=role, base=base), classifier

    return logged
