"""Tests of supervision; what several files use stands in `pools`."""
