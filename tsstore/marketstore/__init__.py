"""MarketStore's data directories, read without MarketStore.

    from tsstore import marketstore

    for bucket in marketstore.read_directory("/var/lib/marketstore", timezone="America/New_York"):
        for year in bucket.years:
            for rows in year.batches():
                store.write(bucket.key, rows)

Nothing is changed in the directory. `tsstore migrate` does the same, verified and repeatable.

- `header`     the first 37,024 bytes of a year file
- `instants`   slots and fractions of slots as nanoseconds
- `records`    what the two kinds of year files have in common; `fixed` and `ticks` are the two
- `yearfile`   a year of a bucket
- `walfile`    commits that year files may lack
- `directory`  buckets and their years
"""

from tsstore.marketstore.directory import Bucket, read_directory
from tsstore.marketstore.errors import DamagedFileError
from tsstore.marketstore.yearfile import YearFile

__all__ = ["Bucket", "DamagedFileError", "YearFile", "read_directory"]
