"""The files and the states of a run."""

CONFIG, STATUS, METRICS, ENVIRONMENT, MODEL = (
    "config.json", "status.json", "metrics.json", "environment.json", "model.json"
)  # fmt: skip
WEIGHTS, CHECKPOINT, SAMPLES, SCALER, TASK = "model.pt", "checkpoint.pt", "samples.npz", "scaler.npz", "task.npz"
HISTORY = "history.csv"
MODEL_FORMAT = 1  # of model.json, scaler.npz and task.npz: raised where an older reader would misread them
NOT_LISTED = frozenset({STATUS, CHECKPOINT})  # of the files in the run's own folder: they change while it runs
ENDED = frozenset({"finished", "diverged", "pruned"})
UNREADABLE = "unreadable"  # the state of a run whose status.json is damaged
