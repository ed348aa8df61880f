"""Phases of a run: each learns some of the params, by settings of its own."""

from dataclasses import replace

import numpy as np
import pytest

from featlearn.errors import ConfigError, DivergedError
from featlearn.models.autoencoder import Autoencoder
from featlearn.models.base import DRAWS, Layer, Phase, Step
from featlearn.models.rbm import RBM
from featlearn.models.settings.rbm import MOST_STEPS
from featlearn.random import STREAMS, Purpose, Random
from featlearn.training import schedules
from featlearn.training.config import TrainConfig
from featlearn.training.train import Training
from helpers import Rows, go_on, same

N, N_VISIBLE = 230, 12
CONFIG = {"activation": "sigmoid", "tied": False, "output_units": "linear", "loss": "squared"}


class Halves(Autoencoder):
    """An autoencoder whose encoder is learned first, then the decoder, twice."""

    def __init__(self):
        super().__init__(Autoencoder.Config(hidden=8, loss_scale=1.0, **CONFIG))

    def phases(self):
        return [
            self.phase("encoder", "Wc", epochs=2),
            self.phase("decoder", "Db", optimizer="adam", epochs=3, decay="l2", decay_weight=0.3),
            self.phase("search", "Db", optimizer="cg", epochs=4),
        ]

    def phase(self, name, learns, **training):
        def gradient(X, step):
            metrics, grads = self.gradient(X, step)
            return metrics, {key: grads[key] for key in learns}

        return Phase(name, gradient, tuple(learns), training=training)


def run_of(**config):
    model = Halves()
    model.init(N_VISIBLE, Random(3))
    X = np.random.default_rng(0).random((N, N_VISIBLE), np.float32)
    settings = {"batch_size": 50, "lr": 0.05, "decay": "l2", "decay_weight": 0.2} | config
    return Training(model, Rows(X), TrainConfig(**settings), seed=5)


def copies(arrays):
    return {name: w.copy() for name, w in arrays.items()}


def test_only_what_a_phase_learns_is_updated_and_decayed(monkeypatch):
    training, seen = run_of(), {}
    training.run(on_epoch=lambda at: seen.update({at.progress.epochs_done: copies(at.model.params)}))
    assert training.history["phase"] == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    # the run's, and the optimizers' own
    assert [leg.config.lr for leg in training.legs] == [0.05, 0.001, None]
    for learns, kept, epochs in (("Wc", "Db", (1, 2)), ("Db", "Wc", (2, 5)), ("Db", "Wc", (5, 9))):
        before, after = (seen[epoch] for epoch in epochs)
        assert all(np.array_equal(before[key], after[key]) for key in kept)
        assert all(not np.array_equal(before[key], after[key]) for key in learns)


def test_a_stopped_run_goes_on_in_the_same_bytes():
    """After every update of every phase."""
    whole, stopped, stops = run_of(), run_of(), 0
    assert whole.run()
    while not stopped.run(on_batch=lambda training: True):
        stopped, stops = go_on(stopped, run_of()), stops + 1
    assert stops == whole.total_updates - 1 == 10 + 15 + 4 - 1
    assert same(whole.model.params, stopped.model.params)
    assert same(whole.model.state, stopped.model.state)
    for key, column in whole.history.items():
        assert np.array(column).tobytes() == np.array(stopped.history[key]).tobytes(), key


def test_the_norm_is_of_the_weights_that_a_phase_learns():
    training = run_of()
    seen = []
    training.run(on_epoch=lambda at: seen.append(copies(at.model.params)))
    norms = [np.linalg.norm(w["W" if i < 2 else "D"].astype(float)) for i, w in enumerate(seen)]
    assert training.history["weight_norm"] == pytest.approx(norms)


def test_a_phase_may_search_where_another_could_not():
    training = run_of()
    training.run()
    losses = training.history["loss"][-4:]
    assert losses == sorted(losses, reverse=True)
    moving = replace(training.model.phase("search", "Wc", optimizer="lbfgs"), moving_loss="it moves")
    training.model.phases = lambda: [moving]
    with pytest.raises(ConfigError, match=r"--optimizer lbfgs: .* it moves"):
        Training(training.model, training.rows, TrainConfig())


def test_the_remedy_names_the_option_of_the_phase():
    training = run_of()
    wild = training.model.phase("decoder", "Db", lr=1e30, epochs=2)
    training.model.phases = lambda: [replace(wild, options={"lr": "upper_lr"})]
    with pytest.raises(DivergedError, match=r"lower --upper-lr, e\.g\. --upper-lr 1e\+29"):
        Training(training.model, training.rows, TrainConfig(optimizer="sgd")).run()


