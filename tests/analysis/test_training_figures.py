"""Training curves: a panel for each N, a colour for each S."""

import pandas as pd

from relscale.analysis.training_figures import learning_curves


def test_learning_curves_have_a_panel_for_each_n() -> None:
    rows = [
        (f"{n}-{s}-{seed}", n, s, seed, s * step / 20, 1.0 / step + 0.01 * seed)
        for n in (8, 16, 32, 64, 128)
        for s in (10**8, 10**9)
        for seed in (0, 1)
        for step in range(1, 21)
    ]
    columns = ["trial", "n_databases", "tokens_total", "seed", "tokens", "loss"]
    history = pd.DataFrame(rows, columns=columns)
    drawing = learning_curves(history)
    shown = [axes for axes in drawing.figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == [f"{n} databases" for n in (8, 16, 32, 64, 128)]
    assert all(len(axes.lines) == 4 for axes in shown)
    assert len({tuple(line.get_color()) for line in shown[0].lines}) == 2
    assert drawing.data is history
