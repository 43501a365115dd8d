"""Error rates and their confidence intervals."""
