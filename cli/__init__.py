"""The `hansa` command. Door: `cli.__main__.main()`."""
