"""`python -m builder` is `webgpu-demo`."""

from builder.cli import main

if __name__ == "__main__":
    main()
