"""Pictures of what units do: how often and how strongly they are active, and which waves they look for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from featlearn.pictures.figure import (
    SMALL,
    WIDTH,
    Look,
    draw_plot,
    show_image,
)
from featlearn.rows import Array

STEPS = 30  # of the histogram of units
DARK, LIGHT = 0, 225  # tones of a step that holds all rows, and of one that holds a single row
NYQUIST = 0.5  # cycles a pixel
POLAR, BELOW = 2.3, 0.7  # inches: height of the plot, and of what stands below its half circle


@dataclass(frozen=True)
class Activity:
    """How units are active over `n` rows.

    share      (units,) share of the rows in which a unit is active
    counts     (units, bins) rows by code, between the codes `low` and `high`
    dead, dense (units,) units that never leave rest, and that are active in most rows
    words      what counts as active
    """

    n: int
    share: Array
    counts: Array
    low: float
    high: float
    dead: Array
    dense: Array
    words: str


def activity_picture(activity: Activity, look: Look, format: str, text: Mapping[str, str]) -> bytes:
    """Return a picture of how many units are how often active, above the histogram of each unit's codes."""

    def paint(figure: Any) -> None:
        upper, lower = figure.subplots(2, height_ratios=(1, 1.3))
        _shares(upper, activity)
        _codes(lower, activity)

    return draw_plot(paint, 3.8, look, format, text)


def _shares(axes: Any, activity: Activity) -> None:
    """Draw units by the share of rows that they are active in; dead ones left of all shares."""
    least = 1 / activity.n
    ends = np.geomspace(least, 1, STEPS + 1)
    ends[-1] = 1 + 1e-9  # 1 itself counts
    silent = activity.share < least * (1 - 1e-9)
    kinds = {
        "dead": (activity.dead, "white", "xxxx"),
        "dense": (activity.dense & ~activity.dead, "0.6", "////"),
        "others": (~activity.dense & ~activity.dead, "0.25", ""),
    }
    below, never = np.zeros(STEPS), 0
    widths = np.diff(ends)
    for name, (which, colour, hatch) in kinds.items():
        height = np.histogram(activity.share[which & ~silent], ends)[0]
        how = {"color": colour, "hatch": hatch, "edgecolor": "black", "linewidth": 0.4, "align": "edge"}
        axes.bar(ends[:-1], height, widths, below, label=f"{name}: {np.count_nonzero(which)}", **how)
        below = below + height
        count = int(np.count_nonzero(which & silent))
        if count:
            axes.bar(least / 4, count, least / 2, never, **how)
            never += count
    if never:
        axes.annotate(
            "never",
            (least / 2, never),
            (0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=SMALL,
        )
    axes.set_xscale("log")
    axes.set_xlim(least / 5 if never else least, 1)
    axes.set_xlabel(f"share of {activity.n:,} rows in which a unit is active\n({activity.words})")
    axes.set_ylabel("units")
    axes.margins(y=0.15)
    axes.legend(frameon=False, loc="best")


def _codes(axes: Any, activity: Activity) -> None:
    """Draw the histogram of each unit's codes as a column of grey tones, the most active unit first."""
    order = np.argsort(-activity.share, kind="stable")
    share = activity.counts[order] / activity.n
    with np.errstate(divide="ignore"):
        rare = np.log(share) / np.log(1 / max(activity.n, 2))  # 0 all rows, 1 a single one
    tones = np.where(share > 0, DARK + np.clip(rare, 0, 1) * (LIGHT - DARK), 255)
    image = np.rint(tones).astype(np.uint8).T[::-1]
    show_image(axes, image, extent=(0, len(order), activity.low, activity.high))
    axes.set_xlabel("units, the most active first")
    axes.set_ylabel("code (dark: many rows, log)")


def polar_picture(
    frequency: Array,
    orientation: Array,
    edge: Array,
    unfitted: int,
    look: Look,
    format: str,
    text: Mapping[str, str],
) -> bytes:
    """Return a picture of units by the orientation of their bars (degrees) and frequency (cycles a pixel).

    Those that are an `edge` (k,) are filled; so many more units are `unfitted`.
    """
    words = [f"edges: {np.count_nonzero(edge)}", f"spots: {np.count_nonzero(~edge)}"]
    below = "radius: frequency (cycles a pixel); angle: orientation of the bars"
    below += f"\n{unfitted} more {'unit is' if unfitted == 1 else 'units are'} neither" if unfitted else ""

    def paint(figure: Any) -> None:
        figure.set_layout_engine("none")  # which leaves the room of the lower half
        high = figure.get_figheight()
        # half a circle stands in the middle of the square that a whole one takes
        place = (0.1, (BELOW - 0.2 * WIDTH) / high, 0.8, 0.8 * WIDTH / high)
        axes = figure.add_axes(place, projection="polar")
        axes.set_thetamin(0)
        axes.set_thetamax(180)
        for which, name, fill in ((edge, words[0], "black"), (~edge, words[1], "white")):
            axes.plot(
                np.radians(orientation[which]),
                frequency[which],
                "o",
                markersize=3,
                markerfacecolor=fill,
                markeredgecolor="black",
                markeredgewidth=0.5,
                label=name,
                clip_on=False,
                zorder=3,
            )
        axes.set_rmax(max(NYQUIST, float(np.nanmax(frequency, initial=0.0))))
        axes.set_rticks([0.1, 0.2, 0.3, 0.4, 0.5])
        axes.set_thetagrids(range(0, 181, 30))
        axes.grid(alpha=0.4)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.2), ncols=2, frameon=False)
        figure.text(0.5, 0.04 / high, below, ha="center", va="bottom")

    return draw_plot(paint, POLAR, look, format, text)
