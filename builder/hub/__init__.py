"""Reading from the Hub: checkpoints to export, web models to judge, and whether the weights have arrived whole.

Start with `fetch_checkpoint`. source.py says what is asked for, listing.py what the repository holds, fetch.py,
web_model.py and model_files.py what of it is downloaded, problems.py turns what goes wrong into one message each,
weights.py checks files that are here, wherever they came from. Nothing here writes to the Hub, and no message ever
holds a token.
"""

from builder.hub.fetch import Promised, fetch_checkpoint
from builder.hub.model_files import fetch_model_files
from builder.hub.web_model import fetch_web_model
from builder.hub.weights import check_weights

__all__ = ["Promised", "check_weights", "fetch_checkpoint", "fetch_model_files", "fetch_web_model"]
