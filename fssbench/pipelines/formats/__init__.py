"""What stands in files: shards, images, masks, the digests that lock a set, the index of a training set."""
