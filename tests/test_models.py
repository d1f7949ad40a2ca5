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
    VariationalAutoencoder,
)
from lstm_ae.models.kernel import LSTM
from lstm_ae.models.layers import last_and_max, lengthen_memories, run, set_chrono_bias, set_forget_bias
from lstm_ae.types import Batch, Output, answering

VARIANTS = {
    "autoencoder": lambda features: Autoencoder(features, hidden_size=5),
    "bottleneck": lambda features: BottleneckAutoencoder(features, hidden_size=5),
    "bottleneck, all options": lambda features: BottleneckAutoencoder(
        features, hidden_size=5, latent_size=3, num_layers=2, bidirectional=True, dropout=0.2, reverse_target=True
    ),
    "variational": lambda features: VariationalAutoencoder(features, hidden_size=5, latent_size=3),
}


SIZES = {"classes": 4, "hidden_size": 5}
CLASSIFIERS = {
    "v1": lambda features: InputClassifier(features, time=7, **SIZES),
    "v2": lambda features: ReconstructionClassifier(features, **SIZES),
    "v3": lambda features: TwinClassifier(features, head_layers=1, **SIZES),
    "v4": lambda features: TwinClassifier(features, head_layers=2, **SIZES),
    "v3_experimental": lambda features: StateClassifier(features, encoders=1, **SIZES),
    "v4_experimental": lambda features: StateClassifier(features, encoders=2, **SIZES),
    "pooled": lambda features: PooledClassifier(features, **SIZES),
    "pooled, mean": lambda features: PooledClassifier(
        features, pooling="mean", input_noise=0.5, input_offset=0.5, **SIZES
    ),
    "pooled, one direction": lambda features: PooledClassifier(
        features, bidirectional=False, pooling="both", dropout=0.1, memory=7, **SIZES
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


def test_input_noise_is_added_in_training_to_what_was_observed():
    torch.manual_seed(0)
    model = CLASSIFIERS["pooled, mean"](3)
    inputs, observed = torch.zeros(2, 7, 3), torch.zeros(2, 7, 3, dtype=torch.bool)
    assert torch.equal(model(inputs, observed=observed).prediction, model.eval()(inputs).prediction)
    observed[0, 6, 2] = True
    differs = (model.train()(inputs, observed=observed).prediction != model.eval()(inputs).prediction).any(dim=1)
    assert differs.tolist() == [True, False]


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


@pytest.mark.parametrize("lengths", [None, (7, 4)])
def test_predictor_v2_does_not_see_the_last_step_and_v3_does(lengths):
    inputs = torch.rand(2, 7, 1)
    other = inputs.clone()
    lengths = None if lengths is None else torch.tensor(lengths)
    other[[0, 1], [6, 6] if lengths is None else lengths - 1] += 1
    for variant, same in (("predictor_v2", True), ("predictor_v3", False)):
        model = PREDICTORS[variant](1)
        assert torch.equal(model(inputs, lengths).prediction, model(other, lengths).prediction) == same


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
    lstm = LSTM(2, 6, batch_first=True)
    inputs = torch.randn(3, 130, 2)
    _, last, max_state = last_and_max(lstm, inputs, None, keep_states=False)
    states, last_whole, max_whole = last_and_max(lstm, inputs, None, keep_states=True)
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


def test_lengthened_memories_forget_and_add_a_factor_less_in_each_step():
    lstm = nn.LSTM(1, 50, batch_first=True, bidirectional=True)
    set_chrono_bias(lstm, longest=200)
    before = {name: bias.detach().clone() for name, bias in lstm.named_parameters()}
    lengthen_memories(lstm, 4)
    for name, bias in lstm.named_parameters():
        added, kept = bias[:50].sigmoid(), bias[50:100].sigmoid()
        if name.startswith("bias_ih"):
            memory = before[name][50:100].exp()  # 1 / (1 - kept) - 1
            assert torch.allclose(1 / (1 - kept) - 1, 4 * memory, rtol=1e-3)
            assert torch.allclose(1 / added - 1, 4 * memory, rtol=1e-3)
            assert torch.equal(bias[100:], before[name][100:])
        else:
            assert torch.equal(bias, before[name])


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


def test_the_bottlenecks_decoder_sees_the_latent_alone():
    model = BottleneckAutoencoder(features=2, hidden_size=4).eval()
    inputs = torch.rand(3, 6, 2)
    latent = model(inputs).latent
    assert latent.shape == (3, 4)
    assert torch.equal(latent, model.encode(inputs))
    assert torch.equal(model.decode(latent, time=6), model(inputs).reconstruction)


def test_the_latent_is_all_that_the_decoder_is_given():
    """Whatever else a sequence held, the same latent gives the same reconstruction."""
    inputs = torch.rand(3, 6, 2)
    everything = Autoencoder(features=2, hidden_size=4)
    output = everything(inputs)
    assert output.latent.shape == (3, 6, 4)
    assert torch.equal(everything.decode(output.latent), output.reconstruction)
    narrow = BottleneckAutoencoder(features=2, hidden_size=4, latent_size=3, dropout=0.5)
    for dropping in (narrow, VARIANTS["variational"](2)):
        output = dropping.train()(inputs)  # what is dropped or drawn is so in the latent that is returned
        assert output.latent.shape == (3, 3)
        assert torch.allclose(dropping.decode(output.latent, time=6), output.reconstruction)


def test_a_bidirectional_latent_holds_the_last_state_of_both_directions():
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
    latent = torch.rand(2, 4)
    assert torch.equal(forwards.decode(latent, time=5), backwards.decode(latent, time=5).flip(1))


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
        ({"hidden_size": 2, "latent_size": 0}, "`latent_size` must be at least 1, got 0"),
        ({"hidden_size": 2, "num_layers": 0}, "`num_layers` must be at least 1, got 0"),
        ({"hidden_size": 2, "dropout": 1.0}, "`dropout` must be below 1, got 1.0. Use dropout=0"),
    ],
)
def test_bad_values_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        BottleneckAutoencoder(features=1, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, "`hidden_size` must be at least 1, got 0"),
        ({"latent_size": 0}, "`latent_size` must be at least 1, got 0"),
        ({"kl_weight": -1}, "`kl_weight` must be at least 0, got -1"),
        ({"warm_up": -1}, "`warm_up` must be at least 0, got -1"),
    ],
)
def test_bad_values_of_the_variational_autoencoder_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        VariationalAutoencoder(**{"features": 1, "hidden_size": 2, "latent_size": 2} | options)


