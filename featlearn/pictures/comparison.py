"""Models side by side: what their codes cost and keep, and how well few labels do with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from featlearn.pictures.figure import figure_bytes, new_figure

SPAN = 20  # a panel whose values differ by more than this factor has a logarithmic axis
COLOURS = 10  # of matplotlib's cycle; after them the dashes change
BESIDE = 1.03  # bars of different models stand side by side
OTHERS = "o^vD"  # markers of the lines that belong to no model
DASHES = ("-", "--", ":", "-.")
LONGEST = 40  # characters of a name in the legend
WIDE, SAMPLE = 75, 8  # characters that have room below a panel; of these the line before a name takes so many


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


def comparison(curves: Sequence[Curve], labels: Labels | None, format: str, text: dict[str, str]) -> bytes:
    """A picture with `text`: RMSE against bits and errors against labels, each where there are any."""
    coded = any(curve.points for curve in curves)
    panels = coded + (labels is not None)
    figure = new_figure(1 + 5.5 * panels, 5.2)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    lines = _codes(axes[0], curves) if coded else []
    if labels:
        linear, others = _labels(axes[-1], labels)
        lines += others if coded else linear + others
    longest = max(len(line.get_label()) for line in lines)
    columns = max(min(len(lines), 5, WIDE * panels // (longest + SAMPLE)), 1)
    for label in figure.legend(handles=lines, loc="outside lower center", ncols=columns).get_texts():
        label.set_parse_math(False)
    return figure_bytes(figure, format, text)


def _label(name: str) -> str:
    """A name as the legend can show it: a long one is cut, one with _ in front would be left out.

    Control characters, which an SVG must not hold, are replaced.
    """
    name = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    name = name if len(name) <= LONGEST else "..." + name[-LONGEST:]
    return " " + name if name.startswith("_") else name


def _look(i: int) -> dict[str, str]:
    return {"color": f"C{i % COLOURS}", "linestyle": DASHES[i // COLOURS % len(DASHES)]}


def _codes(axes: Any, curves: Sequence[Curve]) -> list[Any]:
    lines = []
    for i, curve in enumerate(curves):
        bits, rmse = ([point[i] for point in curve.points] for i in (1, 2))
        lines += axes.plot(
            bits, rmse, label=_label(curve.name), marker=".", markersize=4, linewidth=1.2, **_look(i)
        )
        for levels, x, y in curve.points:
            if levels in curve.marked:
                colour = _look(i)["color"]
                axes.plot(x, y, marker="o", markersize=7, color=colour)
                axes.annotate(
                    str(levels), (x, y), (5, 5), textcoords="offset points", fontsize=8, color=colour
                )
    values = [y for curve in curves for _, _, y in curve.points if y > 0]
    if values and max(values) > SPAN * min(values):
        axes.set_yscale("log")
    axes.margins(x=0.08)
    axes.set_xlabel("bits per pixel: entropy of the quantised code / visible values")
    axes.set_ylabel("RMSE (units of the preprocessed data)")
    axes.set_title("from quantised codes; numbers are levels", fontsize=10)
    axes.grid(alpha=0.3)
    return lines


def _labels(axes: Any, labels: Labels) -> tuple[list[Any], list[Any]]:
    """Draw the panel of errors; return the lines that look as those of the models' codes, and the others."""
    from matplotlib.ticker import NullLocator

    middle = (len(labels.linear) - 1) / 2
    linear = [
        _error_bars(axes, line, BESIDE ** (i - middle), **_look(i)) for i, line in enumerate(labels.linear)
    ]
    lines = [
        _error_bars(axes, line, BESIDE ** (i - middle), **_look(i) | {"linestyle": "--", "marker": "s"})
        for i, line in enumerate(labels.nets)
    ]
    for i, line in enumerate(labels.others):
        look = {"color": "grey", "linestyle": DASHES[1 + i % 3], "marker": OTHERS[i % len(OTHERS)]}
        lines.append(_error_bars(axes, line, 1.0, **look))
    counts = sorted({count for line in labels.linear for count, _, _ in line.points})
    axes.set_xscale("log")
    axes.set_xticks(counts, list(map(str, counts)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(bottom=0)
    axes.set_xlabel("labelled rows per class")
    axes.set_ylabel(
        "error of nets and linear classifiers (%)" if labels.nets else "error of a linear classifier (%)"
    )
    axes.set_title("mean over draws, bars: standard deviation", fontsize=10)
    axes.grid(alpha=0.3)
    return linear, lines


def _error_bars(axes: Any, line: Errors, beside: float, **look: str) -> Any:
    counts, means, spreads = zip(*line.points, strict=True)
    percent = [[100 * value for value in values] for values in (means, spreads)]
    places = [count * beside for count in counts]
    look = {"label": _label(line.name), "marker": "o"} | look
    return axes.errorbar(places, *percent, markersize=4, capsize=3, linewidth=1.2, **look)
