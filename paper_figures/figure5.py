"""Write Figure 5, momentum on the MAML loss, and its data beside this script.

    python paper_figures/figure5.py             compute and draw; keep what is finished
    python paper_figures/figure5.py --redraw    draw again from the CSV files

The same as ``maml-ode reproduce --only fig5 --output paper_figures``, whose options it takes.
"""

import sys
from pathlib import Path

from maml_ode.cli import main

if __name__ == "__main__":
    folder = str(Path(__file__).parent)
    main(["reproduce", "--only", "fig5", "--output", folder, *sys.argv[1:]])