def test_the_divergence_of_the_variational_autoencoder_is_that_of_its_normal_distributions():
    model = VARIANTS["variational"](2).eval()
    inputs = torch.rand(4, 6, 2)
    mean, log_variance = model.encode(inputs)
    drawn = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    standard = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(drawn, standard).sum(dim=1).mean()
    output = model(inputs)
    assert torch.allclose(output.losses["kl"], expected, atol=1e-6)
    assert torch.equal(output.latent, mean)
    assert not torch.equal(model.train()(inputs).latent, mean)


MODELS = {**VARIANTS, **CLASSIFIERS, **PREDICTORS}
#: The classifier of the raw input has weights for every step of the longest sequence: alone, a sequence is padded too.
PADDED_ALONE = {"v1"}
LENGTHS = torch.tensor([7, 2, 5, 1])


def alone(variant, inputs, row):
    """A sequence as a batch of its own."""
    own = inputs[row : row + 1]
    return (own, LENGTHS[row : row + 1]) if variant in PADDED_ALONE else (own[:, : LENGTHS[row]], None)


def ragged_model(variant, features):
    torch.manual_seed(2)
    model = MODELS[variant](features).double().eval()
    if variant == "residual_predictor":
        torch.nn.init.normal_(model.head.weight)
    inputs = torch.randn(len(LENGTHS), 7, features, dtype=torch.float64)
    inputs[torch.arange(7) >= LENGTHS.unsqueeze(1)] = 0
    return model, inputs


def pieces(output, length):
    """What an output says of one sequence, padding cut off; its losses too, where a model has some."""
    over_time = [output.reconstruction]
    over_time += [output.prediction] if output.prediction is not None and output.prediction.ndim == 3 else []
    over_time += [output.latent] if output.latent is not None and output.latent.ndim == 3 else []
    whole = [output.prediction] if output.prediction is not None and output.prediction.ndim == 2 else []
    whole += [output.latent] if output.latent is not None and output.latent.ndim == 2 else []
    return [values[:, :length] for values in over_time] + whole


