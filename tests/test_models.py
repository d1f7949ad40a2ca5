"""Models: every parameter learns, shapes hold, and each variant is what its source says."""

import pytest
import torch
from torch import nn

from lstm_ae.models import Autoencoder, BottleneckAutoencoder
from lstm_ae.models.layers import set_forget_bias

VARIANTS = {
    "autoencoder": lambda features: Autoencoder(features, hidden_size=5),
    "bottleneck": lambda features: BottleneckAutoencoder(features, hidden_size=5),
    "bottleneck, all options": lambda features: BottleneckAutoencoder(
        features, hidden_size=5, num_layers=2, bidirectional=True, dropout=0.2, forget_bias=1.0, reverse_target=True
    ),
}


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
    assert code.shape == (3, model.code_size)
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
