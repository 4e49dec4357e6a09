"""Pretraining: budgets, exact resume, shares of a batch, a loss that falls."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from relscale.model import pretrain as module
from relscale.model.checkpoint import latest_checkpoint, load_model, training_folder
from relscale.model.config import ModelConfig, SamplerConfig, TrainingConfig
from relscale.model.encode import to_tensors
from relscale.model.network import RelationalTransformer
from relscale.model.objective import objective
from relscale.model.optim import build_optimizer
from relscale.model.pretrain import PretrainJob, n_steps, pretrain, read_metrics
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
    assert all(line["tokens_per_second"] > 0 for line in heard)
    about = json.loads((final / "config.json").read_text())
    assert about["tokens"] == 10 * STEP_TOKENS
    assert about["databases"] == ["toy-0", "toy-1"]
    assert about["text_encoder"]["fingerprint"] == "fake-packaged-minilm"
    assert latest_checkpoint(job.out) is None
    assert sorted(path.name for path in job.out.iterdir()) == ["final", "job.json", "metrics.jsonl"]


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
def test_a_killed_run_goes_on_bit_for_bit(job, tmp_path, killed_at, resumes_at):
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
    for name in ("step", "tokens", "loss", "learning_rate"):
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


def test_shares_of_the_workers_make_up_the_batch_of_one(job, monkeypatch):
    """Each of two workers takes its half of the contexts that one alone would take, in order."""
    seen: list[list[torch.Tensor]] = []

    def record(model, optimizer, batch, rate, training):
        seen[-1].append(batch.value)
        return 0.5

    monkeypatch.setattr(module, "_update", record)
    monkeypatch.setattr(module, "_over_ranks", lambda losses, device, world_size: losses)
    for rank, world_size in ((0, 1), (0, 2), (1, 2)):
        seen.append([])
        out = job.out / f"{rank}-of-{world_size}"
        pretrain(job.replace(out=out), report=_ignore, rank=rank, world_size=world_size)
    whole, first, second = seen
    assert len(whole) == 10
    for batch, *halves in zip(whole, first, second, strict=True):
        assert torch.equal(batch, torch.cat(halves))


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
        pretrain(job, report=_ignore, rank=0, world_size=3)


def test_a_loss_that_is_not_finite_stops_the_run(job):
    def break_weights(network: torch.nn.Module) -> torch.nn.Module:
        with torch.no_grad():
            network.get_parameter("norm_out.weight").fill_(float("nan"))
        return network

    with pytest.raises(DataError, match=r"not finite at step 0, items 0 to 3 of seed 7"):
        pretrain(job, report=_ignore, wrap=break_weights)
    assert not (job.out / "final").exists()
    assert read_metrics(job.out) == []


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
    batch = to_tensors(random_contexts(n_contexts=8), random_embeddings)
    optimizer = build_optimizer(network, TrainingConfig(weight_decay=0.0))
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
