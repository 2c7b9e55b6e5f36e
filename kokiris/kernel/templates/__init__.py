"""Go's text/template, as far as job files and command lines use it: parsed, looked through, rendered. Pure."""
