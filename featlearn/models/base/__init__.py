"""The contract of a model. A model knows kernels and arrays: no files, no epochs, no printing.

What training and all commands need:

    init(n_visible, rng, mean)  make params (and state); mean is the data's, where it is known
    shapes(n_visible)   those of params, without making them: what a file is held against
    encode(X) -> H      the hidden code of each row; a row's code does not depend on its neighbours
    decode(H) -> X      the reconstruction from codes
    reconstruct(X)      decode(encode(X)), unless codes for use are others than those for reconstruction
    gradient(X, step)   (metrics, grads) of a minibatch. grads has keys and shapes of the params that are
                        learned: training descends, so it is the gradient of a loss. metrics are plain floats:
                        "error" (RMSE), "mean_activation", and "loss" where that can be computed
    project()           put params back to where they are allowed to be, after every update
    phases()            the legs of a training run: one, unless the model says more (see Phase)
    title, papers       what it is in a sentence, and what to cite for it
    n_visible, weights  the size of a row; the names of the params that are weights, which alone decay
    filters()           what each hidden unit looks for
    encoder_layers(), decoder_layers()  encode and decode as chains of dense layers, for fine-tuning
    tunable             what can be fine-tuned instead, in words, where encode is no such chain
    settings_like(encoder, decoder), begin_as(encoder, decoder)  settings and params with which it codes as
                        these layers of another model do
    labelled            whether it learns of rows with their classes
    layered(), layers   whether it is a stack of models, and which: those are trained one by one

Fine-tuning goes on from encoder_layers() and decoder_layers(), which say of which dense layers encode and
decode are. A model that is `labelled` learns of rows [x | t] with their classes, whose parts are visible(X)
and targets(X): its metrics may hold "error_rate" in place of "error", and where it gives no rows back,
`decodes` says so. A model `of_pairs` learns of pairs of pictures; its codes alone give no rows. Where a
training has a file of wanted activities, its run sets `hidden_targets`, (rows, hidden), and step.rows says
which of them are a minibatch's.

Settings that are not said are decided by `defaults` (for all data), resolve(config, data),
usual_rates(config, data) and wanted_spread(config, data). Tests and advice ask for losses(), variants(),
extra_metrics(X), wanted_activity, takes_mean_off, doubts and remedies(), export for portable(g, X) and
encode_state: all have an answer where a model says nothing. What only some models can do stands in
protocols: HasChain, HasClassChain, IsBoltzmann, IsClassifier.
Minibatch order, momentum, decay, schedules, stopping, history and checkpoints exist once, in training/.
"""

from featlearn.models.base.capabilities import (
    BoltzmannMachine,
    ChainOfRows,
    HasChain,
    HasClassChain,
    IsBoltzmann,
    IsClassifier,
)
from featlearn.models.base.data import DataSummary
from featlearn.models.base.model import MAX_UNITS, UNIT_SPREAD, Defaults, HiddenConfig, Layer, Model
from featlearn.models.base.papers import Paper
from featlearn.models.base.phases import DRAWS, Curvature, Gradients, Loss, Phase, Step

__all__ = [
    "DRAWS",
    "MAX_UNITS",
    "UNIT_SPREAD",
    "BoltzmannMachine",
    "ChainOfRows",
    "Curvature",
    "DataSummary",
    "Defaults",
    "Gradients",
    "HasChain",
    "HasClassChain",
    "HiddenConfig",
    "IsBoltzmann",
    "IsClassifier",
    "Layer",
    "Loss",
    "Model",
    "Paper",
    "Phase",
    "Step",
]
