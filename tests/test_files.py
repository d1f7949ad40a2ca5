"""Files are whole or absent, and read only where they are what was written."""

import io
import os
import zipfile
from pathlib import Path

import pytest
import torch

from lstm_ae import files
from lstm_ae.compare.reading import find, read_run
from lstm_ae.experiment.checkpoints import Checkpoints
from lstm_ae.files import DamagedError, MissingError
from lstm_ae.run_dir import RunDir, RunDirError, find_finished
from lstm_ae.trained.loading import read_weights
from lstm_ae.trainer import Training

CONFIG = {"seed": 0}


def weights(values):
    content = io.BytesIO()
    torch.save({"weight": values}, content)
    return content.getvalue()


@pytest.fixture
def run_dir(tmp_path):
    """A run that has ended, with weights and metrics."""
    run = RunDir(tmp_path / "run")
    own = run.begin(CONFIG, {}, "data")
    run.write_zip("model.pt", own, weights(torch.arange(20.0)))
    run.write_arrays("samples.npz", {"inputs": torch.arange(5.0).numpy()})
    run.write_json("metrics.json", {"validation": {"loss": 0.5}})
    run.end("finished")
    return run


def test_a_write_is_flushed_before_it_gets_its_name_and_its_folder_after(tmp_path, monkeypatch):
    done = []
    for name in ("write", "sync", "rename"):
        call = getattr(files.DISK, name)
        monkeypatch.setattr(
            files.DISK, name, lambda *a, name=name, call=call: (done.append((name, a[0].name)), call(*a))
        )
    files.write(tmp_path / "a.json", b"{}")
    own = f".a.json.{os.getpid()}"
    assert done == [("write", own), ("sync", own), ("rename", own), ("sync", tmp_path.name)]


def test_what_is_no_regular_file_is_named_with_a_cure_and_is_not_waited_for(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10 << 30)
    for name, reason in (
        ("folder", "is not a regular file"),
        ("pipe", "is not a regular file"),
        ("link", "is a link"),
        ("sparse", f"has {10 << 30} bytes, and no run writes more than 9"),
    ):
        with pytest.raises(DamagedError, match=rf"{name} {reason}.*Restore it from a copy"):
            files.read(tmp_path / name, 9)
    with pytest.raises(MissingError, match="nothing is missing"):
        files.read(tmp_path / "nothing")


