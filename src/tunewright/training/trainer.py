"""The Transformers Trainer as we use it: its loop, our batches, our loss, and one observer instead of its callbacks.

Only what it can't be told through arguments is overridden: which rows make a batch, and how many are computed at once.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunewright.training.plan import Plan

IGNORED = -100
"""The label of what carries no loss."""


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


def build_trainer(plan: Plan, observer: Observer, folder: Path) -> Any:  # noqa: ANN401
    """Return a Trainer that is ready to ``train()``.

    Args:
        plan: Model, rows, batches and machine.
        observer: What it reports to; nothing else is reported anywhere.
        folder: Where checkpoints go.
    """
    from torch.utils.data import DataLoader
    from transformers import PrinterCallback, Trainer, TrainingArguments

    from tunewright.training.launch import together

    class BatchedTrainer(Trainer):
        """A Trainer whose batches are ours."""

        def get_train_dataloader(self) -> Any:  # noqa: ANN401
            """Return a loader over our batches; a worker process would cost more than it saves."""
            if plan.group.size > 1:
                return together.own_loader(plan, self.accelerator.device)
            loader: DataLoader[Any] = DataLoader(
                plan.train,  # type: ignore[arg-type]
                batch_sampler=plan.batches,
                collate_fn=plan.padding,
            )
            return self.accelerator.prepare(loader)

        def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:  # noqa: ANN401
            """Let the plan say what a step's mean is over; several processes add theirs up."""
            batches, counted = super().get_batch_samples(epoch_iterator, num_batches, device)
            if counted is not None:
                counted = self.accelerator.reduce(plan.items(batches).to(device))
            return batches, counted

        def _build_accelerator_args(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
            """Tell Accelerate how the processes share the model."""
            return together.accelerator_arguments(super()._build_accelerator_args(**kwargs), plan.group)

        def create_accelerator_and_postprocess(self) -> None:
            """Let FSDP2 run on CPUs too."""
            super().create_accelerator_and_postprocess()
            together.allow_fsdp_on_cpu(self, plan.group)

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:  # noqa: ANN401
            """Add up the gradients of a batch's pieces: the same step, without leaving the processor's cache."""
            counted = num_items_in_batch
            items = plan.items([inputs]) if counted is None else counted
            losses = []
            pieces = list(plan.pieces(inputs))
            for at, piece in enumerate(pieces, start=1):
                # Processes may cut their batches into different numbers of pieces: they meet at the last one.
                with nullcontext() if at == len(pieces) else self.accelerator.no_sync(model):
                    losses.append(super().training_step(model, piece, items))
            return sum(losses)

        def compute_loss(
            self,
            model: Any,  # noqa: ANN401
            inputs: Any,  # noqa: ANN401
            return_outputs: bool = False,
            num_items_in_batch: Any = None,  # noqa: ANN401
        ) -> Any:  # noqa: ANN401
            """Let the plan compute the loss; several processes average their gradients, so each gives its share."""
            loss = plan.loss(model, dict(inputs), num_items_in_batch) * self.accelerator.num_processes
            return (loss, None) if return_outputs else loss

    settings = TrainingArguments(**arguments(plan, folder))
    # No DataParallel behind the user's back.
    settings._n_gpu = min(1, settings.n_gpu)
    trainer = BatchedTrainer(
        model=plan.model,
        args=settings,
        train_dataset=plan.train,
        data_collator=plan.padding,
        compute_loss_func=plan.loss,  # given, so that the Trainer counts the items of a step
        callbacks=[reporting(observer, plan)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def arguments(plan: Plan, folder: Path) -> dict[str, Any]:
    """Return the Trainer's arguments for a recipe, those that the plan adds included."""
    from tunewright.training.launch.strategies import trainer_options

    training, hardware = plan.recipe.training, plan.hardware
    return dict(
        output_dir=str(folder),
        num_train_epochs=plan.epochs,
        max_steps=plan.total_steps,
        per_device_train_batch_size=training.batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        learning_rate=training.learning_rate,
        # A whole number of steps: the Trainer reads a float of 1 or more as steps and below 1 as a share.
        warmup_steps=round(training.warmup_share * plan.total_steps),
        lr_scheduler_type=training.schedule,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim="adamw_torch_fused",
        # Dropout differs between processes, as it does between the rows of one.
        seed=plan.recipe.seed + plan.group.rank,
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
        **trainer_options(plan.group),
        **plan.arguments,
    )


def reporting(observer: Observer, plan: Plan) -> Any:  # noqa: ANN401
    """Return the Trainer's callback that passes what happens on to the observer."""
    from transformers import TrainerCallback

    class Reporting(TrainerCallback):
        """Passes events on; the arguments are the Trainer's."""

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
            """Choose the epoch's batches, also when a resumed epoch begins in the middle."""
            plan.batches.set_epoch(state.global_step // plan.steps_per_epoch)

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
