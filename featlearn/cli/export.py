"""featlearn export: a model for other programs."""

from typing import Any

from featlearn.cli.options import command_named, common, force, output, paths, running
from featlearn.cli.output import Messages, Results


@command_named("export")
@common(paths("model"), output("File to write: .onnx, .npz, .safetensors or .csv."), force, running)
def command(messages: Messages, results: Results, **options: Any) -> None:
    """Write a model for other programs; the suffix of the output says what.

    \b
      .onnx         the encoder, from pixels in 0..1 to codes, preprocessing included
      .npz          parameters and preprocessing as numpy arrays
      .safetensors  the same for PyTorch, JAX, Rust and others
      .csv          the learning curve, a line an epoch

    \b
    Examples:
      featlearn export edges.h5 -o edges.onnx
      featlearn export edges.h5 -o edges.npz
    """
    from featlearn.jobs.export import export

    results.show(export(**options, say=messages.say).report())
