"""The board: the best model in the minutes that there are, sonho beside its peers. See ../time_to_quality.py."""
