"""One command a file, and what several of them need: options, showing, driving, console."""
