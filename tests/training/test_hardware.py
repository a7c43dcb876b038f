"""The machine is probed, what was set before is put back, and the choice comes with its reason."""

from __future__ import annotations

import torch

from tunewright.config.schema import TrainingConfig
from tunewright.training.hardware import Hardware, applied, choose_hardware, free_cores


def test_the_choice_is_said_with_its_reason():
    hardware = choose_hardware(TrainingConfig(threads=1), typical_length=40)
    line = hardware.describe()
    assert hardware.device in line
    assert hardware.precision in line
    assert "bf16" in line
    assert Hardware.from_dict(hardware.as_dict()) == hardware


def test_probing_leaves_the_random_state_and_the_settings_alone():
    torch.manual_seed(1)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    matrices = torch.get_float32_matmul_precision()
    choose_hardware(TrainingConfig(precision="auto", threads=1, device="cpu"), typical_length=40)
    choose_hardware(TrainingConfig(precision="fp32", threads=1, device="cpu"), typical_length=40)
    assert torch.equal(torch.get_rng_state(), state)
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (threads, matrices)


def test_settings_hold_inside_the_block_only():
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    hardware = Hardware("cpu", "fp32", "medium", "eager", threads=1)
    with applied(hardware):
        assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (1, "medium")
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


def test_long_texts_take_fused_attention():
    config = TrainingConfig(threads=1, precision="fp32", device="cpu")
    assert choose_hardware(config, typical_length=30).attention == "eager"
    assert choose_hardware(config, typical_length=400).attention == "sdpa"


def test_free_cores_are_between_one_and_all():
    free, allowed = free_cores()
    assert 1 <= free <= allowed


def test_the_environment_can_set_the_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert choose_hardware(TrainingConfig(device="cpu", precision="fp32"), typical_length=9).threads == 1
