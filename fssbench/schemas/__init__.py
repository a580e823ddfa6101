"""Every JSON record that is stored: results, manifests, samples, cards, leaderboards, submissions."""
