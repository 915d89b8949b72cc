"""What must hold of a run: a file for each part of the system."""
