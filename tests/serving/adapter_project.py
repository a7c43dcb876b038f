"""A project with registered adapters of one small base, and what each of them answers by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from guarded import project_with_config

from language_subjects import ROWS, TEMPLATE, adapted

LENGTH = 192


@dataclass
class AdapterProject:
    """A project, its registry, and the models that were logged there."""

    root: Path
    tracking: Any
    run: Any
    folder: Path
    """The base."""
    base: Any = None
    """As it was logged."""

    def register(self, name: str, logged: Any) -> str:
        """Make a logged model the champion of a name; return NAME/VERSION."""
        from tunewright.registry.models import register
        from tunewright.registry.versions import promote

        tracking = replace(self.tracking, model_name=name)
        reference = register(tracking, logged).reference
        promote(tracking, reference)
        return reference

    def log_base(self) -> None:
        from tunewright.registry.language_models import log_language_model

        model = self.model()
        self.base = log_language_model(self.run, model, certificate=certified(model), role="base")

    def log_adapter(self, name: str, *, seed: int, **given: Any) -> Any:
        """Log an adapter and register it; return it as it was trained."""
        from tunewright.registry.language_models import log_language_model

        model = self.model(seed=seed, **given)
        logged = log_language_model(self.run, model, certificate=certified(model), base=self.base)
        self.register(name, logged)
        return model

    def model(self, *, seed: int = 0, strength: float = 0.3, magnitudes: bool = False) -> Any:
        """Make the base, or an adapter on it where a seed is given."""
        from tunewright.config.schema import ModelConfig
        from tunewright.models.catalogue import resolve
        from tunewright.models.chat.tokenizer import open_chat_tokenizer
        from tunewright.models.language.description import Identity
        from tunewright.models.language.loading import load_causal
        from tunewright.models.language.model import LanguageModel

        template = self.root / "chat.jinja"
        template.write_text(TEMPLATE)
        chat = open_chat_tokenizer(self.folder, template=template)
        identity = Identity.of(resolve(ModelConfig(name=str(self.folder)), base_dir=self.root))
        graph = load_causal(self.folder, chat)
        if not seed:
            return LanguageModel(chat, graph, max_length=LENGTH, base=identity, source=self.folder)
        graph = adapted(graph, chat, strength, seed, magnitudes=magnitudes)
        method = "dora" if magnitudes else "lora"
        return LanguageModel(chat, graph, max_length=LENGTH, method=method, base=identity)


def certified(model: Any) -> Any:
    from tunewright.registry.language_certificate import record

    return record(model, ROWS[:3], bound=1e-3, model_digest=model.digest())


def make_project(root: Path, folder: Path) -> AdapterProject:
    """Make a project around a base, which is logged."""
    from tunewright.config.compose import compose
    from tunewright.registry.executions import execution
    from tunewright.registry.tracking import connect
    from tunewright.support.environment import quieten_libraries
    from tunewright.support.paths import ProjectPaths

    quieten_libraries()
    root.mkdir()
    paths = ProjectPaths(project_with_config(root))
    tracking = connect(compose(configs=paths.configs), paths)
    with execution(tracking, "train", params={}, tags={}) as run:
        project = AdapterProject(root, tracking, run, folder)
        project.log_base()
    return project