def rows(output, row):
    """An output of a batch, of one of its sequences."""
    parts = (output.reconstruction, output.prediction, output.latent)
    return Output(*(None if part is None else part[row : row + 1] for part in parts))


@pytest.mark.parametrize("variant", MODELS)
def test_a_padded_batch_gives_each_sequence_what_it_gives_by_itself(variant):
    model, inputs = ragged_model(variant, 3)
    together = model(inputs, LENGTHS)
    divergences = []
    for row, length in enumerate(LENGTHS.tolist()):
        own = model(*alone(variant, inputs, row))
        divergences += list(own.losses.values())
        for ours, expected in zip(pieces(rows(together, row), length), pieces(own, length), strict=True):
            assert torch.allclose(ours, expected, atol=1e-6)
    for loss in together.losses.values():
        assert torch.allclose(loss, torch.stack(divergences).mean(), atol=1e-6)


@pytest.mark.parametrize("variant", MODELS)
def test_a_padded_batch_gives_the_gradients_that_its_sequences_give_by_themselves(variant):
    model, inputs = ragged_model(variant, 3)

    def gradients(outputs):
        model.zero_grad()
        values = [piece.square().sum() for output, length in outputs for piece in pieces(output, length)]
        torch.stack(values).sum().backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    together = model(inputs, LENGTHS)
    ours = gradients([(rows(together, row), length) for row, length in enumerate(LENGTHS.tolist())])
    expected = gradients([(model(*alone(variant, inputs, row)), length) for row, length in enumerate(LENGTHS.tolist())])
    for name, gradient in expected.items():
        assert torch.allclose(ours[name], gradient, atol=1e-6), name


@pytest.mark.parametrize("variant", [name for name in MODELS if name not in PADDED_ALONE])
def test_what_stands_in_the_padding_moves_nothing(variant):
    model, inputs = ragged_model(variant, 3)
    other = inputs.clone()
    other[torch.arange(7) >= LENGTHS.unsqueeze(1)] = 9
    for row, length in enumerate(LENGTHS.tolist()):
        first, second = (pieces(rows(model(values, LENGTHS), row), length) for values in (inputs, other))
        assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))


@pytest.mark.parametrize("variant", MODELS)
def test_lengths_that_are_all_the_same_change_nothing(variant):
    model, _ = ragged_model(variant, 3)
    inputs = torch.randn(4, 7, 3, dtype=torch.float64)
    first, second = model(inputs), model(inputs, torch.full((4,), 7))
    for ours, expected in zip(pieces(first, 7), pieces(second, 7), strict=True):
        assert torch.allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (2, True)])
def test_recurrence_stops_at_each_sequences_own_end(layers, bidirectional):
    torch.manual_seed(0)
    lstm = LSTM(2, 3, layers, batch_first=True, bidirectional=bidirectional).double()
    inputs = torch.randn(4, 7, 2, dtype=torch.float64)
    states, (hidden, memory) = run(lstm, inputs, LENGTHS)
    assert states.shape == (4, 7, 6 if bidirectional else 3)
    for row, length in enumerate(LENGTHS.tolist()):
        own, (own_hidden, own_memory) = run(lstm, inputs[row : row + 1, :length])
        assert torch.allclose(states[row : row + 1, :length], own, atol=1e-6)
        assert not states[row, length:].any()
        assert torch.allclose(hidden[:, row : row + 1], own_hidden, atol=1e-6)
        assert torch.allclose(memory[:, row : row + 1], own_memory, atol=1e-6)


class TestAnswering:
    """A model is given what its forward names, and a stranger's module reconstructs."""

    batch = Batch(torch.rand(2, 3, 1), lengths=torch.tensor([3, 2]), observed=torch.ones(2, 3, 1, dtype=torch.bool))

    def test_a_module_that_returns_a_tensor_reconstructs(self):
        assert torch.equal(answering(nn.Identity())(self.batch).reconstruction, self.batch.inputs)

    def test_lengths_and_observed_go_to_a_forward_that_names_them(self):
        class Asking(nn.Module):
            def forward(self, inputs, observed, lengths):
                self.given = observed, lengths
                return inputs

        model = Asking()
        answering(model)(self.batch)
        assert model.given == (self.batch.observed, self.batch.lengths)
