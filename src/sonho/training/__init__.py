"""Training: from a text to a model file. The one room, with nn and models, that needs torch."""

import os

# torch's OpenMP threads spin after each piece of work for the next one, on the very core that the
# kernels' own threads, or another process, want then. This must be said before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
