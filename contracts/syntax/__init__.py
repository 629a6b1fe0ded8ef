"""Source bytes to a tree. Door: `contracts.syntax.parse.parse(source) -> File`, or `SourceError`."""
