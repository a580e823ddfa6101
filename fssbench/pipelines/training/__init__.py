"""Training data: shards of labelled images, and the episodes of an epoch drawn from them."""
