"""The conformance kit: a few pairs of masks that tell by which definition a tool computes its scores."""
