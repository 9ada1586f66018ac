"""What every test run has in common, that of the notebooks by nbval too."""

import os

# A progress bar shows up only where galaxies have yet to be made: that is no output to compare.
os.environ.setdefault("TQDM_DISABLE", "1")
