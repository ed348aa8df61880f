"""What the commands do, as functions of paths and settings; no words on a terminal, no signals."""
