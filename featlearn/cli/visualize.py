"""featlearn visualize: pictures of filters, patches and learning curves."""

from typing import Any

from featlearn.cli.options import (
    collect,
    command_named,
    common,
    force,
    output,
    paths,
    running,
    settings_options,
    typed,
)
from featlearn.cli.output import Messages, Results, picture_output, show_picture
from featlearn.jobs.settings import Drawing


@command_named("visualize")
@paths("file")
@settings_options(Drawing)
@common(
    output("Picture to write; - is stdout.", required=False, default_words="FILE with the suffix .png"), force
)
@running
def command(output: str | None, messages: Messages, results: Results, **options: Any) -> None:
    """Draw filters, patches or the learning curve as a picture.

    The suffix of --output says its format: .png or .tif, of a curve also .pdf or .svg.

    Filters are drawn in pixel space; mid-grey is weight zero. So are preprocessed patches, but those whose
    values begin at zero are pixels: 0 is black and 1 white. The filters of a model that has learned from
    codes come to pixel space with --through: as the sums of the lower model's filters, weighted by its own
    (Lee, Ekanadham & Ng, NIPS 2007).

    \b
    Examples:
      featlearn visualize rbm-l1.h5
      featlearn visualize rbm-l1.h5 --what curve -o curve.pdf
      featlearn visualize third.h5 --through second.h5 --through first.h5
    """
    from featlearn.jobs.visualize import visualize

    drawing = collect(Drawing, options, decided=False)
    place = None if output is None else picture_output(output, results)
    show_picture(visualize(output=place, drawing=drawing, given=typed(), **options), messages, results)
