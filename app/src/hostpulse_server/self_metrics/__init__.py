"""What the server measures of itself and its hosts."""
