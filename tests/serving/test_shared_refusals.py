"""What can't share a base is refused before anything is served, with what to do instead."""

from __future__ import annotations

import pytest
from adapter_project import make_project

from tunewright.serving.opening import Request, registered_copy
from tunewright.support.errors import InputError

BESIDE = "serve it with --beside, which gives it a worker of its own"


@pytest.fixture(scope="module")
def project(shared, tmp_path_factory, classifier):
    """A project with an adapter, and with versions that can't stand beside it."""
    from tunewright.registry.certificate import record
    from tunewright.registry.models import log_classifier

    models = shared / "models"
    made = make_project(tmp_path_factory.mktemp("refused") / "project", models / "stories260K-hf")
    made.log_adapter("support", seed=3, strength=0.02)
    made.log_adapter("dora", seed=4, strength=0.02, magnitudes=True)
    made.register("whole", made.base)
    made.folder = models / "tinystories-656k-fixed-tokenizer"
    made.log_base()
    made.log_adapter("other", seed=5)
    logged = log_classifier(made.run, classifier, certificate=record(classifier, ["ok"], bound=1e-3))
    made.register("mail", logged)
    return made


def asked(project, reference, **given):
    from tunewright.config.compose import compose

    recipe = compose(configs=project.root / "configs")
    return registered_copy(Request(reference=reference, recipe=recipe, root=project.root, **given))


def test_each_reason_is_said_and_a_new_version_that_can_not_share_is_merged(project):
    first = asked(project, "support", sharing="must")
    assert first.base is not None
    assert (first.name, first.version, first.identity.form) == ("support", "1", "transformers:fp32")
    for reference, why in (
        ("dora", "dora/1: is trained by DoRA, whose adapters PEFT can't mix"),
        ("whole", "whole/1: is a whole model, no adapter"),
        ("mail", "mail/1: is a classifier, which can't share its base"),
        ("other", "other/1: stands on another base"),
    ):
        with pytest.raises(InputError) as refused:
            asked(project, reference, sharing="must", base=first.base)
        assert str(refused.value).startswith(why)
        assert str(refused.value).endswith(BESIDE)
    found = asked(project, "other", sharing="may", base=first.base)
    assert found.base is None
    assert (found.folder / "model.safetensors").is_file(), (
        "it gets a worker of its own, with a copy of its own"
    )


def test_the_command_ends_with_one_line(project, cli):
    told = cli("serve", "support@champion", "--adapter", "whole", "--port", "0", cwd=project.root)
    assert told.code == 2
    assert "whole/1: is a whole model, no adapter" in told.complaint
    told = cli("serve", "support", "--adapter", "support/1", "--adapter", "support/1", cwd=project.root)
    assert told.code == 2
    assert "--adapter support/1: is open already" in told.complaint
