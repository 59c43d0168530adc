"""Node numbers, and the signs of life by which nodes that have ended are found."""
