"""What is asked, as plain data with a digest: benchmarks, protocols, episodes, tracks and how they are drawn."""