class Counter(Layer):
    """Sums over the rows; its gradient answers none."""

    def __init__(self, config=None, dtype=np.float32):
        super().__init__(config or object(), dtype)
        self.params, self.sum, self.updates = {"W": np.ones((N_VISIBLE, 1), np.float32)}, 0, []

    def encode(self, X):
        return X[:, :1]

    def decode(self, H):
        return np.repeat(H, N_VISIBLE, axis=1)

    def gradient(self, X, step):
        self.sum += len(X)
        self.updates.append((step.number, step.update, step.progress))
        return {"error": 1.0}, {}

    def phases(self):
        return [Phase("once", self.gradient, learns=()), Phase("twice", self.gradient, learns=(), updates=10)]


def test_a_phase_that_descends_nothing_takes_one_pass():
    """Unless it says how many updates; no parameter moves, whatever the decay."""
    model = Counter()
    training = Training(model, run_of().rows, TrainConfig(batch_size=50, decay="l2", decay_weight=0.5))
    training.run()
    assert model.sum == 3 * N
    assert (model.params["W"] == 1).all()
    assert [number for number, *_ in model.updates] == list(range(15))
    assert [update for _, update, _ in model.updates] == [*range(5), *range(10)]
    assert [share for *_, share in model.updates] == [
        *(i / 5 for i in range(5)),
        *(i / 10 for i in range(10)),
    ]


def test_streams_never_share_bits_and_a_step_has_no_more_names():
    names = {
        Step(number, 0, purpose, stream=stream).draw(k)
        for number in (0, 1, 2**38 - 1)
        for purpose in Purpose
        for stream in (0, 1, STREAMS - 1)
        for k in (0, 1, DRAWS - 1)
    }
    assert len(names) == 3 * len(Purpose) * 3 * 3
    assert max(names) < 2**64
    assert Step(5, 0).draw(3) == (3 << 48) | (5 << 10) | 3
    for k in (-1, DRAWS):
        with pytest.raises(ValueError, match="a step has names for 1024"):
            Step(5, 0).draw(k)
    with pytest.raises(ValueError, match="stream 256"):
        Step(5, 0, stream=STREAMS).draw(0)
    bits = [Random(0, stream).bits(100, Purpose.INIT) for stream in (0, 1)]
    assert not np.array_equal(*bits)


def test_the_longest_chain_of_an_rbm_has_names_for_its_draws():
    model = RBM(RBM.Config(hidden=2, visible="bernoulli", cd=MOST_STEPS, sample_data=True, persistent=True))
    model.init(3, Random(0))
    model.gradient(np.full((2, 3), 0.5, np.float32), Step(0, 0))
    with pytest.raises(ConfigError, match=f"--cd: got {MOST_STEPS + 1}, must be at most {MOST_STEPS}"):
        RBM.Config(cd=MOST_STEPS + 1)


def test_steps_draw_from_the_stream_of_the_run():
    seen = []
    begun = run_of()
    training = Training(begun.model, begun.rows, TrainConfig(batch_size=50), seed=5, stream=7)
    for leg in training.legs:
        gradient = leg.phase.gradient
        object.__setattr__(leg.phase, "gradient", lambda X, step, g=gradient: seen.append(step) or g(X, step))
    training.run(on_batch=lambda at: at.progress.phase == 1)
    assert [(step.stream, step.number) for step in seen] == [(7, i) for i in range(10)]


def test_schedules_begin_anew_with_each_phase(monkeypatch):
    """The first epochs of a phase have the initial momentum, its first updates the whole learning rate."""
    epochs, shares = [], []
    monkeypatch.setattr(
        schedules, "momentum", lambda initial, final, switch, epoch: epochs.append(epoch) or 0.5
    )
    monkeypatch.setattr(schedules, "learning_rate", lambda name, lr, share: shares.append(share) or lr)
    run_of().run()
    assert epochs == [*(5 * [0]), *(5 * [1]), *(5 * [0]), *(5 * [1]), *(5 * [2]), 0, 1, 2, 3]
    assert shares == [*(i / 10 for i in range(10)), *(i / 15 for i in range(15)), *(i / 4 for i in range(4))]


def test_units_that_tell_rows_apart_are_counted_in_each_phase():
    training, seen = run_of(), {}
    training.run(on_batch=lambda at: seen.update({at.progress.phase: at.progress.telling}) and False)
    assert (seen[0], seen[1]) == (8, 8)
