"""The platform's own jobs: what an add-on is, its images, and putting it up or away. Namespace "platform"."""
