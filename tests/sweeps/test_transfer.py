"""A whole transfer study and a fine-tuning, tiny: what is trained on, resuming, what is written."""

from pathlib import Path

import pandas as pd
import pytest
from two_shops import SAMPLER, SIZES, LetterEncoder, write_checkpoint, write_shop

from relscale.model.config import TrainingConfig
from relscale.model.fine_tune import FineTuneJob
from relscale.platform.config import load_config
from relscale.platform.errors import ConfigError, DataError
from relscale.platform.storage import read_json
from relscale.sweeps.config import AnalysisConfig
from relscale.sweeps.fine_tuning import FineTuneConfig, run_fine_tuning
from relscale.sweeps.transfer import run_transfer
from relscale.sweeps.transfer_config import TransferConfig


@pytest.fixture(autouse=True, scope="module")
def _no_text_model():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("relscale.model.tokenize.TextEncoder", LetterEncoder)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("transfer")
    for seed, name in enumerate(("north", "south")):
        write_shop(root / name, name, seed)
    write_checkpoint(root / "checkpoint")
    return root


@pytest.fixture(scope="module")
def config(root: Path) -> TransferConfig:
    return TransferConfig(
        datasets=(str(root / "north"), str(root / "south")),
        held_out=("south",),
        checkpoint=root / "checkpoint",
        tokens=4 * 4 * 48,
        seeds=(0, 1),
        sampler=SAMPLER,
        model=SIZES,
        training=TrainingConfig(batch_size=4),
        analysis=AnalysisConfig(n_boot=100),
    )


@pytest.fixture(scope="module")
def table(config: TransferConfig, root: Path):
    return run_transfer(config, root / "out")


def test_three_arms_are_scored_on_the_held_out_database(table, root: Path):
    values = pd.DataFrame(table["values"])
    assert set(values["dataset"]) == {"south"} and set(values["task"]) == {"visits", "returns"}
    seeds = values.drop_duplicates("arm").set_index("arm")["seeds"].to_dict()
    assert seeds == {"real": 2, "synthetic": 1, "synthetic + real": 2}
    out = root / "out"
    assert pd.read_csv(out / "transfer.csv")["value"].tolist() == pytest.approx(values["value"].tolist())
    assert (out / "figures" / "transfer.png").is_file() and (out / "mlflow.db").is_file()


def test_no_run_was_trained_on_the_held_out_database(table, root: Path):
    runs = [read_json(path) for path in (root / "out" / "runs").glob("*/final/config.json")]
    assert len(runs) == 4 and all(run["databases"] == ["north"] for run in runs)
    assert sum(run["init"] is not None for run in runs) == 2


def test_a_second_call_trains_and_scores_nothing(table, config, root: Path, monkeypatch):
    monkeypatch.setattr("relscale.sweeps.transfer.evaluate_checkpoint", None)
    monkeypatch.setattr("relscale.model.pretrain._Run", None)
    assert run_transfer(config, root / "out") == table
    # Other seeds are other runs.
    with pytest.raises(TypeError):
        run_transfer(config.replace(seeds=(5,)), root / "out")


def test_what_contradicts_is_refused(config, root: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="held_out names 'west'"):
        run_transfer(config.replace(held_out=("west",)), tmp_path)
    twins = write_shop(tmp_path / "other", "north", 0)
    with pytest.raises(DataError, match="both named 'north'"):
        run_transfer(config.replace(datasets=(str(root / "north"), str(twins))), tmp_path / "out")


def fine_tune(root: Path, out: Path, said: list):
    settings = FineTuneConfig(learning_rate=3e-3, every_steps=5, patience=2, max_steps=20, n_boot=100)
    return run_fine_tuning(
        settings,
        root / "checkpoint",
        str(root / "south"),
        "visits",
        out,
        visibility="temporal",
        report=lambda *line: said.append(line),
    )


def test_fine_tuning_keeps_the_best_state_and_scores_it_once(root: Path, tmp_path: Path, monkeypatch):
    said: list = []
    result = fine_tune(root, tmp_path / "run", said)
    scores = result["val"]["scores"]
    assert [tuple(line) for line in scores] == [(step, value) for step, _, value in said]
    assert result["val"]["metric"] == "nmae" and result["step"] == min(scores, key=lambda s: s[1])[0]
    assert scores[-1][0] == 20 or all(v >= min(scores, key=lambda s: s[1])[1] for _, v in scores[-2:])
    assert {row["arm"] for row in result["table"]["values"]} == {"zero-shot", "fine-tuned"}
    monkeypatch.setattr("relscale.sweeps.fine_tuning.evaluate_checkpoint", None)
    monkeypatch.setattr("relscale.model.fine_tune._Run", None)
    assert fine_tune(root, tmp_path / "run", said) == result


def test_a_setting_is_found_in_both_configs():
    job = set(FineTuneJob.model_fields)
    assert set(FineTuneConfig.model_fields) - {"n_boot", "text"} <= job


def test_the_shipped_file_is_valid_and_the_document_says_what_it_holds():
    root = Path(__file__).parents[2]
    study = load_config(TransferConfig, root / "configs" / "transfer.yaml")
    page = (root / "docs" / "transfer.md").read_text()
    assert f"{study.tokens:,} tokens" in page and f"learning rate\n{study.training.learning_rate}" in page
    assert all(name in page for name in ("nycflights", "rel-f1")) and len(study.seeds) == 3
