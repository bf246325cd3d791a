"""Write Figure 4, what BI-MAML saves, the reproduction report and their data beside this script.

    python paper_figures/figure4.py             compute and draw; keep what is finished
    python paper_figures/figure4.py --redraw    draw again from the CSV files

The same as ``maml-ode reproduce --only fig4 --only report --output paper_figures``.
"""

import sys
from pathlib import Path

from maml_ode.reproduce import reproduce

if __name__ == "__main__":
    names = ("fig4", "report")
    for outcome in reproduce(Path(__file__).parent, only=names, redraw="--redraw" in sys.argv):
        print(f"{outcome.name}: {outcome.status} in {outcome.elapsed:.1f} s")
        for quantity, value in outcome.key_numbers.items():
            print(f"    {quantity}: {value}")
