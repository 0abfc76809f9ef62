"""The side that generates with ONNX Runtime: one step a call, states in and out, NumPy draws. See workers.py.

Shapes: N batch, D embedding, H hidden, G gates, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from workers import Case, SkipCase, Work, serve

GATES = {"lstm": 4, "gru": 3}
TEXT = 20
# What onnxruntime reads for certain; onnx itself may be ahead of it.
OPSET, IR_VERSION = 17, 10


def prepare(case: Case) -> Work:
    if case["cell"] not in GATES:
        raise SkipCase(f"no graph for {case['cell']}")
    session = onnxruntime.InferenceSession(make_graph(case), _options(case), providers=["CPUExecutionProvider"])
    names = [state.name for state in session.get_inputs()[1:]]
    batch_size, rng = case["batch_size"], np.random.default_rng(0)
    states = [np.zeros((1, batch_size, case["hidden_size"]), np.float32) for _ in names]
    tokens = np.ones(batch_size, np.int64)

    def text() -> dict[str, float]:
        nonlocal tokens, states
        for _ in range(TEXT):
            logits, *states = session.run(None, {"tokens": tokens, **dict(zip(names, states, strict=True))})
            tokens = draw(logits, case["temperature"], rng)
            tokens.tolist()  # the symbols are wanted now, as text
        return {"count": TEXT * batch_size}

    text()
    return text


def draw(logits: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """One token for each row of logits (N, V)."""
    shares = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    heaps = shares.cumsum(axis=1)
    return np.asarray((heaps < rng.random((len(logits), 1)) * heaps[:, -1:]).sum(axis=1), np.int64)


def make_graph(case: Case) -> bytes:
    """tokens (N,) and the states (1, N, H) of each layer to logits (N, V) and the new states; random weights."""
    size, inputs, vocab_size = case["hidden_size"], case["embedding_dim"], case["vocab_size"]
    op, rows, rng = case["cell"].upper(), GATES[case["cell"]] * size, np.random.default_rng(0)
    kinds = ("h", "c") if op == "LSTM" else ("h",)
    weights: list[Any] = [numpy_helper.from_array(np.array([0], np.int64), "axis")]

    def weight(name: str, *shape: int) -> str:
        weights.append(numpy_helper.from_array(rng.normal(0, 0.05, shape).astype(np.float32), name))
        return name

    nodes = [
        helper.make_node("Gather", [weight("embedding", vocab_size, inputs), "tokens"], ["symbols"]),
        helper.make_node("Unsqueeze", ["symbols", "axis"], ["x0"]),  # (1, N, D)
    ]
    states = []
    for layer in range(case["layers"]):
        sizes = [weight(f"w{layer}", 1, rows, inputs), weight(f"r{layer}", 1, rows, size)]
        given = [f"x{layer}", *sizes, weight(f"b{layer}", 1, 2 * rows), "", *(f"{kind}{layer}" for kind in kinds)]
        made = ["", *(f"new_{kind}{layer}" for kind in kinds)]
        extra = {"linear_before_reset": 1} if op == "GRU" else {}
        nodes.append(helper.make_node(op, given, made, hidden_size=size, **extra))
        nodes.append(helper.make_node("Identity", [made[1]], [f"x{layer + 1}"]))
        states += [f"{kind}{layer}" for kind in kinds]
        inputs = size
    nodes.append(helper.make_node("Squeeze", [f"x{case['layers']}", "axis"], ["hidden"]))  # (N, H)
    nodes.append(helper.make_node("Gemm", ["hidden", weight("w", size, vocab_size), weight("b", vocab_size)], ["y"]))

    def state(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "N", size])

    graph = helper.make_graph(
        nodes,
        "step",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["N"]), *map(state, states)],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", vocab_size]),
            *(state(f"new_{name}") for name in states),
        ],
        weights,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _options(case: Case) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = case["threads"]
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    return options


if __name__ == "__main__":
    serve(prepare)
