"""The vendor's flat files: one csv.gz per data set and day on S3, into buckets.

catalogue: what there is → remote: listing and downloads → archive: the copy on this machine →
inflate, parse: bytes to columns → load: columns into buckets → ledger: what is loaded → sync: the
days of a run → fallback: days without a file.
"""
