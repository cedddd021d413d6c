"""The torch half: teachers, students, losses, the trainer, the export."""

import os

# Torch's threads otherwise spin while they wait for each other, and each waits for a processor that the other one
# holds whenever anything else runs: measured on two cores beside one busy process, 91 instead of 1,800 rows a second.
# Read when torch is loaded, hence here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
