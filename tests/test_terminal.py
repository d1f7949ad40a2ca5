"""The display of a run: a bar and a table on a terminal, plain lines elsewhere."""

import io
import logging
import sys
from pathlib import Path

import pytest
from rich.console import Console

from lstm_ae.terminal import EpochDisplay, again, show_result

ROW = {"epoch": 2, "lr": 0.01, "train.loss": 0.5, "validation.loss": 0.25, "seconds": 1.5}
METRICS = {
    "train": {"reconstruction_mse": 0.1}, "validation": {"reconstruction_mse": 0.2},
    "test": {"reconstruction_mse": 0.3},
    "baseline": {"pca": {"reconstruction_mse": 0.6}}, "skill": {"pca": 0.5}, "parameters": 1292, "epochs": 5,
    "best_epoch": 4, "seconds": 1.0, "interval": {"skill.pca": [0.4, 0.6], "reconstruction_mse": [0.29, 0.31]},
}  # fmt: skip


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def test_a_terminal_shows_a_bar_with_loss_epoch_time_and_time_left():
    screen = console(terminal=True)
    with EpochDisplay(4, 0, console=screen).live() as display:
        display.show(ROW)
    text = screen.file.getvalue()
    for part in ("2/4", "loss 0.5 validation 0.25", "1.5 s/epoch", "-:--:--"):
        assert part in text


def test_elsewhere_each_epoch_is_a_plain_line(caplog):
    caplog.set_level(logging.INFO)
    screen = console(terminal=False)
    with EpochDisplay(4, 0, console=screen).live() as display:
        display.show(ROW)
    assert caplog.messages == ["epoch 2/4: loss 0.5, validation loss 0.25, lr 0.01, 1.5 s"]
    assert screen.file.getvalue() == ""


def test_while_the_bar_is_live_log_lines_go_only_to_the_file():
    handler = logging.StreamHandler(io.StringIO())
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with EpochDisplay(4, 0, console=console(terminal=True)).live() as display:
            display.show(ROW)
            assert handler.level == logging.WARNING
        assert handler.level == logging.NOTSET
        assert handler.stream.getvalue() == ""
    finally:
        root.removeHandler(handler)


@pytest.mark.parametrize("terminal", [True, False])
def test_the_result_is_shown_with_its_baseline_the_path_and_what_to_type_next(caplog, terminal):
    caplog.set_level(logging.INFO)
    screen = console(terminal)
    show_result(METRICS, "reconstruction_mse", Path("multirun/run"), screen)
    text = screen.file.getvalue() if terminal else "\n".join(caplog.messages)
    for part in (
        "reconstruction_mse",
        "pca",
        "0.3",
        "0.6",
        "0.5 (0.4 to 0.6)",
        "reconstruction_mse: 0.3 (0.29 to 0.31)",
        "multirun/run",
        "python run.py optimizer.lr=0.003",
    ):
        assert part in text
    assert terminal or "\x1b" not in text


@pytest.mark.parametrize(
    ("given", "next_word"),
    [
        (["run.py", "optimizer.lr=1", "model=bottleneck", "hydra.run.dir=here"], "python run.py model=bottleneck o"),
        (["bin/lstm-ae", "--config-dir", "my conf", "dry_run=true"], "lstm-ae --config-dir 'my conf' o"),
        (["notebook.py", "--mine"], "python run.py o"),
    ],
)
def test_what_to_type_next_keeps_what_was_given(monkeypatch, given, next_word):
    monkeypatch.setattr(sys, "argv", given)
    assert again("optimizer.lr=0.003") == f"{next_word}ptimizer.lr=0.003"
