"""Templates in the language of Go's text/template, which Docker's users write after `--format`."""
