"""Foundation models by name: networks of transformers, shown episodes as their papers show them.

Each takes ``weights``: a name on the hub, a folder that ``save_pretrained`` wrote, or ``none`` for random ones at the
published size.
"""
