"""featlearn reconstruct: what a model makes of its inputs."""

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
from featlearn.jobs.picture_settings import Printed
from featlearn.jobs.settings import Reconstruction


@command_named("reconstruct", most_used="output count")
@common(paths("model"), paths("input"))
@settings_options(Reconstruction)
@common(
    output("Picture to write, .png, .pdf, .svg or .tif; - is stdout."),
    force,
    settings_options(Printed, "Output"),
    running,
)
def command(output: str, messages: Messages, results: Results, **options: Any) -> None:
    """Show what a model makes of its inputs.

    INPUT is a data set: the picture shows inputs above their reconstructions, each pair with its RMSE, and
    the RMSE over all rows is printed. Or it is an image: its overlapping patches are reconstructed and
    averaged, the picture shows the photograph beside its reconstruction, and the PSNR is printed. A model of
    grey patches makes a photograph in colour of its channels, one by one.

    \b
    Examples:
      featlearn reconstruct edges.h5 patches.h5 -o pairs.png
      featlearn reconstruct edges.h5 photo.jpg -o photo-again.png --stride 2
    """
    from featlearn.jobs.reconstruct import reconstruct

    settings, printed = collect(Reconstruction, options, decided=False), collect(Printed, options)
    place = picture_output(output, results)
    done = reconstruct(
        output=place, reconstruction=settings, printed=printed, given=typed(), say=messages.say, **options
    )
    show_picture(done, messages, results)
