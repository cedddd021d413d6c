"""What `spark-submit` is given; the package itself travels as `--py-files dist/pingti.zip`."""

from jobs.cli import main

if __name__ == "__main__":
    main()
