"""One thread a test process: the suite runs in as many processes as there are cores.

Programs that tests start have one thread too. Sums in another number of threads round differently, so that a run is
equal to the last bit only to one with as many.
"""

import os

import torch

os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
