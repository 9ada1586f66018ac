"""Published tables of votes, in every layout there is, made into one shape."""
