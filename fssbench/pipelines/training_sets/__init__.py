"""Training sets: shards of labelled images, and the batches of an epoch drawn from them.

build_training_set   source → training set on disk
training_set   a training set, opened
check_training_set   everything that can be wrong with one
lists          training set + policy → the images of a fold to learn from
hsnet_lists    the pairs of image and class that HSNet trains on
leakage        what training and test have in common
decode         a sample → pixels and labels
augment        pixels and labels, changed together: by draws, and in their colours
assemble       what was drawn → tensors, made ahead of need
epoch          what an epoch is, and which part of it is asked for
batches        lists → the batches of an epoch
sequential     the same where shards can only be read from end to end
"""
