"""Task output: files with rotation, followed from the driver without losing or doubling a byte."""
