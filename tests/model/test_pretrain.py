"""Pretraining: budgets, exact resume, shares of a batch, a loss that falls."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relscale.model.checkpoint import latest_checkpoint, load_model, training_folder
from relscale.model.config import EvaluationConfig, ModelConfig, SamplerConfig, TrainingConfig
from relscale.model.context import ContextBatch
from relscale.model.feed import Feed
from relscale.model.held_out import HeldOut
from relscale.model.items import training_items
from relscale.model.job import HeldOutData, PretrainJob, n_steps
from relscale.model.network import RelationalTransformer
from relscale.model.objective import objective
from relscale.model.optim import build_optimizers
from relscale.model.pretrain import pretrain
from relscale.model.run_folder import read_metrics
from relscale.model.store import TokenStore
from relscale.model.workers import Workers
from relscale.platform.errors import ConfigError, DataError, ResumeError

SAMPLER = SamplerConfig(context_length=32, bfs_width=8, mask_prob=0.3)
TRAINING = TrainingConfig(batch_size=4, learning_rate=2e-3, log_every_steps=3, checkpoint_every_steps=4)
STEP_TOKENS = 4 * 32


@pytest.fixture
def job(toy_store, tmp_path) -> PretrainJob:
    """Ten steps: logged after 3, 6, 9 and 10, saved after 4 and 8."""
    return PretrainJob(
        store=toy_store.path,
        out=tmp_path / "run",
        databases=2,
        model=ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=32),
        sampler=SAMPLER,
        training=TRAINING,
        tokens=10 * STEP_TOKENS,
        seed=7,
    )


def _ignore(line: dict[str, Any]) -> None:
    pass


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder)[0].state_dict()


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("tokens", "expected"), [(1, 1), (STEP_TOKENS, 1), (STEP_TOKENS + 1, 2), (10 * STEP_TOKENS, 10)]
)
def test_steps_cover_the_tokens(tokens, expected):
    assert n_steps(tokens, SAMPLER, TRAINING) == expected


def test_plurels_smallest_budget_is_its_4000_steps():
    assert n_steps(4000 * 128 * 1024, SamplerConfig(), TrainingConfig()) == 4000


def test_a_run_logs_saves_and_finishes(job):
    heard: list[dict[str, Any]] = []
    final = pretrain(job, report=heard.append)
    assert final == job.out / "final"
    assert [line["step"] for line in heard] == [3, 6, 9, 10]
    assert [line["tokens"] for line in heard] == [step * STEP_TOKENS for step in (3, 6, 9, 10)]
    assert heard == read_metrics(job.out)
    assert all(line["tokens_per_second"] > 0 and line["mfu"] > 0 for line in heard)
    assert all(0 <= line["loader_wait_share"] <= 1 for line in heard)
    about = json.loads((final / "config.json").read_text())
    assert about["tokens"] == 10 * STEP_TOKENS
    assert about["databases"] == ["toy-0", "toy-1"]
    assert about["cells"] == heard[-1]["cells"] < about["tokens"]
    assert about["text_encoder"]["fingerprint"] == "fake-packaged-minilm"
    assert latest_checkpoint(job.out) is None
    assert sorted(path.name for path in job.out.iterdir()) == [
        "final",
        "job.json",
        "metrics.jsonl",
        "seen.json",
    ]


def test_a_finished_run_is_not_trained_again(job):
    final = pretrain(job, report=_ignore)
    stamp = (final / "model.safetensors").stat().st_mtime_ns
    heard: list[dict[str, Any]] = []
    assert pretrain(job, report=heard.append) == final
    assert heard == []
    assert (final / "model.safetensors").stat().st_mtime_ns == stamp
    with pytest.raises(ResumeError, match=r"another 'seed' \(7, now 8\)"):
        pretrain(job.replace(seed=8), report=_ignore)


class _Killed(Exception):
    pass


@pytest.mark.parametrize(("killed_at", "resumes_at"), [(3, 0), (6, 4), (9, 8)])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_killed_run_goes_on_bit_for_bit(job, tmp_path, killed_at, resumes_at, optimizer):
    job = job.replace(training=TRAINING.replace(optimizer=optimizer))
    unbroken = job.replace(out=tmp_path / "unbroken")
    pretrain(unbroken, report=_ignore)

    def kill(line: dict[str, Any]) -> None:
        if line["step"] == killed_at:
            raise _Killed

    with pytest.raises(_Killed):
        pretrain(job, report=kill)
    expected = training_folder(job.out, resumes_at) if resumes_at else None
    assert latest_checkpoint(job.out) == expected
    with (job.out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 10, "to')  # the line that a kill cut off

    final = pretrain(job, report=_ignore)
    assert _same(_weights(final), _weights(unbroken.out / "final"))
    for name in ("step", "tokens", "loss", "learning_rate", "cells", "epochs_max", "unique_items"):
        found, wanted = ([line[name] for line in read_metrics(run.out)] for run in (job, unbroken))
        assert found == wanted


def test_only_the_latest_state_is_kept_and_another_job_is_refused(job):
    def kill(line: dict[str, Any]) -> None:
        if line["step"] == 9:
            raise _Killed

    with pytest.raises(_Killed):
        pretrain(job, report=kill)
    assert [path.name for path in (job.out / "checkpoints").iterdir()] == ["step-000000008"]
    with pytest.raises(ResumeError, match=r"another 'budget_tokens'"):
        pretrain(job.replace(tokens=5 * STEP_TOKENS), report=_ignore)
    assert json.loads((job.out / "job.json").read_text())["tokens"] == job.tokens


def test_the_seed_decides_weights_and_data(job, tmp_path):
    runs = [job.replace(out=tmp_path / f"{i}", seed=seed) for i, seed in enumerate((1, 1, 2))]
    first, again, other = (_weights(pretrain(run, report=_ignore)) for run in runs)
    assert _same(first, again)
    assert not _same(first, other)


def test_shares_of_the_workers_make_up_the_batch_of_one(job):
    """Each of two workers takes its half of the contexts that one alone would take, in order."""
    store = TokenStore.open(job.store)
    items, network = training_items(store, store.names, seed=7), RelationalTransformer(job.model)

    def values(rank: int, size: int, at_once: int) -> torch.Tensor:
        training, workers = TRAINING.replace(micro_batch_size=at_once), Workers(rank=rank, size=size)
        feed = Feed(items, network, SAMPLER, training, workers, seed=7)
        shares = list(feed.shares(range(3, 6)))
        assert [len(share.database) for share in shares] == [4 // size] * 3
        assert [len(share.micro_batches) for share in shares] == [math.ceil(4 / size / at_once)] * 3
        return torch.cat([batch.label for share in shares for batch in share.micro_batches])

    whole = values(0, 1, 4)
    assert torch.equal(whole, values(0, 1, 3)), "micro-batches follow one another"
    halves = [values(rank, 2, 2) for rank in (0, 1)]
    assert len(halves[0]) + len(halves[1]) == len(whole)
    assert torch.equal(whole.sort().values, torch.cat(halves).sort().values)


def test_training_can_start_from_a_checkpoint(job, tmp_path):
    first = pretrain(job, report=_ignore)
    training = TRAINING.replace(learning_rate=1e-12, weight_decay=0.0)
    more = job.replace(out=tmp_path / "more", init=first, tokens=1, training=training)
    second = _weights(pretrain(more, report=_ignore))
    for name, tensor in _weights(first).items():
        torch.testing.assert_close(second[name], tensor, rtol=0, atol=1e-6)
    with pytest.raises(ConfigError, match="set model to the same sizes"):
        pretrain(more.replace(out=tmp_path / "x", model=job.model.replace(n_blocks=2)), report=_ignore)


def test_the_users_mistakes_have_one_sentence_each(job):
    mistakes = {
        r"databases is 4, but .* holds 3; ask for 1 to 3": {"databases": 4},
        r"has no database 'x'; it has 3, the first are toy-0, toy-1, toy-2\.": {"databases": ("toy-0", "x")},
        r"d_text is 12, but .* holds vectors of 384": {"model": ModelConfig(d_text=12)},
    }
    for message, change in mistakes.items():
        with pytest.raises(ConfigError, match=message):
            pretrain(job.replace(**change), report=_ignore)
    with pytest.raises(ConfigError, match=r"batch_size 4 is not a multiple of the 3 workers"):
        pretrain(job, report=_ignore, workers=Workers(size=3))


def test_a_loss_that_is_not_finite_names_the_context(job, monkeypatch):
    """The tenth item of the run gets a label that no network can meet."""
    honest = Feed.contexts

    def contexts(self: Feed, numbers: range, sampler: SamplerConfig) -> ContextBatch:
        batch = honest(self, numbers, sampler)
        if 9 in numbers:
            place = numbers.index(9)
            batch.value[place][batch.masked[place]] = np.inf
        return batch

    monkeypatch.setattr(Feed, "contexts", contexts)
    with pytest.raises(DataError, match=r"not finite at step 2, items 8 to 11 of the run") as error:
        pretrain(job, report=_ignore)
    store = TokenStore.open(job.store)
    item = training_items(store, ("toy-0", "toy-1"), 7).locate(9, 1)
    name = ("toy-0", "toy-1")[item.database[0]]
    column = store.database(name).columns[item.column[0]]
    row = item.node[0] - store.database(name).table(column.table).offset
    address = f"item 9: column '{column.name}' of row {row} of table '{column.table}' of database '{name}'"
    assert f"(first {address})" in str(error.value)
    assert not (job.out / "final").exists()
    assert read_metrics(job.out) == []


def test_held_out_losses_come_on_schedule_and_change_no_bit(job, tmp_path, toy_store):
    evaluation = EvaluationConfig(columns_per_type=1, rows_per_column=3)
    held_out = HeldOutData(store=toy_store.path, databases=("toy-2",), evaluation=evaluation)
    training = TRAINING.replace(evaluate_every_steps=4)
    scored = job.replace(out=tmp_path / "scored", held_out=held_out, training=training)
    weights = _weights(pretrain(scored, report=_ignore))
    assert _same(weights, _weights(pretrain(job, report=_ignore)))
    lines = read_metrics(scored.out)
    assert [line["step"] for line in lines] == [3, 4, 6, 8, 9, 10]
    assert [line["step"] for line in lines if "held_out_loss" in line] == [4, 8, 10]
    network, _ = load_model(scored.out / "final")
    expected = HeldOut(toy_store, ["toy-2"], SAMPLER, evaluation).scores(network)["loss"]
    assert lines[-1]["held_out_loss"] == pytest.approx(expected)


BRANCH = TRAINING.replace(schedule="wsd-branch", warmup_steps=2, decay_share=0.3, checkpoint_every_steps=100)


def test_a_branch_of_a_shorter_run_is_the_whole_run(job, tmp_path):
    """Budgets of 6, 10 and 16 steps fall from steps 4, 7 and 11: each goes on from the one before."""
    parent, computed = None, []
    for n in (6, 10, 16):
        budget = job.replace(training=BRANCH, tokens=n * STEP_TOKENS)
        whole = budget.replace(out=tmp_path / f"whole-{n}")
        branch = budget.replace(out=tmp_path / f"branch-{n}", trunk=parent)
        expected, heard = _weights(pretrain(whole, report=_ignore)), []
        assert _same(_weights(pretrain(branch, report=heard.append)), expected)
        computed.append([line["step"] for line in heard])
        losses = [[line["loss"] for line in read_metrics(run.out)] for run in (whole, branch)]
        assert losses[0] == losses[1]
        parent = branch.out
    assert computed == [[3, 6], [6, 9, 10], [9, 12, 15, 16]]


def test_a_killed_branch_goes_on_from_its_own_checkpoint(job, tmp_path):
    short = job.replace(training=BRANCH, tokens=6 * STEP_TOKENS, out=tmp_path / "short")
    pretrain(short, report=_ignore)
    often = BRANCH.replace(checkpoint_every_steps=1, log_every_steps=1)
    long = job.replace(training=often, trunk=short.out)

    def stop(line: dict[str, Any]) -> None:
        if line["step"] == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(long, report=stop)
    again: list[dict[str, Any]] = []
    weights = _weights(pretrain(long, report=again.append))
    assert [line["step"] for line in again] == [7, 8, 9, 10]
    assert _same(weights, _weights(pretrain(long.replace(out=tmp_path / "x", trunk=None), report=_ignore)))


def test_a_branch_refuses_another_trunk(job, tmp_path):
    long = job.replace(training=BRANCH, tokens=16 * STEP_TOKENS, out=tmp_path / "long")
    pretrain(long, report=_ignore)
    shorter = job.replace(training=BRANCH, trunk=long.out)
    with pytest.raises(ConfigError, match=r"is at step 11, but the rate of a run of 1,280 tokens falls from"):
        pretrain(shorter, report=_ignore)
    other = job.replace(training=BRANCH, trunk=long.out, tokens=30 * STEP_TOKENS, seed=8)
    with pytest.raises(ResumeError, match="another 'seed'"):
        pretrain(other, report=_ignore)


def test_a_warm_up_longer_than_the_trunk_is_refused(job):
    with pytest.raises(ConfigError, match=r"warmup_steps is 9, but a run of 1,280 tokens begins to fall"):
        pretrain(job.replace(training=BRANCH.replace(warmup_steps=9)), report=_ignore)


def test_a_database_is_not_trained_on_and_held_out(job, toy_store):
    with pytest.raises(ConfigError, match=r"held-out database 'toy-0' of .* is 'toy-0', which is trained on"):
        pretrain(job.replace(held_out=HeldOutData(store=toy_store.path)), report=_ignore)


@pytest.mark.parametrize("at_once", [1, 3])
def test_micro_batches_give_the_same_weights_but_for_rounding(job, tmp_path, at_once):
    whole = _weights(pretrain(job, report=_ignore))
    training = TRAINING.replace(micro_batch_size=at_once)
    parts = _weights(pretrain(job.replace(out=tmp_path / "parts", training=training), report=_ignore))
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=0, atol=1e-5)


def test_the_loss_falls_on_a_learnable_problem(job):
    """`large` follows from `amount` in the same row, `amount` from other orders of the customer."""
    training = TRAINING.replace(batch_size=16, learning_rate=1e-2, log_every_steps=20, warmup_share=0.1)
    sampler = SAMPLER.replace(mask_prob=0.0)
    long = job.replace(tokens=120 * 16 * 32, training=training, sampler=sampler)
    pretrain(long, report=_ignore)
    losses = [line["loss"] for line in read_metrics(job.out)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_batch_can_be_learnt_by_heart(random_contexts, random_embeddings):
    network = RelationalTransformer(ModelConfig(n_blocks=1, d_model=32, n_heads=2, d_ff=64), seed=0)
    batch = network.tensors(random_contexts(n_contexts=8), random_embeddings)
    (optimizer,) = build_optimizers(network, TrainingConfig(weight_decay=0.0))
    optimizer.param_groups[0]["lr"] = 1e-2
    losses = []
    for _ in range(60):
        loss = objective(network(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 < 0.2 < losses[0]


def test_bf16_trains_with_full_precision_weights(job):
    final = pretrain(job.replace(training=TRAINING.replace(precision="bf16")), report=_ignore)
    assert {tensor.dtype for tensor in _weights(final).values()} == {torch.float32}
    exact = pretrain(job.replace(out=job.out / "fp32"), report=_ignore)
    rough, fine = (read_metrics(folder.parent)[0]["loss"] for folder in (final, exact))
    assert rough != fine
    assert rough == pytest.approx(fine, rel=0.05)
