"""publish, unpublish, status: one command from a checkpoint to a live Space.

Chains the verbs, which do not know each other: export → quantize → verify → model repo → build → Space → look at it.
request.py fills in what was not said, prepare.py makes the model, steps.py plans and applies, to_folder.py does all of
it for a folder of this machine, standing.py looks at what was published, removal.py has the way back. Run again, each
step finds what is there already and does nothing.
"""

from builder.publishing.outcome import Published
from builder.publishing.publish import publish
from builder.publishing.removal import Removed, unpublish
from builder.publishing.standing import State, status

__all__ = ["Published", "Removed", "State", "publish", "status", "unpublish"]
