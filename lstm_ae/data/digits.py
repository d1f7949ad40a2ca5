"""scikit-learn's handwritten digits, as sequences of rows of pixels."""

import numpy as np
import torch

from lstm_ae import checks
from lstm_ae.checks import Seed, Share
from lstm_ae.data.normal import Normal, held_out
from lstm_ae.data.scaling import Scaling
from lstm_ae.data.sequences import SequenceData

BRIGHTEST = 16  # the images hold whole numbers 0..16


@checks.checked
def load_digits(test_share: Share, seed: Seed, normal: Normal = None) -> SequenceData:
    """Returns 1,797 images of 8 x 8 pixels, a row a time step, scaled to [-1, 1], with their ten classes.

    Source: the test set of the UCI optical recognition of handwritten digits data, as it comes with scikit-learn.

    Args:
        test_share: The share of the images that is the test part, the same in each class.
        seed: Of the draw of the test part.
        normal: The digits that are normal: the others are in the test part only, flagged as abnormal; None: all digits
            are classes.
    """
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    bunch = datasets.load_digits()
    images, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.int64)
    _, chosen = train_test_split(np.arange(len(images)), test_size=test_share, random_state=seed, stratify=labels)
    test = np.zeros(len(images), dtype=bool)
    test[chosen] = True
    data = SequenceData(
        values=torch.from_numpy(images.reshape(-1, 8)),
        starts=torch.arange(len(images)) * 8,
        lengths=8,
        test=test,
        scaling=Scaling("fixed", shift=BRIGHTEST / 2, scale=BRIGHTEST / 2),
        labels=torch.from_numpy(labels),
        classes=tuple(str(name) for name in bunch.target_names),
        unit="brightness (0 to 16)",
        image_shape=(8, 8),
    )
    return data if normal is None else held_out(data, normal)
