"""Models: every parameter learns, shapes hold, and each variant is what its source says."""

import pytest
import torch
from torch import nn

from lstm_ae.models import (
    Autoencoder,
    BottleneckAutoencoder,
    InputClassifier,
    NextStepPredictor,
    PooledClassifier,
    ReconstructionClassifier,
    ResidualPredictor,
    ShiftedSequencePredictor,
    StateClassifier,
    TwinClassifier,
)
from lstm_ae.models.layers import last_and_max, set_chrono_bias, set_forget_bias

VARIANTS = {
    "autoencoder": lambda features: Autoencoder(features, hidden_size=5),
    "bottleneck": lambda features: BottleneckAutoencoder(features, hidden_size=5),
    "bottleneck, all options": lambda features: BottleneckAutoencoder(
        features, hidden_size=5, num_layers=2, bidirectional=True, dropout=0.2, forget_bias=1.0, reverse_target=True
    ),
}


SIZES = {"classes": 4, "hidden_size": 5}
CLASSIFIERS = {
    "v1": lambda features: InputClassifier(features, time=7, **SIZES),
    "v2": lambda features: ReconstructionClassifier(features, **SIZES),
    "v3": lambda features: TwinClassifier(features, head_layers=1, **SIZES),
    "v4": lambda features: TwinClassifier(features, head_layers=2, **SIZES),
    "v3_experimental": lambda features: StateClassifier(features, encoders=1, **SIZES),
    "v4_experimental": lambda features: StateClassifier(features, encoders=2, **SIZES),
    "pooled": lambda features: PooledClassifier(features, time=7, **SIZES),
    "pooled, one direction": lambda features: PooledClassifier(
        features, time=7, bidirectional=False, pooling="both", dropout=0.1, chrono=True, **SIZES
    ),
}
PREDICTORS = {
    "predictor_v1": lambda features: NextStepPredictor(features, hidden_size=5),
    "predictor_v2": lambda features: ShiftedSequencePredictor(features, hidden_size=5, hide_last=True),
    "predictor_v3": lambda features: ShiftedSequencePredictor(features, hidden_size=5),
    "residual_predictor": lambda features: ResidualPredictor(features, hidden_size=5),
}


@pytest.mark.parametrize("features", [1, 28])
@pytest.mark.parametrize("variant", CLASSIFIERS)
def test_a_classifier_reconstructs_and_scores_each_class_and_all_of_it_learns(variant, features):
    torch.manual_seed(2)  # with one value a time step v4 has a single ReLU, which some seeds leave dead
    model = CLASSIFIERS[variant](features)
    inputs = torch.rand(16, 7, features)
    output = model(inputs)
    assert output.reconstruction.shape == inputs.shape
    assert output.prediction.shape == (16, 4)
    _assert_everything_learns(
        model, (output.reconstruction - inputs).square().mean() + output.prediction.square().sum()
    )


@pytest.mark.parametrize("features", [1, 28])
@pytest.mark.parametrize("variant", PREDICTORS)
def test_a_predictor_reconstructs_and_predicts_and_all_of_it_learns(variant, features):
    torch.manual_seed(0)
    model = PREDICTORS[variant](features)
    if variant == "residual_predictor":
        torch.nn.init.normal_(model.head.weight)  # it begins at zero, which stops the gradient of what comes before
    inputs = torch.rand(6, 7, features)
    output = model(inputs)
    assert output.reconstruction.shape == inputs.shape
    assert output.prediction.shape == (6, 1 if variant == "predictor_v1" else 7, features)
    _assert_everything_learns(
        model, (output.reconstruction - inputs).square().mean() + output.prediction.square().sum()
    )


def _assert_everything_learns(model, loss):
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_v2_to_v4_classify_a_reconstructions_last_step_alone():
    """With one value a time step that is a single number: why they fail pixel by pixel."""
    for variant in ("v2", "v3", "v4"):
        linear = [module for module in CLASSIFIERS[variant](1).modules() if isinstance(module, nn.Linear)]
        assert linear[0].in_features == 1


def test_the_experimental_variants_classify_an_encoders_last_state():
    shared, apart = CLASSIFIERS["v3_experimental"](3), CLASSIFIERS["v4_experimental"](3)
    inputs = torch.rand(2, 7, 3)
    for model, encoder in ((shared, shared.autoencoder.encoder), (apart, apart.encoder)):
        states, _ = encoder(inputs)
        assert torch.allclose(model(inputs).prediction, model.classifier(states[:, -1]))
    assert sum(isinstance(module, nn.LSTM) for module in shared.modules()) == 2
    assert sum(isinstance(module, nn.LSTM) for module in apart.modules()) == 3


def test_predictor_v2_does_not_see_the_last_day_and_v3_does():
    inputs = torch.rand(2, 7, 1)
    other = inputs.clone()
    other[:, -1] += 1
    for variant, same in (("predictor_v2", True), ("predictor_v3", False)):
        model = PREDICTORS[variant](1)
        assert torch.equal(model(inputs).prediction, model(other).prediction) == same


