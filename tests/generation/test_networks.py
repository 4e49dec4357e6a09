"""Random networks: laws of their weights, shapes and parameters."""

import numpy as np
import pytest

from relscale.generation.activations import ACTIVATIONS, MAX_WAVES, sample_waves
from relscale.generation.config import Initialiser, MechanismPrior
from relscale.generation.networks import (
    WIDTH,
    initialise,
    sample_decoders,
    sample_encoders,
    sample_networks,
)

PRIOR = MechanismPrior()


def matrices(law: Initialiser, n: int, n_in: int, n_out: int, density: float | None = None) -> np.ndarray:
    weights = np.empty(n * n_in * n_out, np.float32)
    initialise(
        weights,
        np.arange(n) * n_in * n_out,
        np.full(n, n_in),
        np.full(n, n_out),
        density=None if density is None else np.full(n, density),
        prior=MechanismPrior(initialisers=(law,)),
        rng=np.random.default_rng(0),
    )
    return weights.reshape(n, n_in, n_out)


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
    weights = matrices(law, 400, 32, 8)
    assert abs(weights.mean()) < 0.02 * sd
    assert abs(weights.std() / sd - 1) < 0.01
    assert np.abs(weights).max() <= limit * (1 + 1e-6)
    kurtosis = np.mean((weights / weights.std()) ** 4)
    expected = {"normal": 3.0, "uniform": 1.8}.get(law.split("_")[-1])
    assert expected is None or law == "trunc_normal" or abs(kurtosis / expected - 1) < 0.03


def test_sparse_zeroes_half_of_every_output_and_all_of_a_single_input() -> None:
    weights = matrices("sparse", 50, 7, 32)
    assert ((weights == 0).sum(axis=1) == 4).all()
    assert len({tuple(column) for column in (weights[0] == 0).T}) > 5  # each column its own choice
    shares = (weights == 0).mean(axis=(0, 2))
    assert np.abs(shares - 4 / 7).max() < 0.05  # every input alike
    assert not matrices("sparse", 3, 1, 32).any()


def test_masks_keep_the_drawn_share_and_the_scale() -> None:
    weights = matrices("xavier_normal", 200, 32, 32, density=0.4)
    assert abs((weights != 0).mean() - 0.4) < 0.005
    assert abs(weights.std() / np.sqrt(2 / 64 / 0.4) - 1) < 0.01
    assert (matrices("xavier_normal", 3, 32, 32, density=1.0) != 0).all()


def test_equal_streams_give_equal_weights_and_others_do_not() -> None:
    first, again, other = (
        sample_encoders([0, 3], prior=PRIOR, rng=np.random.default_rng(seed)).networks.weights
        for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_networks_have_the_drawn_shapes() -> None:
    nets = sample_networks(
        np.array([1, 32] * 40), np.array([32, 1] * 40), prior=PRIOR, rng=np.random.default_rng(1)
    )
    depth = np.diff(nets.first)
    assert set(depth) == {2, 3, 4}
    for i in range(80):
        first, last = nets.first[i], nets.first[i + 1] - 1
        assert (nets.n_in[first], nets.n_out[last]) == ((1, 32) if i % 2 == 0 else (32, 1))
        np.testing.assert_array_equal(nets.n_out[first:last], nets.n_in[first + 1 : last + 1])
        assert nets.activation[last] == -1
        assert (nets.activation[first:last] >= 0).all()
    np.testing.assert_array_equal(np.diff(nets.start), (nets.n_in * nets.n_out)[:-1])
    assert len(nets.weights) == (nets.n_in * nets.n_out).sum()
    gains = np.log(nets.gain)
    assert -1 <= gains.min() < -0.9
    assert 0.9 < gains.max() <= 1


def test_only_the_listed_activations_are_drawn() -> None:
    prior = MechanismPrior(activations=("tanh", "sine_mixture"))
    nets = sample_networks(np.full(50, 32), np.full(50, 32), prior=prior, rng=np.random.default_rng(1))
    drawn = {ACTIVATIONS[a] for a in nets.activation if a >= 0}
    assert drawn == {"tanh", "sine_mixture"}
    mixtures = nets.wave_of[nets.activation == ACTIVATIONS.index("sine_mixture")]
    assert len(set(mixtures)) == len(mixtures)  # every layer its own
    assert mixtures.max() < len(nets.waves)


def test_drawn_sine_mixtures_keep_their_ranges() -> None:
    waves = sample_waves(400, rng=np.random.default_rng(0))
    assert waves.shape == (400, 3, MAX_WAVES)
    sizes = (waves[:, 0] != 0).sum(axis=1)
    assert set(sizes) == {3, 4, 5, 6, 7}
    assert 0.1 <= waves[:, 1].min() < 0.12
    assert 9 < waves[:, 1].max() <= 10
    assert abs(np.median(waves[:, 1]) - 1) < 0.1
    assert 0 <= waves[:, 2].min() < waves[:, 2].max() < 2 * np.pi + 1e-6


def test_encoders_and_decoders_follow_their_types() -> None:
    encoders = sample_encoders([0, 4, 2], prior=PRIOR, rng=np.random.default_rng(3))
    assert encoders.classes.shape == (6, WIDTH)
    assert encoders.class_start.tolist() == [0, 0, 4]
    assert encoders.networks.n_in[encoders.networks.first[:-1]].tolist() == [1, 32, 32]
    decoders = sample_decoders([0, 4, 2], prior=PRIOR, rng=np.random.default_rng(3))
    assert decoders.networks.n_out[decoders.networks.first[1:] - 1].tolist() == [1, 32, 32]
