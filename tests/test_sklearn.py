"""The encoder in scikit-learn's pipelines."""

import functools
import pickle

import jaxtyping
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

import lstm_ae
from lstm_ae.data.frames import from_arrays, from_frame
from lstm_ae.models import Autoencoder, BottleneckAutoencoder
from lstm_ae.sklearn import Encoder
from lstm_ae.tasks import Reconstruction
from tests.test_fit import waves
from tests.test_frames import table

SMALL = functools.partial(BottleneckAutoencoder, hidden_size=4)


def run(folder, data, model=SMALL):
    return lstm_ae.fit(data, model, Reconstruction, epochs=1, run_dir=folder)


@pytest.fixture(autouse=True)
def _unchecked():
    """Some of scikit-learn's checks pass values of every type to the constructor."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def univariate(tmp_path_factory):
    return run(tmp_path_factory.mktemp("univariate"), from_arrays(waves(features=1))).path


@pytest.fixture(scope="module")
def stepwise(tmp_path_factory):
    path = tmp_path_factory.mktemp("stepwise")
    return run(path, from_arrays(waves()), functools.partial(Autoencoder, hidden_size=3)).path


@pytest.mark.parametrize(
    "name",
    [
        "check_dict_unchanged",
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_estimator_tags_renamed",
        "check_estimators_overwrite_params",
        "check_estimators_pickle",
        "check_estimators_unfitted",
        "check_fit1d",
        "check_fit_idempotent",
        "check_fit_score_takes_y",
        "check_get_params_invariance",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_mixin_order",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_pipeline_consistency",
        "check_set_params",
        "check_transformer_general",
        "check_transformer_preserve_dtypes",
    ],
)
def test_scikit_learns_own_checks(univariate, name):
    getattr(estimator_checks, name)("Encoder", Encoder(str(univariate)))


def test_a_pipeline_classifies_latents_and_is_searched(stepwise):
    x, y = waves(), np.arange(60) % 2
    x[y == 1] += 2
    pipeline = make_pipeline(Encoder(str(stepwise)), StandardScaler(), LogisticRegression())
    assert cross_val_score(pipeline, x, y, cv=3).mean() > 0.9
    search = GridSearchCV(pipeline, {"encoder__pooling": ["last", "mean", "max"]}, cv=2).fit(x, y)
    assert search.best_score_ > 0.9
    assert np.array_equal(pickle.loads(pickle.dumps(search)).predict(x), search.predict(x))
    assert pipeline[0].get_feature_names_out().tolist() == ["latent_0", "latent_1", "latent_2"]


def test_pooling_takes_the_last_the_mean_or_the_max_of_each_sequences_own_steps(stepwise):
    x = [one[: 5 + place] for place, one in enumerate(waves(3))]
    latents = lstm_ae.load_run(stepwise).encode(x)
    for pooling, pooled in (("last", lambda one: one[-1]), ("mean", np.mean), ("max", np.max)):
        found = Encoder(stepwise, pooling).transform(x)
        expected = [pooled(one) if pooling == "last" else pooled(one, axis=0) for one in latents]
        assert np.allclose(found, expected, atol=1e-6)


def test_a_table_gives_a_row_a_sequence(tmp_path):
    frame = table(machines=3, rows=60)
    path = run(tmp_path, from_frame(frame, series="machine", time="time", window=10)).path
    assert clone(Encoder(path)).fit_transform(frame).shape == (51 + 52 + 53, 4)


def test_errors_name_the_cure(stepwise):
    with pytest.raises(ValueError, match="`pooling` must be one of last, mean, max, got 'min'"):
        Encoder(stepwise, "min").fit(waves())
    with pytest.raises(ValueError, match="must be the directory of a finished run, got nowhere"):
        Encoder("nowhere").transform(waves())
