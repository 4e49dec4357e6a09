"""Means and paces of the steps; the share of what the machine can do."""

import pytest
import torch

from relscale.model import flops, meter
from relscale.model.config import ModelConfig, TrainingConfig
from relscale.model.workers import Workers


def test_only_steps_count_and_each_line_starts_anew(monkeypatch):
    now = 0.0
    monkeypatch.setattr(meter.time, "perf_counter", lambda: now)
    clock = meter.Meter(loss_sum=1.0, n_losses=1)
    for loss, seconds, waited in ((2.0, 2.0, 0.5), (6.0, 3.0, 0.0)):
        now += 100.0  # between two steps: saving, scoring
        clock.start()
        now += seconds
        clock.add(loss, waited=waited)
    assert clock.state == {"loss_sum": 9.0, "n_losses": 3}
    assert clock.line(50, 30) == pytest.approx(
        {"loss": 3.0, "tokens_per_second": 20.0, "cells_per_second": 6.0, "loader_wait_share": 0.1}
    )
    assert clock.state == {"loss_sum": 0.0, "n_losses": 0}


def test_flops_of_a_cell_by_counting_products():
    """A product with a matrix of m x n takes 2 m n; of a published-size block there are 12 d^2 + 3 d f."""
    config = ModelConfig()
    per_block = 2 * (12 * 256 * 256 + 3 * 256 * 1024)
    assert flops.flops_per_cell(config) == 3 * 12 * per_block


def test_the_machines_rate_is_that_of_its_matrix_products():
    alone = flops.matmul_rate(TrainingConfig(), Workers())
    assert 1e8 < alone < 1e14
    assert flops.matmul_rate(TrainingConfig(), Workers(size=2)) == 2 * alone
    assert flops.matmul_rate(TrainingConfig(), Workers(device=torch.device("cpu"))) == alone, "measured once"
