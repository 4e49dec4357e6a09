"""Zero-shot scores on a small handmade database and on the real rel-f1."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from relbench.manifest import DatasetManifest, TableSpec, TaskManifest

from relscale.analysis.zero_shot import evaluate_checkpoint
from relscale.model.checkpoint import save_model
from relscale.model.config import ModelConfig, SamplerConfig, TextConfig
from relscale.model.network import RelationalTransformer
from relscale.platform.errors import ConfigError, DataError, ResourceError
from relscale.platform.seeds import Purpose, stream
from relscale.platform.storage import read_json

SIZES = ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=16, d_text=8)
BASELINES = [
    "global_mean", "entity_mean", "last_label", "mean_of_last_5", "exponential_mean", "gradient_boosted_tree",
]  # fmt: skip
DAYS = {"train": range(60, 271, 30), "val": range(300, 331, 30), "test": range(360, 421, 30)}


class LetterEncoder:
    """A text encoder without a model; its vectors hold the first letters."""

    def __init__(self, config: TextConfig) -> None:
        self.name, self.fingerprint = config.encoder, f"letters-{config.encoder}"

    def encode(self, strings: Sequence[str], **_: Any) -> np.ndarray:
        codes = [[ord(letter) / 128 for letter in text[:8].ljust(8)] for text in strings]
        return np.array(codes, np.float16).reshape(-1, 8)


@pytest.fixture(autouse=True)
def _no_text_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relscale.model.tokenize.TextEncoder", LetterEncoder)


def day(number: np.ndarray) -> np.ndarray:
    return np.datetime64("2020-01-01T00:00:00", "us") + np.asarray(number).astype("timedelta64[D]")


def write_shop(folder: Path, n_customers: int = 20, n_orders: int = 500) -> Path:
    """Customers, their orders over 500 days, and six tasks."""
    rng = stream(0, Purpose.EVALUATION)
    number = np.sort(rng.integers(0, 500, n_orders))
    number[-20:-10], number[-10:] = number[-10:].copy(), number[-20:-10].copy()  # test rows out of time order
    orders = pd.DataFrame(
        {
            "order_id": np.arange(n_orders),
            "customer_id": rng.integers(0, n_customers, n_orders),
            "time": day(number),
            "amount": rng.normal(50, 20, n_orders),
            "gift": rng.random(n_orders) < 0.4,
        }
    )
    customers = pd.DataFrame({"customer_id": np.arange(n_customers), "age": rng.normal(40, 9, n_customers)})
    (folder / "db").mkdir(parents=True)
    orders.to_parquet(folder / "db" / "orders.parquet")
    customers.to_parquet(folder / "db" / "customers.parquet")
    DatasetManifest(
        name="shop",
        val_timestamp="2020-10-27",
        test_timestamp="2020-12-26",
        tables={
            "customers": TableSpec(pkey="customer_id"),
            "orders": TableSpec(pkey="order_id", time_col="time", fkeys={"customer_id": "customers"}),
        },
    ).save(folder / "manifest.yaml")
    _write_labels(folder, "visits", "regression", lambda n: rng.poisson(3, n))
    _write_labels(folder, "returns", "binary_classification", lambda n: rng.random(n) < 0.5)
    _write_labels(folder, "always", "binary_classification", lambda n: np.ones(n))
    for target, task_type in (("amount", "regression"), ("gift", "binary_classification")):
        _save(
            folder, TaskManifest(target, "autocomplete", task_type, entity_table="orders", target_col=target)
        )
    link = {"src_entity_table": "customers", "src_entity_col": "customer_id", "dst_entity_table": "orders"}
    _save(
        folder,
        TaskManifest("buys", "external", "recommendation", **link, dst_entity_col="order_id", eval_k=5),
    )
    return folder


def _save(folder: Path, manifest: TaskManifest) -> None:
    manifest.validate()
    manifest.save(folder / "tasks" / manifest.name / "manifest.yaml")


def _write_labels(folder: Path, name: str, task_type: str, draw: Any) -> None:
    columns = {"entity_table": "customers", "entity_col": "customer_id", "target_col": "label"}
    _save(folder, TaskManifest(name, "external", task_type, **columns, time_col="time", timedelta="30 days"))
    for split, days in DAYS.items():
        frame = pd.DataFrame([(d, c) for d in days for c in range(20)], columns=["time", "customer_id"])
        frame["time"], frame["label"] = day(frame["time"].to_numpy()), draw(len(frame)).astype(np.int64)
        frame.to_parquet(folder / "tasks" / name / f"{split}.parquet")


def write_checkpoint(folder: Path, *, zero: bool = False, encoder: str = "packaged-minilm") -> Path:
    network = RelationalTransformer(SIZES, seed=0)
    if zero:  # then every output is 0: the mean of a number, even odds of a boolean
        for parameter in network.parameters():
            parameter.data.zero_()
    sampler = SamplerConfig(context_length=48, bfs_width=16, mask_prob=0.5)
    text = {"name": encoder, "fingerprint": f"letters-{encoder}"}
    about = {"model": SIZES.model_dump(), "sampler": sampler.model_dump(), "text_encoder": text}
    save_model(folder, network, about)
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("shop") / "shop")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "final")


def evaluate(checkpoint: Path, dataset: Path | str, out: Path, **options: Any) -> list[dict[str, Any]]:
    return evaluate_checkpoint(checkpoint, dataset, out, n_boot=50, **options)


def test_every_row_is_scored_in_its_order_by_the_metric_of_relbench(
    shop: Path, checkpoint: Path, tmp_path: Path
) -> None:
    import relbench

    said: list[str] = []
    scores = evaluate(checkpoint, shop, tmp_path, progress=said.append)
    assert read_json(tmp_path / "scores.json") == scores
    assert [entry["task"] for entry in scores] == ["amount", "gift", "returns", "visits"]
    contract = ("dataset", "task", "split", "metric", "value", "ci95", "rows", "visibility", "baselines")
    for entry in scores:
        assert set(contract) < set(entry)
        task = relbench.load_dataset(shop).load_task(entry["task"])
        table = task.get_table("test", mask_input_cols=False)
        rows = pd.read_parquet(tmp_path / "predictions" / f"{entry['task']}.parquet")
        assert list(rows) == ["time", "entity", "target", "prediction", *BASELINES]
        for name, column in (
            ("time", task.time_col),
            ("entity", task.entity_col),
            ("target", task.target_col),
        ):
            np.testing.assert_array_equal(rows[name], table.df[column])
        assert entry["rows"] == len(rows) == len(table.df) > 0
        assert {entry["metric"]: entry["value"]} == task.evaluate(rows["prediction"].to_numpy(), table)
        assert entry["ci95"][0] <= entry["value"] <= entry["ci95"][1]
        for name, value in entry["baselines"].items():
            assert {entry["metric"]: value} == task.evaluate(rows[name].to_numpy(), table)
        assert entry["ci95_entities"][0] <= entry["value"] <= entry["ci95_entities"][1]
        assert entry["value_per_seed"] == pytest.approx([entry["value"]])
        assert ("r2" in entry) == ("r2_difference" in entry) == (entry["metric"] == "nmae")
        assert (entry["dataset"], entry["split"], entry["visibility"]) == ("shop", "test", "temporal")
        # The labels of autocomplete tasks are cells of the database; the other two stand in own rows.
        assert entry["own_label_share"] is None or entry["own_label_share"] > 0.9
    left_out = [sentence for sentence in said if "left out" in sentence]
    assert left_out == [
        "buys: left out, task type recommendation has no output in the Relational Transformer",
        "always: left out, the labels of split 'train' are all equal",
    ]
    assert list(read_json(tmp_path / "left_out.json")) == ["buys", "always"]


def test_an_autocomplete_task_follows_the_time_order_of_relbench(
    shop: Path, checkpoint: Path, tmp_path: Path
) -> None:
    evaluate(checkpoint, shop, tmp_path, tasks=["amount"], progress=lambda _: None)
    rows = pd.read_parquet(tmp_path / "predictions" / "amount.parquet")
    orders = pd.read_parquet(shop / "db" / "orders.parquet")
    assert rows["time"].is_monotonic_increasing
    assert not rows["entity"].is_monotonic_increasing
    np.testing.assert_array_equal(rows["target"], orders["amount"][rows["entity"]])


def test_a_network_that_says_nothing_predicts_the_train_mean(shop: Path, tmp_path: Path) -> None:
    silent = write_checkpoint(tmp_path / "silent", zero=True)
    scores = evaluate(silent, shop, tmp_path, tasks=["visits", "returns"], progress=lambda _: None)
    visits = pd.read_parquet(tmp_path / "predictions" / "visits.parquet")
    train = pd.read_parquet(shop / "tasks" / "visits" / "train.parquet")["label"]
    np.testing.assert_allclose(visits["prediction"], train.mean(), rtol=1e-6)
    assert scores[0]["value"] == pytest.approx((visits["target"] - train.mean()).abs().mean() / train.std())
    assert (pd.read_parquet(tmp_path / "predictions" / "returns.parquet")["prediction"] == 0.5).all()
    assert scores[1]["value"] == 0.5


def test_context_seeds_are_averaged_and_the_tokens_are_kept(
    shop: Path, checkpoint: Path, tmp_path: Path
) -> None:
    found = {}
    for seeds in ((0,), (1,), (0, 1)):
        evaluate(checkpoint, shop, tmp_path, tasks=["visits"], context_seeds=seeds, progress=lambda _: None)
        found[seeds] = pd.read_parquet(tmp_path / "predictions" / "visits.parquet")["prediction"]
        stamps = {file: file.stat().st_mtime_ns for file in (tmp_path / "store").rglob("*") if file.is_file()}
        assert found.setdefault("stamps", stamps) == stamps
    assert not np.allclose(found[0,], found[1,])
    np.testing.assert_allclose(found[0, 1], (found[0,] + found[1,]) / 2, rtol=1e-5)


def test_the_val_split_is_scored_alike(shop: Path, checkpoint: Path, tmp_path: Path) -> None:
    (entry,) = evaluate(checkpoint, shop, tmp_path, tasks=["visits"], split="val", progress=lambda _: None)
    assert (entry["split"], entry["rows"]) == ("val", 40)
    labels = pd.read_parquet(shop / "tasks" / "visits" / "val.parquet")
    rows = pd.read_parquet(tmp_path / "predictions" / "visits.parquet")
    np.testing.assert_array_equal(rows["target"], labels["label"])


def test_what_a_user_can_mend_is_said_in_one_sentence(
    shop: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="has no task 'churn'; it has: always, amount, gift, returns, visits"):
        evaluate(checkpoint, shop, tmp_path, tasks=["churn"])
    other = write_checkpoint(tmp_path / "other", encoder="another")
    with pytest.raises(DataError, match=r"text encoder 'packaged-minilm' .*/other' has 'another'"):
        evaluate(other, shop, tmp_path)
    with pytest.raises(ConfigError, match="context_length is 2, but a row of table 'orders'"):
        evaluate(checkpoint, shop, tmp_path, tasks=["gift"], sampler={"context_length": 2})
    with pytest.raises(DataError, match="'nowhere' is not a RelBench 3 folder"):
        evaluate(checkpoint, Path("nowhere"), tmp_path)

    def no_network(name: str) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("relbench.load_dataset", no_network)
    with pytest.raises(ResourceError, match=r"'rel-none' .* \(no route to host\); give the path"):
        evaluate(checkpoint, "rel-none", tmp_path)


def with_classes(folder: Path, task: str) -> Path:
    """The folder, a task of which has become one of more classes, named by letters where it has files."""
    manifest = folder / "tasks" / task / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("regression", "multiclass_classification"))
    for path in manifest.parent.glob("*.parquet"):
        frame = pd.read_parquet(path)
        frame.assign(label=[chr(97 + label % 4) for label in frame["label"]]).to_parquet(path)
    return folder


def test_more_classes_are_asked_for_one_by_one(checkpoint: Path, tmp_path: Path) -> None:
    folder = with_classes(write_shop(tmp_path / "shop"), "visits")
    options = {"tasks": ["visits"], "context_seeds": (0, 1), "progress": lambda _: None}
    (entry,) = evaluate(checkpoint, folder, tmp_path / "out", **options)
    rows = pd.read_parquet(tmp_path / "out" / "predictions" / "visits.parquet")
    assert (entry["metric"], entry["rows"]) == ("accuracy", 60)
    assert set(rows["prediction"]) <= set("abcd")
    for name in ("prediction", *BASELINES):
        value = entry["value"] if name == "prediction" else entry["baselines"][name]
        assert value == pytest.approx((rows[name] == rows["target"]).mean())
    assert entry["own_label_share"] > 0.9
    assert not (tmp_path / "out" / "submission").exists()
    # The prediction is the class whose own binary task has the highest probability.
    one = tmp_path / "out" / "one-vs-rest" / "visits" / "database"
    options |= {"tasks": [f"visits-class-{place}" for place in range(4)]}
    evaluate(checkpoint, one, tmp_path / "one", **options)
    parts = [
        pd.read_parquet(tmp_path / "one" / "predictions" / f"{task}.parquet") for task in options["tasks"]
    ]
    best = np.stack([part["prediction"] for part in parts]).argmax(axis=0)
    assert list(rows["prediction"]) == ["abcd"[place] for place in best]


def test_classes_without_label_rows_are_left_out_with_the_reason(checkpoint: Path, tmp_path: Path) -> None:
    folder = with_classes(write_shop(tmp_path / "shop"), "amount")
    said: list[str] = []
    scores = evaluate(checkpoint, folder, tmp_path / "out", tasks=["amount", "gift"], progress=said.append)
    assert [entry["task"] for entry in scores] == ["gift"]
    assert said[0].startswith(
        "amount: left out, its classes are cells of a table; the rule for more than two"
    )


def test_both_see_only_train_labels_where_visibility_says_so(
    shop: Path, checkpoint: Path, tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(shop, tmp_path / "shop"))
    for split in ("val", "test"):  # labels that nobody may see: at least one of each kind stays
        path = changed / "tasks" / "visits" / f"{split}.parquet"
        frame = pd.read_parquet(path)
        frame.assign(label=frame["label"] + 7).to_parquet(path)
    found = {}
    for name, folder, visibility in (
        ("a", shop, "train-only"), ("b", changed, "train-only"), ("c", changed, "temporal"),
    ):  # fmt: skip
        (entry,) = evaluate(
            checkpoint,
            folder,
            tmp_path / name,
            tasks=["visits"],
            visibility=visibility,
            progress=lambda _: None,
        )
        assert entry["visibility"] == visibility
        rows = pd.read_parquet(tmp_path / name / "predictions" / "visits.parquet")
        found[name] = rows[["prediction", *BASELINES]].to_numpy()
    np.testing.assert_array_equal(found["a"], found["b"])
    assert (found["b"] != found["c"]).any(axis=0).all()


def test_several_visibilities_are_scored_in_one_run(shop: Path, checkpoint: Path, tmp_path: Path) -> None:
    def whole(folder: Path, visibility: Any) -> dict[str, pd.DataFrame]:
        options = {"tasks": ["visits"], "visibility": visibility, "progress": lambda _: None}
        evaluate(checkpoint, folder, tmp_path / "out", **options)
        return {
            path.parent.name: pd.read_parquet(path) for path in (tmp_path / "out").rglob("visits.parquet")
        }

    changed = Path(shutil.copytree(shop, tmp_path / "shop"))
    path = changed / "tasks" / "visits" / "test.parquet"
    frame = pd.read_parquet(path)
    frame.assign(label=frame["label"] + 7).to_parquet(path)
    found = whole(shop, ["temporal", "strict"])
    assert set(found) == {"temporal", "strict"}
    assert [path.parent.name for path in (tmp_path / "out").rglob("*.csv")] == ["strict"]
    # Whoever sees no test label predicts the same where the test labels differ.
    shutil.rmtree(tmp_path / "out")
    other = whole(changed, ["temporal", "strict"])
    shown = ["prediction", *BASELINES]
    np.testing.assert_array_equal(found["strict"][shown], other["strict"][shown])
    assert (found["temporal"][shown] != other["temporal"][shown]).any(axis=0).all()
    shutil.rmtree(tmp_path / "out")
    (alone,) = whole(shop, "strict").values()
    np.testing.assert_array_equal(alone[shown], found["strict"][shown])


def test_settings_of_the_sampler_that_are_given_go_before_the_checkpoints(
    shop: Path, checkpoint: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    changes = {"context_length": 96, "own_rows_first": True}
    (entry,) = evaluate(checkpoint, shop, tmp_path, tasks=["visits"], sampler=changes, progress=said.append)
    assert said[0] == "contexts: context_length 96, own_rows_first True; else as trained"
    used = SamplerConfig(context_length=96, own_rows_first=True, bfs_width=16)
    assert SamplerConfig.model_validate(entry["sampler"]) == used
    with pytest.raises(ConfigError, match="local_context_length 64 is more than context_length 48"):
        evaluate(checkpoint, shop, tmp_path, sampler={"local_context_length": 64, "n_walks": 5})


def test_the_leaderboard_accepts_the_files(shop: Path, checkpoint: Path, tmp_path: Path) -> None:
    from relbench.submit import evaluate_task

    scores = evaluate(checkpoint, shop, tmp_path, visibility="strict", progress=lambda _: None)
    names = sorted(path.name for path in (tmp_path / "submission").iterdir())
    assert names == [f"shop__{entry['task']}.csv" for entry in scores]
    for entry in scores:
        path = tmp_path / "submission" / f"shop__{entry['task']}.csv"
        accepted = evaluate_task(f"shop/{entry['task']}", path, dataset=shop)
        assert accepted == pytest.approx({entry["metric"]: entry["value"]})


def test_the_encoder_is_the_settings_where_the_checkpoint_names_none(
    shop: Path, checkpoint: Path, tmp_path: Path
) -> None:
    published = Path(shutil.copytree(checkpoint, tmp_path / "published"))
    about = read_json(published / "config.json")
    del about["text_encoder"]
    (published / "config.json").write_text(json.dumps(about))
    options = {"tasks": ["visits"], "progress": lambda _: None}
    evaluate(published, shop, tmp_path, text=TextConfig(encoder="minilm-12"), **options)
    assert read_json(tmp_path / "store" / "store.json")["encoder"]["name"] == "minilm-12"


def test_a_dangling_key_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = write_shop(tmp_path / "shop")
    orders = pd.read_parquet(folder / "db" / "orders.parquet")
    orders.loc[7, "customer_id"] = 999
    orders.to_parquet(folder / "db" / "orders.parquet")
    with pytest.raises(DataError, match="customer_id"):
        evaluate(checkpoint, folder, tmp_path / "out")


def test_all_rows_of_rel_f1(rel_f1: Path, checkpoint: Path, tmp_path: Path) -> None:
    scores = evaluate(checkpoint, rel_f1, tmp_path, sampler={"context_length": 64}, progress=lambda _: None)
    found = {entry["task"]: (entry["rows"], entry["metric"]) for entry in scores}
    assert found == {
        "driver-dnf": (702, "roc_auc"),
        "driver-position": (760, "nmae"),
        "driver-top3": (726, "roc_auc"),
    }
    assert round(100 * scores[1]["r2_baselines"]["entity_mean"], 1) == 38.9
    assert [entry["entities"] for entry in scores] == [42, 56, 42]
