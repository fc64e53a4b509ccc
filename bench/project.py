"""Where this project stands on disk."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
