"""The registry's own HTTP doors: tokens, management, credentials of nodes."""
