"""One module per external tool: `available()`, `version()`, `require()`; nobody else runs it."""
