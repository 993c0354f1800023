"""Rules tried out: the tests of a rules file, and backtests over stored samples."""
