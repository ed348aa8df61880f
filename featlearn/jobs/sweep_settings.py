"""The settings of a sweep."""

from dataclasses import dataclass

from featlearn.jobs.settings import Checked
from featlearn.settings import setting


@dataclass(frozen=True)
class Search(Checked):
    """What a sweep tries, how, and which run is best."""

    set_: tuple[str, ...] = setting(
        (),
        "values of one setting to try, as lr=.1,.3, or a range to draw from: lr=.01..1 is uniform in the "
        "logarithm, momentum=0..0.9:linear in the value; of a setting that takes several numbers itself each "
        "--set gives one value",
        metavar="NAME=VALUES",
    )
    samples: int | None = setting(
        None, "draw N settings at random", low=1, high=100_000, off="try all with each other"
    )
    seeds: int = setting(1, "learn each with N seeds, from --seed on", low=1, high=1000)
    jobs: int | None = setting(
        None, "runs at a time; they share --threads out  [default: one for each thread]", low=1, high=1024
    )
    evaluate: str | None = setting(
        None, "measure every model on this data set, too", metavar="DATASET", off="none"
    )
    best: str | None = setting(
        None,
        "which run is best, by a column of the table: the least, or with NAME:max the largest; a name stands "
        "for that of --evaluate, of the held-out rows, or of all  [default: rmse, of classes error_rate]",
        metavar="NAME",
    )
