"""Tables: samples in rows, with a label that says to which task each row belongs."""