def test_the_residual_predictor_begins_as_persistence_and_does_not_look_ahead():
    model = ResidualPredictor(features=1, hidden_size=5)
    inputs = torch.rand(2, 7, 1)
    assert torch.equal(model(inputs).prediction, inputs)
    torch.nn.init.normal_(model.head.weight)
    other = inputs.clone()
    other[:, 4:] += 1
    assert torch.equal(model(inputs).prediction[:, :4], model(other).prediction[:, :4])


def test_reading_in_segments_changes_no_number():
    torch.manual_seed(0)
    lstm = nn.LSTM(2, 6, batch_first=True)
    inputs = torch.randn(3, 130, 2)
    _, last, max_state = last_and_max(lstm, inputs, keep_states=False)
    states, last_whole, max_whole = last_and_max(lstm, inputs, keep_states=True)
    assert torch.allclose(last, last_whole, atol=1e-6)
    assert torch.allclose(max_state, max_whole, atol=1e-6)
    assert torch.allclose(states[:, -1], last, atol=1e-6)


def test_chrono_biases_span_memories_up_to_the_longest():
    lstm = nn.LSTM(1, 400, batch_first=True)
    set_chrono_bias(lstm, longest=784)
    forget = lstm.bias_ih_l0[400:800]
    memories = forget.exp()
    assert 1 <= memories.min() < 20
    assert 750 < memories.max() <= 783
    assert torch.equal(lstm.bias_ih_l0[:400], -forget)
    assert not lstm.bias_hh_l0[:800].any()


@pytest.mark.parametrize("features", [1, 28])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_reconstruction_has_the_shape_of_the_inputs_and_every_parameter_gets_a_gradient(variant, features):
    torch.manual_seed(0)
    model = VARIANTS[variant](features)
    inputs = torch.rand(4, 7, features)
    reconstruction = model(inputs).reconstruction
    assert reconstruction.shape == inputs.shape
    (reconstruction - inputs).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_the_reports_autoencoder_is_two_lstms_and_bounded():
    model = Autoencoder(features=1, hidden_size=8)
    lstms = [(m.input_size, m.hidden_size, m.num_layers) for m in model.modules() if isinstance(m, nn.LSTM)]
    assert lstms == [(1, 8, 1), (8, 1, 1)]
    assert not any(isinstance(module, nn.Linear) for module in model.modules())
    assert model(100 * torch.randn(3, 9, 1)).reconstruction.abs().max() < 1


def test_the_bottlenecks_decoder_sees_the_code_alone():
    model = BottleneckAutoencoder(features=2, hidden_size=4).eval()
    inputs = torch.rand(3, 6, 2)
    code = model.encode(inputs)
    assert code.shape == (3, model.latent_size)
    assert torch.equal(model.decode(code, time=6), model(inputs).reconstruction)


def test_a_bidirectional_code_holds_the_last_state_of_both_directions():
    model = BottleneckAutoencoder(features=2, hidden_size=4, num_layers=2, bidirectional=True).eval()
    inputs = torch.rand(3, 6, 2)
    states, _ = model.encoder(inputs)  # (batch, time, 2 * hidden)
    expected = torch.cat([states[:, -1, :4], states[:, 0, 4:]], dim=1)
    assert torch.allclose(model.encode(inputs), expected)


def test_a_reversed_target_is_the_same_decoding_backwards():
    torch.manual_seed(0)
    forwards = BottleneckAutoencoder(features=1, hidden_size=4)
    backwards = BottleneckAutoencoder(features=1, hidden_size=4, reverse_target=True)
    backwards.load_state_dict(forwards.state_dict())
    code = torch.rand(2, 4)
    assert torch.equal(forwards.decode(code, time=5), backwards.decode(code, time=5).flip(1))


def test_the_forget_bias_is_set_once_and_moves_nothing_else():
    torch.manual_seed(0)
    lstm = nn.LSTM(2, 3, num_layers=2, bidirectional=True)
    before = {name: value.clone() for name, value in lstm.named_parameters()}
    set_forget_bias(lstm, 1.5)
    for name, value in lstm.named_parameters():
        if "bias" in name:
            assert (value[3:6] == (1.5 if "bias_ih" in name else 0)).all()
            assert torch.equal(value[:3], before[name][:3])
            assert torch.equal(value[6:], before[name][6:])
        else:
            assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, "`hidden_size` must be at least 1, got 0"),
        ({"hidden_size": 2, "num_layers": 0}, "`num_layers` must be at least 1, got 0"),
        ({"hidden_size": 2, "dropout": 1.0}, r"`dropout` must lie in \[0, 1\), got 1.0. Use dropout=0"),
    ],
)
def test_bad_values_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        BottleneckAutoencoder(features=1, **options)
