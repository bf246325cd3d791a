"""Write Figure 2 with and without the flows, the Diabetes figure and their data beside this script.

    python paper_figures/figure2.py             compute and draw; keep what is finished
    python paper_figures/figure2.py --redraw    draw again from the CSV files

The same as ``maml-ode reproduce --only fig2 --only diabetes --output paper_figures``.
"""

import sys
from pathlib import Path

from maml_ode.reproduce import reproduce

if __name__ == "__main__":
    names = ("diabetes", "fig2")
    for outcome in reproduce(Path(__file__).parent, only=names, redraw="--redraw" in sys.argv):
        print(f"{outcome.name}: {outcome.status} in {outcome.elapsed:.1f} s")
        for quantity, value in outcome.key_numbers.items():
            print(f"    {quantity}: {value}")
