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
from featlearn.jobs.picture_settings import Drawing, Printed


@command_named("visualize", most_used="output what units sort count data")
@paths("files", many=True, metavar="FILE...")
@settings_options(Drawing)
@common(
    output("Picture to write; - is stdout.", required=False, default_words="FILE with the suffix .png"), force
)
@settings_options(Printed, "Output")
@running
def command(output: str | None, messages: Messages, results: Results, **options: Any) -> None:
    """Draw filters, what drives them, patches or learning curves as a picture.

    The suffix of --output says its format: .png, .tif, .pdf or .svg; of --what gabor also .csv, the fits as
    a table. Pictures are as wide as a column of a paper, 85 mm, with letters that are read there.

    Filters are drawn in pixel space; mid-grey is weight zero. So are preprocessed patches, but those whose
    values begin at zero are pixels: 0 is black and 1 white. The filters of a model that has learned from
    codes come to pixel space with --through: as the sums of the lower model's filters, weighted by its own
    (Lee, Ekanadham & Ng, NIPS 2007). Filters of dead units are crossed out: of flat ones, and with --data of
    those that never leave rest.

    top-patches shows beside each filter the patches that its unit answers to most; activations how often and
    how strongly each unit is active, dead and dense ones named; gabor the orientation and frequency of the
    Gabor function nearest to each filter; curve the measures of one run, or of several over each other.

    \b
    Examples:
      featlearn visualize rbm-l1.h5
      featlearn visualize rbm-l1.h5 --what curve -o curve.pdf
      featlearn visualize none.h5 l1.h5 l2.h5 --what curve --panels rmse,activity -o curves.pdf
      featlearn visualize edges.h5 --what top-patches --data patches.h5 -o driven.png
      featlearn visualize edges.h5 --sort edge --count 100 --labels --title Edges -o edges.pdf
      featlearn visualize edges.h5 --what gabor -o gabor.csv
      featlearn visualize third.h5 --through second.h5 --through first.h5
    """
    from featlearn.jobs.visualize import visualize

    drawing, printed = collect(Drawing, options, decided=False), collect(Printed, options)
    place = None if output is None else picture_output(output, results)
    options |= {"drawing": drawing, "printed": printed, "given": typed(), "say": messages.say}
    done = visualize(output=place, **options)
    show_picture(done, messages, results)
