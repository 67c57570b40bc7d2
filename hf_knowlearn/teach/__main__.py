"""Makes the command `accelerate launch -m hf_knowlearn.teach --config RECIPE [--option value]` work."""

import sys

from hf_knowlearn.teach.pipeline import main

sys.exit(main())
