"""The numbers by which watchers judge a norm: theirs, and the compiled loop's that calls them."""

from __future__ import annotations

__all__ = ["GROWN", "NEAR", "STALL_FLOOR", "STALL_STEPS"]

# A norm that has not fallen in so many steps hovers, if it is within this of the error tolerances' floor.
STALL_STEPS = 50
STALL_FLOOR = 1e3
# A norm that stays so many times above its lowest value for as many steps has grown, and what it fell to is
# forgotten. One that comes back to it hovers: in few dimensions it passes close to 0 every now and then.
GROWN = 10.0
# A norm may dip between the ends of a step: worth a look where a cubic says that it comes this near.
NEAR = 1.5
