"""Random networks: laws of their weights, and what they compute."""

import numpy as np
import pytest

from relscale.generation.config import Initialiser, MechanismPrior
from relscale.generation.mechanisms import (
    HIDDEN_LIMIT,
    WIDTH,
    Mlp,
    initialise,
    sample_decoders,
    sample_encoders,
    sample_mlps,
)

PRIOR = MechanismPrior()


@pytest.mark.parametrize(
    ("law", "sd", "limit"),
    [
        ("kaiming_normal", np.sqrt(2 / 8), np.inf),
        ("kaiming_uniform", np.sqrt(2 / 8), np.sqrt(6 / 8)),
        ("xavier_normal", np.sqrt(2 / 40), np.inf),
        ("xavier_uniform", np.sqrt(2 / 40), np.sqrt(6 / 40)),
        ("trunc_normal", 0.8796, 2.0),
        ("sparse", 0.01 * np.sqrt(0.5), np.inf),
    ],
)
def test_initialiser_moments(law: Initialiser, sd: float, limit: float) -> None:
    weights = initialise(law, 400, 32, 8, rng=np.random.default_rng(0))
    assert weights.shape == (400, 32, 8)
    assert weights.dtype == np.float32
    assert abs(weights.mean()) < 0.02 * sd
    assert abs(weights.std() / sd - 1) < 0.01
    assert np.abs(weights).max() <= limit * (1 + 1e-6)


def test_sparse_zeroes_half_of_every_output_and_all_of_a_single_input() -> None:
    weights = initialise("sparse", 50, 7, 32, rng=np.random.default_rng(0))
    assert ((weights == 0).sum(axis=1) == 4).all()
    assert len({tuple(column) for column in (weights[0] == 0).T}) > 5  # each column its own choice
    assert not initialise("sparse", 3, 1, 32, rng=np.random.default_rng(0)).any()


def test_masks_keep_the_drawn_share_and_the_scale() -> None:
    prior = MechanismPrior(weight_density=(0.4, 0.4), initialisers=("xavier_normal",), mlp_layers=(3, 3))
    mlps = sample_mlps([(32, 32)] * 60, prior=prior, rng=np.random.default_rng(0))
    weights = np.stack([w for mlp in mlps for w in mlp.weights])
    assert abs((weights != 0).mean() - 0.4) < 0.01
    assert abs(weights.std() / np.sqrt(2 / 64 / 0.4) - 1) < 0.01


def test_networks_have_the_drawn_shapes() -> None:
    mlps = sample_mlps([(1, 32), (32, 1)] * 40, prior=PRIOR, rng=np.random.default_rng(1))
    assert {len(mlp.weights) for mlp in mlps} == {2, 3, 4}
    for number, mlp in enumerate(mlps):
        n_in, n_out = [(1, 32), (32, 1)][number % 2]
        assert mlp.weights[0].shape[0] == n_in
        assert mlp.weights[-1].shape[1] == n_out
        assert len(mlp.activations) == len(mlp.gains) == len(mlp.weights) - 1
    gains = np.log([g for mlp in mlps for g in mlp.gains])
    assert -1 <= gains.min() < -0.9
    assert 0.9 < gains.max() <= 1


def test_a_network_is_its_definition() -> None:
    x = np.random.default_rng(0).standard_normal((20, WIDTH)).astype(np.float32)
    smooth = MechanismPrior(activations=("tanh", "silu", "bent_identity"), initialisers=("xavier_normal",))
    for mlp in sample_mlps([(WIDTH, WIDTH)] * 20, prior=smooth, rng=np.random.default_rng(2)):
        hidden = x.astype(np.float64)
        for weight, activation, gain in zip(mlp.weights, mlp.activations, mlp.gains, strict=False):
            hidden = np.clip(gain * activation(hidden @ weight), -1e6, 1e6)
        expected = 3 * (hidden @ mlp.weights[-1])
        np.testing.assert_allclose(mlp(x, 3.0), expected, atol=2e-5 * np.abs(expected).max())


def test_hidden_units_are_clamped_after_the_gain_and_the_output_is_not() -> None:
    def identity(x: np.ndarray) -> np.ndarray:
        return x.copy()

    ones = np.ones((1, 1), np.float32)
    mlp = Mlp(weights=(ones, 5 * ones), activations=(identity,), gains=(2.0,))
    inputs = np.array([[-1e9], [4e5], [6e5]], np.float32)
    np.testing.assert_allclose(mlp(inputs)[:, 0], [-5 * HIDDEN_LIMIT, 4e6, 5 * HIDDEN_LIMIT], rtol=1e-6)


def test_encoders_and_decoders_follow_their_types() -> None:
    rng = np.random.default_rng(3)
    number, classes = sample_encoders([0, 4], prior=PRIOR, rng=rng)
    assert number.classes is None
    assert classes.classes is not None
    assert classes.classes.shape == (4, WIDTH)
    labels = np.array([3, 0, 3])
    np.testing.assert_array_equal(classes(labels), classes.mlp(classes.classes[labels]))
    values = np.array([0.5, -2.0], np.float32)
    np.testing.assert_array_equal(number(values), number.mlp(values[:, None]))
    embedding = rng.standard_normal((50, WIDTH)).astype(np.float32)
    number_out, class_out = sample_decoders([0, 4], prior=PRIOR, rng=rng)
    np.testing.assert_array_equal(number_out(embedding), number_out.mlp(embedding)[:, 0])
    logits = class_out.mlp(embedding) @ class_out.classes.T  # type: ignore[union-attr]
    np.testing.assert_array_equal(class_out(embedding), [int(np.argmax(row)) for row in logits])
