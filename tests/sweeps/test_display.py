import io

from rich.console import Console

from relscale.platform.storage import write_json
from relscale.sweeps.collect import trial_folder
from relscale.sweeps.display import GridDisplay
from relscale.sweeps.grid import Trial

TRIALS = [
    Trial(key=f"{n}-{tokens}-{seed}", n_databases=n, tokens=tokens, seed=seed)
    for n in (2, 4)
    for tokens in (1000, 2000)
    for seed in (0, 1)
]


def shown(display: GridDisplay) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(display.table())
    return console.export_text()


def test_the_grid_fills_up(tmp_path):
    write_json(trial_folder(tmp_path, TRIALS[0]) / "result.json", {"loss": 0.4})
    display = GridDisplay(TRIALS, tmp_path, {trial.key for trial in TRIALS[1:]})
    assert "0.4000 1/2" in shown(display)
    assert display.hear("2-1000-1", {"tokens": 600, "loss": 0.5})[0] == 600
    amount, note = display.hear("2-1000-1", {"tokens": 1000, "held_out_loss": 0.3})
    assert amount == 400
    assert note == "2/8 trials, N=2 S=1,000 seed=1: held-out loss 0.3000"
    display.hear("4-2000-0", {"tokens": 1000, "loss": 0.5})
    display.hear("4-1000-0", {"failed": "the loss is nan"})
    assert display.states() == {"waiting": 4, "running": 1, "done": 2, "failed": 1}
    text = shown(display)
    assert "0.3500" in text and "/2" not in text, "a point with all its seeds has a plain mean"
    assert "25%" in text and "failed" in text and "·" in text


def test_a_resumed_trial_s_old_lines_do_not_count_twice(tmp_path):
    display = GridDisplay(TRIALS, tmp_path, {trial.key for trial in TRIALS})
    assert display.hear("2-1000-1", {"tokens": 600, "loss": 0.5})[0] == 600
    assert display.hear("2-1000-1", {"tokens": 400, "loss": 0.5})[0] == 0


def test_every_variant_has_its_table(tmp_path):
    trials = [Trial(key=name, n_databases=1, tokens=5, seed=0, variant=name) for name in ("a=1", "a=2")]
    text = shown(GridDisplay(trials, tmp_path, {"a=1", "a=2"}))
    assert "Held-out loss a=1" in text and "Held-out loss a=2" in text
