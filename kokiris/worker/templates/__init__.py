"""Templates: the subset of Go's text/template and consul-template that job files use."""
