"""Reading rules files: each module reads one part of a file and reports its faults."""
