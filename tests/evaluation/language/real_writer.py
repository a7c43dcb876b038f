"""A real small model that answers completions: what the protocol asks, by Transformers alone."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tunewright.models.language.writing import Written


class RealWriter:
    """Writes greedily, one row at a time."""

    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()

    def write(self, rows, *, max_new_tokens, batch_size):  # noqa: ARG002 - one row at a time
        return [self._write(row.prompt, max_new_tokens) for row in rows]

    @torch.no_grad()
    def _write(self, prompt, max_new_tokens):
        ids = self.tokenizer(prompt, return_tensors="pt").input_ids
        whole = self.model.generate(ids, max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=0)
        new = whole[0, ids.shape[1] :]
        known, said = (self.tokenizer.decode(each[0], skip_special_tokens=True) for each in (ids, whole))
        finished = int(new[-1]) == self.model.generation_config.eos_token_id
        return Written(said[len(known) :], len(new), finished)

    @torch.no_grad()
    def losses(self, rows, *, batch_size):  # noqa: ARG002
        found = []
        for row in rows:
            start = len(self.tokenizer(row.prompt).input_ids) if row.prompt else 1
            ids = self.tokenizer(row.prompt + (row.completion or row.text), return_tensors="pt").input_ids
            logits = self.model(ids).logits[0, start - 1 : -1].double()
            chosen = logits.log_softmax(-1).gather(1, ids[0, start:, None])
            found.append((-chosen.sum().item(), len(chosen)))
        return found
