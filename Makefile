# Each target sets up what it needs in .venv first; see dev.py for what happens.
PYTHON ?= python3

.PHONY: run test lint docs setup gate clean

run:
	$(PYTHON) dev.py run

test:
	$(PYTHON) dev.py test

lint:
	$(PYTHON) dev.py lint

docs:
	$(PYTHON) dev.py docs

setup:
	$(PYTHON) dev.py setup

gate:
	bash .ci/run

clean:
	rm -rf .venv build dist *.egg-info .coverage* .mypy_cache .pytest_cache .ruff_cache
