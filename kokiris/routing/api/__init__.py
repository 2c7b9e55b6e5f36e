"""The panel: Traefik's read API and a plain page over it."""
