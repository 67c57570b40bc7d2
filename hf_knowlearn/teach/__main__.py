"""`accelerate launch -m hf_knowlearn.teach --config RECIPE [--option value]`."""

import sys

from hf_knowlearn.teach.pipeline import main

sys.exit(main())
