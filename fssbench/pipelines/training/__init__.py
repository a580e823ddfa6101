"""Training data: shards of labelled images, and the batches of an epoch drawn from them.

manifest      what a training set is, in one JSON file
index         where every image stands in the shards, and what it shows
prepare       source → training set on disk
training_set  a training set, opened
lists         training set + policy → the images of a fold to learn from
decode        a sample → pixels and labels
augment       pixels and labels, changed together
batches       lists → batches of episodes, or of labelled images
sequential    the same where shards can only be read from end to end
leakage       what training and test have in common
verify        everything that can be wrong with a training set
"""
