"""What every room stands on: errors, files, locks, the home. It knows nothing of segmentation."""
