"""Write Figure 3, integrators against Euler, and its data beside this script.

    python paper_figures/figure3.py             compute and draw; keep what is finished
    python paper_figures/figure3.py --redraw    draw again from the CSV files

The same as ``maml-ode reproduce --only fig3 --output paper_figures``.
"""

import sys
from pathlib import Path

from maml_ode.reproduce import reproduce

if __name__ == "__main__":
    for outcome in reproduce(Path(__file__).parent, only="fig3", redraw="--redraw" in sys.argv):
        print(f"{outcome.name}: {outcome.status} in {outcome.elapsed:.1f} s")
        for quantity, value in outcome.key_numbers.items():
            print(f"    {quantity}: {value}")
