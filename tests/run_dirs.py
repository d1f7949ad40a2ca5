"""Writes run directories for the tests of `lstm_ae.compare`."""

from pathlib import Path

from lstm_ae.run_dir import RunDir

#: What metrics.json records of metrics, as the runs of these tests have them.
METRICS = {
    "loss": {"unit": "loss", "higher_is_better": False},
    "accuracy": {"unit": "share", "higher_is_better": True},
}


def write(path: Path, loss: float | None, state: str = "finished", losses=(), seconds: float = 1.0, **settings) -> Path:
    """Writes a run with a validation loss and a history of `losses`; `__` in the key of a setting stands for a dot."""
    run = RunDir(path)
    config: dict = {"seed": 0, "fold": None}
    for key, value in settings.items():
        *groups, name = key.split("__")
        place = config
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    run.write_json("config.json", config)
    run.write_json("status.json", {"state": state, "error": None if state == "finished" else f"why it {state}"})
    if loss is not None:
        run.write_json("metrics.json", {"validation": {"loss": loss}, "test": {"loss": loss + 1}, "seconds": seconds})
    run.write_history([{"epoch": i + 1, "validation.loss": value} for i, value in enumerate(losses)])
    return path


def write_run(path, loss, lr=0.1, hidden=8, seed=0, state="finished", error=None, **config):
    """A run directory with a history of three epochs."""
    run = RunDir(path)
    run.write_json("config.json", {"seed": seed, "model": {"hidden_size": hidden}, "optimizer": {"lr": lr}, **config})
    run.write_json("status.json", {"state": state, "error": error})
    metrics = {
        "metrics": METRICS,
        "validation": {"loss": loss, "accuracy": 1 - loss},
        "parameters": 100 * hidden,
        "seconds": 1.5 * hidden,
    }
    run.write_json("metrics.json", metrics)
    part = {"validation.loss": loss, "validation.accuracy": 1 - loss}
    run.write_history([{"epoch": epoch, **{key: value / epoch for key, value in part.items()}} for epoch in (1, 2, 3)])
