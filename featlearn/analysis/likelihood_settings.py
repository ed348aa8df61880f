"""The settings of a likelihood."""

from dataclasses import dataclass

from featlearn.settings import check, setting


@dataclass(frozen=True)
class LikelihoodConfig:
    """What to compute, and how long to anneal."""

    likelihood: str | None = setting(
        None,
        "add the log-likelihood: exact (up to 22 units in the smaller layer; gaussian: in the hidden one), "
        "by annealed importance sampling, or auto: exact where it can be, else by sampling",
        choices=("auto", "exact", "ais"),
    )
    ais_chains: int = setting(100, "AIS: number of chains", low=2, needs="likelihood=auto|ais")
    ais_betas: int = setting(
        14_500,
        "AIS: number of distributions between base model and model",
        low=10,
        needs="likelihood=auto|ais",
    )
    burn_in: int = setting(
        1000, "AIS: Gibbs steps that prepare data for the way back", low=0, needs="likelihood=auto|ais"
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def steps(self) -> int:
        """Steps of the chains, there and back."""
        return 2 * self.ais_betas + self.burn_in if self.likelihood == "ais" else 0
