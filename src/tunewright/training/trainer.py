"""The Transformers Trainer as we use it: its loop, our batches, our loss, and one observer instead of its callbacks.

Only what it can't be told through arguments is overridden: which rows make a batch, and how many are computed at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tunewright.training.loss import WindowLoss

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunewright.training.preparation import Prepared


class Observer(Protocol):
    """What the training loop tells, and asks, while it runs."""

    def step_ended(self, step: int) -> bool:
        """Tell whether a checkpoint is wanted after this step."""
        ...

    def logged(self, step: int, figures: Mapping[str, float]) -> None:
        """Take ``loss``, ``learning_rate`` and ``grad_norm`` as means or values since the last time."""
        ...

    def epoch_ended(self, step: int, epoch: float) -> tuple[bool, bool]:
        """Tell whether a checkpoint is wanted, and whether training should stop."""
        ...

    def saved(self, folder: Path, step: int) -> None:
        """Take note of a checkpoint that the Trainer has written."""
        ...


def build_trainer(prepared: Prepared, observer: Observer, folder: Path) -> Any:  # noqa: ANN401
    """Return a Trainer that is ready to ``train()``.

    Args:
        prepared: Model, rows, batches and machine.
        observer: What it reports to; nothing else is reported anywhere.
        folder: Where checkpoints go.
    """
    import torch
    from torch.utils.data import DataLoader
    from transformers import PrinterCallback, Trainer

    weights = None
    if prepared.weights is not None:
        weights = torch.tensor(prepared.weights, device=prepared.hardware.device)

    class BatchedTrainer(Trainer):
        """A Trainer whose batches are ours."""

        def get_train_dataloader(self) -> Any:  # noqa: ANN401
            """Return a loader over our batches; a worker process would cost more than it saves."""
            loader: DataLoader[Any] = DataLoader(
                prepared.train,  # type: ignore[arg-type]
                batch_sampler=prepared.batches,
                collate_fn=prepared.padding,
            )
            return self.accelerator.prepare(loader)

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:  # noqa: ANN401
            """Add up the gradients of a batch's pieces: the same step, without leaving the processor's cache."""
            items = len(inputs["labels"]) if num_items_in_batch is None else num_items_in_batch
            losses = [
                super(BatchedTrainer, self).training_step(model, piece, items)
                for piece in prepared.pieces(inputs)
            ]
            return sum(losses)

    trainer = BatchedTrainer(
        model=prepared.model,
        args=_arguments(prepared, folder),
        train_dataset=prepared.train,
        data_collator=prepared.padding,
        compute_loss_func=WindowLoss(weights),
        callbacks=[_callback(observer, prepared)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(prepared: Prepared, folder: Path) -> Any:  # noqa: ANN401
    """Return the Trainer's arguments for a recipe."""
    from transformers import TrainingArguments

    training, hardware = prepared.recipe.training, prepared.hardware
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=prepared.epochs,
        max_steps=prepared.total_steps,
        per_device_train_batch_size=training.batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        learning_rate=training.learning_rate,
        # A whole number of steps: the Trainer reads a float of 1 or more as steps and below 1 as a share.
        warmup_steps=round(training.warmup_share * prepared.total_steps),
        lr_scheduler_type=training.schedule,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim="adamw_torch_fused",
        seed=prepared.recipe.seed,
        use_cpu=hardware.device == "cpu",
        bf16=hardware.precision == "bf16",
        fp16=hardware.precision == "fp16",
        logging_steps=training.logging_steps,
        # The Trainer would otherwise put the mean of earlier losses in the place of one that is not finite.
        logging_nan_inf_filter=False,
        eval_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=hardware.device == "cuda",
        remove_unused_columns=False,
        push_to_hub=False,
        skip_memory_metrics=True,
    )
    # No DataParallel behind the user's back.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def _callback(observer: Observer, prepared: Prepared) -> Any:  # noqa: ANN401
    """Return the Trainer's callback that passes what happens on to the observer."""
    from transformers import TrainerCallback

    class Reporting(TrainerCallback):
        """Passes events on; the arguments are the Trainer's."""

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
            """Choose the epoch's batches, also when a resumed epoch begins in the middle."""
            prepared.batches.set_epoch(state.global_step // prepared.steps_per_epoch)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
            """Save when it is time; figures are logged first, so that a resumed run logs the same ones."""
            if observer.step_ended(state.global_step):
                control.should_log = control.should_save = True

        def on_log(self, args: Any, state: Any, control: Any, **events: Any) -> None:  # noqa: ANN401, ARG002
            """Pass on figures of training steps; the Trainer's closing summary has no ``loss``."""
            if "loss" in events["logs"]:
                observer.logged(state.global_step, events["logs"])

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
            """Log what is left of the epoch, judge it, and stop or save."""
            wants_checkpoint, should_stop = observer.epoch_ended(state.global_step, state.epoch)
            control.should_log = True
            control.should_save = wants_checkpoint
            control.should_training_stop = control.should_training_stop or should_stop

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
            """Seal what was written."""
            observer.saved(Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step)

    return Reporting()
