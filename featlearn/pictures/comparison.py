"""Models side by side: what their codes cost and keep, and how well few labels do with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featlearn.pictures.figure import (
    DASHES,
    SMALL,
    Look,
    draw_plot,
    legend_below,
    legend_height,
    line_look,
    name_in_legend,
)

SPAN = 20  # a panel whose values differ by more than this factor has a logarithmic axis
BESIDE = 1.03  # bars of different models stand side by side
OTHERS = "o^vD"  # markers of the lines that belong to no model


@dataclass(frozen=True)
class Curve:
    """A model in the panel of codes: points (levels, bits per pixel, RMSE).

    Those of `marked` levels stand out.
    """

    name: str
    points: Sequence[tuple[int, float, float]]
    marked: Sequence[int] = ()


@dataclass(frozen=True)
class Errors:
    """A line in the panel of errors: points (labels per class, mean error, standard deviation).

    Errors are shares.
    """

    name: str
    points: Sequence[tuple[int, float, float]]


@dataclass(frozen=True)
class Labels:
    """The panel of errors: of linear classifiers of each model, of each as a net that was fine-tuned, if any.

    linear[i] and nets[i] belong to the i-th curve and have its colour; `others` are grey.
    """

    linear: Sequence[Errors]
    nets: Sequence[Errors]
    others: Sequence[Errors]


def comparison(
    curves: Sequence[Curve], labels: Labels | None, look: Look, format: str, text: Mapping[str, str]
) -> bytes:
    """A picture with `text`: RMSE against bits and errors against labels, each where there are any."""
    coded = any(curve.points for curve in curves)
    names = [curve.name for curve in curves]
    names += [line.name for line in (*labels.nets, *labels.others)] if labels else []

    def paint(figure: Any) -> None:
        axes = figure.subplots(coded + (labels is not None), squeeze=False)[:, 0]
        lines = _codes(axes[0], curves) if coded else []
        if labels:
            linear, others = _labels(axes[-1], labels)
            lines += others if coded else linear + others
        legend_below(figure, lines)

    return draw_plot(paint, (5.0 if labels and coded else 2.6) + legend_height(names), look, format, text)


def _codes(axes: Any, curves: Sequence[Curve]) -> list[Any]:
    lines = []
    for i, curve in enumerate(curves):
        bits, rmse = ([point[i] for point in curve.points] for i in (1, 2))
        lines += axes.plot(bits, rmse, label=name_in_legend(curve.name), **line_look(i))
        for levels, x, y in curve.points:
            if levels in curve.marked:
                look = line_look(i)
                axes.plot(x, y, marker=look["marker"], markersize=5, color=look["color"])
                where = {"textcoords": "offset points", "fontsize": SMALL, "color": look["color"]}
                axes.annotate(str(levels), (x, y), (4, 4), **where)
    values = [y for curve in curves for _, _, y in curve.points if y > 0]
    if values and max(values) > SPAN * min(values):
        axes.set_yscale("log")
    axes.margins(x=0.1)
    axes.set_xlabel("bits per pixel (entropy of the quantised code)")
    axes.set_ylabel("RMSE (units of the preprocessed data)")
    axes.set_title("from quantised codes; numbers: levels")
    axes.grid()
    return lines


def _labels(axes: Any, labels: Labels) -> tuple[list[Any], list[Any]]:
    """Draw the panel of errors; return the lines that look as those of the models' codes, and the others."""
    from matplotlib.ticker import NullLocator

    middle = (len(labels.linear) - 1) / 2
    linear = [
        _error_bars(axes, line, BESIDE ** (i - middle), **line_look(i))
        for i, line in enumerate(labels.linear)
    ]
    lines = [
        _error_bars(axes, line, BESIDE ** (i - middle), **line_look(i) | {"markerfacecolor": "white"})
        for i, line in enumerate(labels.nets)
    ]
    for i, line in enumerate(labels.others):
        look = {"color": "grey", "linestyle": DASHES[1 + i % 3], "marker": OTHERS[i % len(OTHERS)]}
        look |= {"markerfacecolor": "white"}
        lines.append(_error_bars(axes, line, 1.0, **look))
    counts = sorted({count for line in labels.linear for count, _, _ in line.points})
    axes.set_xscale("log")
    axes.set_xticks(counts, list(map(str, counts)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(bottom=0)
    axes.set_xlabel("labelled rows per class")
    axes.set_ylabel(
        "error of nets and\nlinear classifiers (%)" if labels.nets else "error of a linear classifier (%)"
    )
    axes.set_title("mean over draws, bars: standard deviation")
    axes.grid()
    return linear, lines


def _error_bars(axes: Any, line: Errors, beside: float, **look: Any) -> Any:
    counts, means, spreads = zip(*line.points, strict=True)
    percent = [[100 * value for value in values] for values in (means, spreads)]
    places = [count * beside for count in counts]
    return axes.errorbar(places, *percent, label=name_in_legend(line.name), capsize=2, **look)
