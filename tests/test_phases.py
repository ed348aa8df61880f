"""Phases of a run: a greedy stack of two layers, each learned from the codes of the one below."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from featlearn.errors import ConfigError, DivergedError
from featlearn.models.autoencoder import Autoencoder
from featlearn.models.base import DRAWS, Layer, Model, Phase, Step
from featlearn.models.pca import PCA
from featlearn.models.rbm import RBM
from featlearn.models.settings.rbm import MOST_STEPS
from featlearn.random import STREAMS, Purpose, Random
from featlearn.rows import Encoded
from featlearn.training import legs, schedules
from featlearn.training.config import TrainConfig
from featlearn.training.train import Training
from helpers import Rows, go_on, same

N, N_VISIBLE = 230, 12


class Below:
    """The layers below a layer; counts the rows that it encodes."""

    def __init__(self, layers):
        self.layers, self.rows = layers, 0

    def encode(self, X):
        self.rows += len(X)
        for layer in self.layers:
            X = layer.encode(X)
        return X


class Stack(Model):
    """Layers that each learn the codes of the one below; params and state are theirs, numbered."""

    id = "stack"

    def __init__(self, config=None, dtype=np.float32, first=None):
        self.layers = [first or RBM(RBM.Config(hidden=8, visible="bernoulli", cd=2)), upper()]
        self.below = [None, Below(self.layers[:1])]
        super().__init__(config=config or object(), dtype=dtype)

    def init(self, n_visible, rng, mean=None):
        for i, layer in enumerate(self.layers):
            layer.init(n_visible, Random(rng.seed, i))
            n_visible = layer.params["W"].shape[1]
        self.params = {
            f"{i}.{name}": w for i, layer in enumerate(self.layers) for name, w in layer.params.items()
        }

    @property
    def state(self):
        return {f"{i}.{name}": w for i, layer in enumerate(self.layers) for name, w in layer.state.items()}

    @state.setter
    def state(self, state):
        for i, layer in enumerate(self.layers):
            layer.state = {name[2:]: w for name, w in state.items() if name.startswith(f"{i}.")}

    @property
    def n_visible(self):
        return self.layers[0].n_visible

    @property
    def weights(self):
        return tuple(f"{i}.{name}" for i, layer in enumerate(self.layers) for name in layer.weights)

    def encode(self, X):
        return Below(self.layers).encode(X)

    def decode(self, H):
        for layer in reversed(self.layers):
            H = layer.decode(H)
        return H

    def phases(self):
        return [
            self.phase(0, "layer 0", epochs=2),
            self.phase(1, "layer 1", optimizer="adam", epochs=3, decay="l2", decay_weight=0.3),
            self.phase(1, "search", optimizer="cg", epochs=4),
        ]

    def phase(self, i, name, **training):
        layer = self.layers[i]
        (own,) = layer.phases()

        def gradient(X, step):
            metrics, grads = own.gradient(X, step)
            return metrics, {f"{i}.{key}": grad for key, grad in grads.items()}

        names = layer.shapes(1) if own.learns is None else own.learns
        learns = tuple(f"{i}.{name}" for name in names)
        phase = replace(own, name=name, gradient=gradient, learns=learns, part=layer, inputs=self.below[i])
        return replace(phase, training=training, stream=i)


def upper():
    config = {"activation": "sigmoid", "tied": False, "output_units": "linear", "loss": "squared"}
    return Autoencoder(Autoencoder.Config(hidden=5, loss_scale=1.0, **config))


FIRST = {"rbm": lambda: None, "pca": lambda: PCA(PCA.Config(hidden=8))}


def run_of(kind="rbm", **config):
    model = Stack(first=FIRST[kind]())
    model.init(N_VISIBLE, Random(3))
    X = np.random.default_rng(0).random((N, N_VISIBLE), np.float32)
    settings = {"batch_size": 50, "lr": 0.05, "decay": "l2", "decay_weight": 0.2} | config
    return Training(model, Rows(X), TrainConfig(**settings), seed=5)


def copies(arrays):
    return {name: w.copy() for name, w in arrays.items()}


def test_only_what_a_phase_learns_is_updated_decayed_and_projected(monkeypatch):
    training, seen, projected = run_of(), {}, []
    for i, layer in enumerate(training.model.layers):
        monkeypatch.setattr(layer, "project", partial(projected.append, i))

    def note(at):
        seen[at.progress.epochs_done] = copies(at.model.params), list(projected)

    training.run(on_epoch=note)
    assert training.history["phase"] == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    # the run's, and the optimizers' own
    assert [leg.config.lr for leg in training.legs] == [0.05, 0.001, None]
    before, middle, end = (seen[epoch][0] for epoch in (2, 5, 9))
    assert same(
        {k: w for k, w in before.items() if k[0] == "0"}, {k: w for k, w in end.items() if k[0] == "0"}
    )
    assert all(not np.array_equal(before[key], middle[key]) for key in before if key[0] == "1")
    assert all(not np.array_equal(middle[key], end[key]) for key in before if key[0] == "1")
    assert seen[2][1] == [0] * 10
    assert projected == [0] * 10 + [1] * 15 + [1] * 4


def test_codes_are_made_once(monkeypatch):
    """In memory, or in a file where they do not fit, to the same bytes."""
    kept = run_of()
    kept.run()
    assert kept.model.below[1].rows == 2 * (N + 1)  # two phases; one row tells the width
    monkeypatch.setattr(legs, "Encoded", partial(Encoded, memory=0))
    streamed = run_of()
    streamed.run()
    assert streamed.model.below[1].rows == 2 * (N + 1)
    assert [leg._rows for leg in kept.legs] == [None, None, None]  # and let go when the phase is over
    assert same(kept.model.params, streamed.model.params)


@pytest.mark.parametrize("kind", FIRST)
def test_a_stopped_run_goes_on_in_the_same_bytes(kind):
    """After every update of every phase; what finishes a phase may give the state other names."""
    whole, stopped, stops = run_of(kind), run_of(kind), 0
    assert whole.run()
    while not stopped.run(on_batch=lambda training: True):
        stopped, stops = go_on(stopped, run_of(kind)), stops + 1
    assert stops == whole.total_updates - 1 == {"rbm": 10, "pca": 5}[kind] + 15 + 4 - 1
    assert same(whole.model.params, stopped.model.params)
    assert same(whole.model.state, stopped.model.state)
    for key, column in whole.history.items():
        assert np.array(column).tobytes() == np.array(stopped.history[key]).tobytes(), key


def test_measures_are_of_the_part_that_learns_and_of_its_rows():
    training = run_of()
    seen = []
    training.run(on_epoch=lambda at: seen.append(copies(at.model.params)))
    model, X = training.model, training.rows.X
    H = model.layers[0].encode(X)
    Y = model.layers[1].reconstruct(H)
    assert training.history["probe_rmse"][-1] == pytest.approx(np.sqrt(np.mean((Y - H) ** 2)), rel=1e-5)
    whole = np.sqrt(np.mean((model.reconstruct(X) - X) ** 2))
    assert training.progress.measured["rmse"] == pytest.approx(whole, rel=1e-5)
    assert np.isfinite(training.history["probe_free_energy"]).tolist() == [True] * 2 + [False] * 7
    assert np.isfinite(training.history["loss"]).tolist() == [False] * 2 + [True] * 7
    norms = [np.sqrt(sum(np.square(w[k], dtype=float).sum() for k in ("1.W", "1.D"))) for w in seen]
    assert training.history["weight_norm"][2:] == pytest.approx(norms[2:])


def test_a_phase_may_search_where_another_could_not():
    training = run_of()
    training.run()
    losses = training.history["loss"][-4:]
    assert losses == sorted(losses, reverse=True)
    training.model.phases = lambda: [training.model.phase(0, "layer 0", optimizer="lbfgs")]
    with pytest.raises(ConfigError, match=r"--optimizer lbfgs: .* contrastive divergence draws new states"):
        Training(training.model, training.rows, TrainConfig())


def test_the_remedy_names_the_option_of_the_phase():
    training = run_of()
    wild = training.model.phase(1, "layer 1", lr=1e30, epochs=2)
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
    model = Stack(first=upper())
    model.init(N_VISIBLE, Random(3))
    assert not np.array_equal(model.params["0.W"][:5], model.params["1.W"])


def test_the_longest_chain_of_an_rbm_has_names_for_its_draws():
    model = RBM(RBM.Config(hidden=2, visible="bernoulli", cd=MOST_STEPS, sample_data=True, persistent=True))
    model.init(3, Random(0))
    model.gradient(np.full((2, 3), 0.5, np.float32), Step(0, 0))
    with pytest.raises(ConfigError, match=f"--cd: got {MOST_STEPS + 1}, must be at most {MOST_STEPS}"):
        RBM.Config(cd=MOST_STEPS + 1)


def test_steps_draw_from_the_stream_of_their_phase():
    training, seen = run_of(), []
    for leg in training.legs:
        gradient = leg.phase.gradient
        object.__setattr__(leg.phase, "gradient", lambda X, step, g=gradient: seen.append(step) or g(X, step))
    training.run(on_batch=lambda at: at.progress.phase == 2)
    assert [(step.stream, step.number) for step in seen] == [(int(i >= 10), i) for i in range(25)]


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
    assert (seen[0], seen[1]) == (8, 5)
