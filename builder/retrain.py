"""retrain: make the embedded models again, from drawing their first scene to the scores on their cards, in one command.

    python -m builder.retrain --work DIR [--images 192000] [--out DIR]

Trains (hours on two cores; an interrupted run goes on where it stopped), writes the checkpoints, exports them, and
scores the fp32 web models on held-out scenes. ``--out`` puts all of it elsewhere than over the shipped models.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from builder import embedded, export
from builder.embedded import NAMES
from builder.embedded.checkpoints import write_checkpoints
from builder.embedded.score import score_models
from builder.embedded.train import IMAGES, train


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m builder.retrain", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the run's state and log")
    parser.add_argument("--images", type=int, default=IMAGES, help="scenes to train on")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--out", type=Path, default=Path(embedded.__file__).parent, help="where checkpoints/ and models/ go"
    )
    options = parser.parse_args()
    train(options.work, images=options.images, threads=options.threads)
    checkpoints, models = options.out / "checkpoints", options.out / "models"
    write_checkpoints(options.work, checkpoints)
    for name in NAMES:
        export(str(checkpoints / name), out=models / name, components=embedded.SHIPPED[name], report=print)
    score_models(models, cards=checkpoints)


if __name__ == "__main__":
    main()
