"""Ours as it was: what stands beside ours as "before", made of what is shipped; nothing of it is in the product.

Each undoes one fix of one of the three largest costs: the logits of a prompt, the weights of a token on WASM (there the
4-bit graph of the WebGPU tiers is the one before), and the start of a page.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from builder.errors import BenchError
from builder.folders import new_folder
from builder.graphs import load_graph, save_graph
from builder.manifest import file_sha256

RUNTIME = "app/shared/runtime.js"
BEGUN = "const downloads = downloadAll(files, keep, emit, (file) => coming.note(file));\n"


def with_every_logit(graph: Path, folder: Path) -> Path:
    """Write a decoder that gives the logits of every position into ``folder``, as optimum-onnx's does.

    Raises:
        BenchError: the decoder gives them already.
    """
    model = load_graph(graph)
    gathered = {
        node.output[0]: node for node in model.graph.node if node.op_type == "Gather" and "/prune/" in node.name
    }
    taken = [node for node in model.graph.node if node.op_type == "Unsqueeze" and node.input[0] in gathered]
    if len(taken) != 1:
        raise BenchError(f"{graph.name} does not take the last position out of a prompt")
    (unsqueeze,) = taken
    gather = gathered[unsqueeze.input[0]]
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            if name == unsqueeze.output[0]:
                node.input[at] = gather.input[0]
    model.graph.node.remove(unsqueeze)
    model.graph.node.remove(gather)
    (logits,) = (output for output in model.graph.output if output.name == "logits")
    logits.type.tensor_type.shape.dim[1].dim_param = "sequence_length"
    del model.graph.value_info[:]
    folder.mkdir(parents=True, exist_ok=True)
    save_graph(model, folder / graph.name)
    return folder / graph.name


def with_downloads_first(site: Path, target: Path) -> Path:
    """Copy a site, with a worker that waits for the whole download before it starts the runtime and makes sessions.

    Raises:
        BenchError: the worker does not begin meanwhile, or the copy cannot be written.
    """
    with new_folder(target, error=BenchError) as part:
        shutil.copytree(site, part, dirs_exist_ok=True)
        script = part / RUNTIME
        code = script.read_text(encoding="utf-8")
        if code.count(BEGUN) != 1:
            raise BenchError(f"{RUNTIME} has changed: nothing is known to make it wait with", hint="mend _variants.py")
        script.write_text(code.replace(BEGUN, BEGUN.replace("\n", " await downloads;\n")), encoding="utf-8")
        listed = part / "manifest.json"
        files = json.loads(listed.read_text(encoding="utf-8"))
        for entry in files["files"]:
            if entry["path"] == RUNTIME:  # the service worker checks what it keeps
                entry.update(size_bytes=script.stat().st_size, sha256=file_sha256(script))
        listed.write_text(json.dumps(files), encoding="utf-8")
    return target
