"""``python -m glotmix``."""

from glotmix.cli import main

if __name__ == "__main__":
    main()
