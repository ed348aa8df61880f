"""What measures of evaluate need: the options without which there are none."""

from featlearn.jobs.measure_keys import KEYS, OWN

ANNEALED = tuple(key.name for key in KEYS if key.group == "likelihood" and key.name not in OWN)
"""What a likelihood is asked for."""
OF_MODEL = ("error_rate", "loss", "commonest_error")
"""What models that know classes say of them."""
OF_TRAIN = ("free_energy_gap", *(k.name for k in KEYS if k.group == "classifier" and k.name not in OF_MODEL))
"""What follows from the data set that was learned from."""
RANDOM_NETS = tuple(key.name for key in KEYS if key.name.startswith("random_UNITS"))
"""Errors of nets from random weights."""
NETS = (*RANDOM_NETS, *(key.name for key in KEYS if key.name.startswith("finetuned")))
"""Errors of nets that learn few labels."""
