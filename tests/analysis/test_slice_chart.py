"""The interactive chart holds every run once for each axis, and nothing that JSON cannot."""

import json

from study_fit import study_fit, study_table

from relscale.analysis.slice_chart import chart_data


def test_every_run_is_in_one_slice_of_each_axis() -> None:
    table, fit = study_table(), study_fit()
    data = json.loads(json.dumps(chart_data(table, fit), allow_nan=False))
    assert data["levels"] == [["column means alone", 0.41]]
    by_databases, by_tokens = data["axes"]
    assert by_databases["x_label"] == "training tokens S" and by_tokens["symbol"] == "S"
    for axis in data["axes"]:
        runs = [run for record in axis["slices"] for run in record["runs"]]
        assert sorted(loss for _, loss, _ in runs) == sorted(table["loss"])
    first = by_databases["slices"][0]
    assert first["label"] == "8" and first["status"] == "edge" and first["interval"] is None
    record = fit["axes"]["n_databases"]["slices"][3]
    assert by_databases["slices"][3]["minimum"] == [record["x_opt"], record["loss_opt"]]
    assert by_databases["ticks"][0] == [131_072_000.0, "131 M"]
