"""Results as HTML: a report of one model in one file, and the leaderboard as a site. Nothing is ever fetched."""
