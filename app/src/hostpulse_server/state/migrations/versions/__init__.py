"""One file a migration; its revision is the number its name starts with."""
