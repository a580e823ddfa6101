"""Raw data → episode sets → tensors.

transport      where data lie: a folder here, a web server, an object store, a command; and how they are fetched
formats        what stands in files: shards that are the same bytes on every machine, images, masks
sources        what a data set says: which images show which class, and where
episode_sets   source + protocol → episode set on disk → decoded episodes, in order
training_sets  source → training set on disk → the batches of an epoch
"""