def test_every_single_bit_flip_and_every_cut_of_sealed_weights_is_refused():
    content = io.BytesIO()
    torch.save({"weight": torch.arange(3.0)}, content)
    whole = files.sealed(content.getvalue(), "the run")
    assert files.sealed_run(Path("model.pt"), whole) == "the run"
    assert torch.equal(torch.load(io.BytesIO(whole), weights_only=True)["weight"], torch.arange(3.0))
    for bit in range(8 * len(whole)):
        rotten = bytearray(whole)
        rotten[bit // 8] ^= 1 << bit % 8
        try:
            found = files.sealed_run(Path("model.pt"), bytes(rotten))
        except DamagedError:
            continue
        assert found not in ("the run", None), f"bit {bit}"  # the signature is compared with that of the status
    for length in range(len(whole)):
        with pytest.raises(DamagedError, match=r"model.pt is "):
            files.sealed_run(Path("model.pt"), whole[:length])


def test_weights_of_another_run_are_refused(run_dir):
    with run_dir.rewriting(["model.pt"]):
        run_dir.write_zip("model.pt", "another", weights(torch.ones(2)))
    with pytest.raises(DamagedError, match=r"model.pt is of another run than the directory's other files"):
        read_weights(run_dir)


def test_a_file_that_is_not_as_listed_is_refused_by_every_reader(run_dir):
    path = run_dir / "metrics.json"
    path.write_text(path.read_text().replace("0.5", "0.4"))
    with pytest.raises(DamagedError, match=r"metrics.json is not the file that the run wrote.*remove status.json"):
        run_dir.score("loss")
    problems: list[str] = []
    ((folder, names),) = find([run_dir.path], problems)
    row = read_run(folder, names, problems)
    assert "validation.loss" not in row
    assert any("is not the file that the run wrote" in line for line in problems)


def test_a_bomb_is_not_unpacked(run_dir, monkeypatch):
    monkeypatch.setattr(files, "ARRAY_BYTES", 10_000)
    with zipfile.ZipFile(run_dir / "task.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"0" * 1_000_000)
    with pytest.raises(DamagedError, match=r"task.npz unpacks to 1000000 bytes"):
        run_dir.read_arrays("task.npz")


def test_one_damaged_status_costs_only_its_own_run(run_dir, tmp_path):
    for name, content in (("empty", ""), ("list", "[]"), ("nested", "[" * 100_000), ("state", '{"state": 1}')):
        other = RunDir(tmp_path / name)
        other.path.mkdir()
        (other / "status.json").write_text(content)
        assert other.status()["state"] == "unreadable"
        assert "Remove it to have the same command go on" in other.status()["error"]
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "status.json")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert find_finished(tmp_path) == run_dir.path
    problems: list[str] = []
    rows = [read_run(folder, names, problems) for folder, names in find([tmp_path], problems)]
    assert [row["state"] for row in rows].count("finished") == 1


@pytest.mark.parametrize("name", ["run.log", ".lock", "figures", ".hydra"])
def test_a_directory_with_links_or_pipes_is_refused_and_nothing_is_written_outside(run_dir, tmp_path, name):
    (tmp_path / "outside").mkdir()
    (tmp_path / "precious").write_text("content")
    for make, reason in (
        (lambda path: path.symlink_to(tmp_path / "outside"), "is a link, and a run writes in its own directory only"),
        (lambda path: path.symlink_to(tmp_path / "precious"), "is a link, and a run writes in its own directory only"),
        (os.mkfifo, r"must be a (file|folder)"),
    ):
        make(run_dir / name)
        with pytest.raises(RunDirError, match=rf"{name} {reason}. Remove it"), run_dir.locked():
            pass
        (run_dir / name).unlink()
    assert (tmp_path / "precious").read_text() == "content"
    assert not list((tmp_path / "outside").iterdir())


def test_a_link_in_place_of_a_temporary_file_is_not_written_through(tmp_path):
    (tmp_path / "precious").write_text("content")
    (tmp_path / f".a.json.{os.getpid()}").symlink_to(tmp_path / "precious")
    files.write(tmp_path / "a.json", b"{}")
    assert (tmp_path / "precious").read_text() == "content"
    assert (tmp_path / "a.json").read_bytes() == b"{}"


def test_temporary_files_of_a_killed_process_are_removed(run_dir):
    left = [run_dir / name for name in (".metrics.json.12345", "figures/.loss.png.12345", ".hydra/.config.yaml.12345")]
    kept = [run_dir / name for name in (".metrics.json", "figures/loss.png.12345", "metrics.json")]
    for path in (*left, *kept):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    with run_dir.locked():
        assert not any(path.exists() for path in left)
        assert all(path.exists() for path in kept)


def test_the_owner_of_a_held_directory_is_named(run_dir):
    with (
        run_dir.locked(),
        pytest.raises(RunDirError, match=rf"another process \(process {os.getpid()} on .+\) is writing"),
        RunDir(run_dir.path).locked(),
    ):
        pass


def test_checkpoints_are_written_at_most_once_a_second_and_at_an_interruption(run_dir):
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    training = Training(model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1))
    checkpoints = Checkpoints(run_dir, training, "run")

    def stored():
        return torch.load(run_dir.read_zip("checkpoint.pt")[0], weights_only=True)["history"][-1]["epoch"]

    def train():
        with checkpoints.kept():
            for epoch in range(1, 9):
                training.history.append({"epoch": epoch})
                checkpoints.take()
                assert stored() == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert stored() == 8
    assert run_dir.read_zip("checkpoint.pt")[1] == "run"
