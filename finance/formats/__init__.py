"""One module a document format; `read` detects and dispatches."""
