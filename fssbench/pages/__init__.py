"""Results as HTML and episodes as pictures. Nothing is ever fetched."""
