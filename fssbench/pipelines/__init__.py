"""Raw data → episode sets → tensors.

sources   what a data set says: which images show which class, and where
shards    tar files that are the same bytes on every machine
places    where sets lie: a folder here, a web server, an object store, a command
prepare   source + protocol → episode set on disk
verify    everything that can be wrong with an episode set
stream    episode set → decoded episodes, in order
"""
