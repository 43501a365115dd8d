"""OpenVINO: runs TensorFlow SavedModels without TensorFlow, several nets in one compiled model."""

import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from app.matching.maps import Floats

OUTPUTS = ("map", "mask")
"""Outputs of a net that are compared."""

CONTRAST = "contrast:"
"""Start of the names of a body's inputs: what preprocessing computed in float32."""


def openvino() -> Any:
    """Imports OpenVINO without its telemetry."""
    # OpenVINO reports every import to Google Analytics and stores an id in HOME; if it cannot, it
    # configures the root logger. It works without the package that does this. The only other way to
    # switch it off is a file in HOME.
    sys.modules.setdefault("openvino_telemetry", cast(Any, None))
    import openvino  # here, so that an image with another engine does not need it

    return openvino


class OpenvinoEngine:
    """One compiled SavedModel in float32; concurrent calls are safe."""

    def __init__(self, folder: Path) -> None:
        """Reads and compiles a SavedModel from the folder of its saved_model.pb."""
        self._compiled = _Compiled(openvino().Core().read_model(folder), "f32")

    def run(self, images: NDArray[np.uint8], names: Sequence[str]) -> dict[str, Floats]:
        """Maps images uint8 [B, H, W, C] to the outputs of these names, float32."""
        return self._compiled.run({"images": np.ascontiguousarray(images)}, names)


class OpenvinoNets:
    """Several nets in one compiled model; concurrent calls are safe.

    OpenVINO computes once what the nets have in common: resize, local contrast and mask. Outputs
    that are not compared, such as embeddings, are not computed.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        precision: str = "f32",
        quantised: Path | None = None,
    ) -> None:
        """Reads and compiles the nets.

        Args:
            folders: for each net's name the folder of its saved_model.pb.
            precision: f32, bf16 or int8. bf16 computes preprocessing, mask and standardisation in
                float32: local contrast is a small difference of large numbers.
            quantised: the model of `merge`, quantised, which may hold further nets; for int8.
        """
        self._names = [f"{net}/{output}" for net in folders for output in OUTPUTS]
        model = openvino().Core().read_model(quantised) if quantised else merge(folders)
        model = _only(model, self._names)
        self._head: _Compiled | None = None
        if precision == "bf16":
            head, model = _split(model)
            self._head = _Compiled(head, "f32")
        self._body = _Compiled(model, "bf16" if precision == "bf16" else "f32")

    def maps(self, images: NDArray[np.uint8]) -> list[tuple[Floats, Floats]]:
        """Maps uint8 [B, H, W, 3] to each net's maps [B, S, S, C] and masks [B, S, S], float32."""
        inputs: dict[str, NDArray[Any]] = {"images": np.ascontiguousarray(images)}
        if self._head:
            inputs |= self._head.run(inputs, self._head.outputs)
        found = self._body.run(inputs, self._names)
        ordered = [found[name] for name in self._names]
        return list(zip(ordered[0::2], ordered[1::2], strict=True))


class _Compiled:
    """A compiled model, with an inference request for each thread."""

    def __init__(self, model: Any, precision: str) -> None:
        options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        self._compiled = openvino().Core().compile_model(model, "CPU", options)
        self._requests = threading.local()  # an inference request serves one thread at a time
        self.outputs: list[str] = [output.any_name for output in self._compiled.outputs]

    def run(self, inputs: Mapping[str, NDArray[Any]], names: Sequence[str]) -> dict[str, Floats]:
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        outputs = self._requests.own.infer(inputs, share_inputs=True, share_outputs=True)
        return {name: np.array(outputs[name], np.float32) for name in names}


def merge(folders: Mapping[str, Path]) -> Any:
    """Returns nets as one OpenVINO model with one input, not compiled.

    Args:
        folders: for each net's name the folder of its saved_model.pb.

    Returns:
        A model from `images` to `<net>/map` and `<net>/mask` of each net.
    """
    ov = openvino()
    models = {net: ov.Core().read_model(folder) for net, folder in folders.items()}
    shared = next(iter(models.values())).input("images").get_node()
    results: list[Any] = []
    for net, model in models.items():
        if model.input("images").get_node() is not shared:
            model.input("images").replace(shared.output(0))
        for output in OUTPUTS:
            result = ov.opset13.result(model.output(output).get_node().input_value(0))
            result.output(0).set_names({f"{net}/{output}"})
            results.append(result)
    merged = ov.Model(results, [shared], "palm")
    for number, operation in enumerate(merged.get_ordered_ops()):
        # NNCF needs different names; two nets have the same.
        operation.set_friendly_name(f"{number}")
    return merged.clone()  # which does not depend on the models that it was made of


def outside_bodies(model: Any) -> list[str]:
    """Returns the names of the operations before a net's first convolution and after its last.

    They resize, compute local contrast and masks, and standardise, always in float32.
    """
    operations = model.get_ordered_ops()
    after, before = _after_convolutions(operations), _before_convolutions(operations)
    bodies = (after & before) | {_name(one) for one in operations if _is_convolution(one)}
    return [
        _name(one)
        for one in operations
        if _name(one) not in bodies
        and one.get_type_name() not in ("Constant", "Parameter", "Result")
    ]


def _is_convolution(operation: Any) -> bool:
    return operation.get_type_name() == "Convolution"


def _name(operation: Any) -> str:
    return operation.get_friendly_name()


def _sources(operation: Any) -> set[str]:
    """Returns the names of the operations whose outputs an operation takes."""
    return {_name(value.get_node()) for value in operation.input_values()}


def _after_convolutions(operations: Sequence[Any]) -> set[str]:
    """Returns the names of the convolutions and of all that depends on one."""
    found: set[str] = set()
    for one in operations:
        if _is_convolution(one) or _sources(one) & found:
            found.add(_name(one))
    return found


def _before_convolutions(operations: Sequence[Any]) -> set[str]:
    """Returns the names of all operations on which a convolution depends."""
    found: set[str] = set()
    for one in reversed(operations):
        if _is_convolution(one) or _name(one) in found:
            found |= _sources(one)
    return found


def _only(model: Any, names: Sequence[str]) -> Any:
    """Returns a model with these outputs alone, so that nothing else is computed."""
    return openvino().Model([model.output(name) for name in names], model.get_parameters())


def _split(model: Any) -> tuple[Any, Any]:
    """Returns what precedes the first convolutions as one model, and the rest as another.

    With a hint of bfloat16, OpenVINO computes all that a convolution depends on in bfloat16, and
    there is no hint for a part of a model.
    """
    ov = openvino()
    operations = model.get_ordered_ops()
    after = _after_convolutions(operations)
    results: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    for one in filter(_is_convolution, operations):
        source = one.input_value(0)
        name = _name(source.get_node())
        if name in after:
            continue
        if name not in inputs:
            results[name] = ov.opset13.result(source)
            inputs[name] = ov.opset13.parameter(
                source.get_partial_shape(), source.get_element_type()
            )
            for end in (results[name], inputs[name]):
                end.output(0).set_names({CONTRAST + name})
        one.input(0).replace_source_output(inputs[name].output(0))
    head = ov.Model([*results.values()], model.get_parameters())
    body = ov.Model(model.get_results(), [*model.get_parameters(), *inputs.values()])
    return head.clone(), body.clone()


def describe_processor() -> tuple[str, frozenset[str]]:
    """Returns this processor's name and what it computes natively, such as BF16 and INT8."""
    core: Any = openvino().Core()
    native = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return core.get_property("CPU", "FULL_DEVICE_NAME"), frozenset(native)
