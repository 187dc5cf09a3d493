"""What tests of stores and plugins need.

- `plugins`  what every plugin has to do, as tests to inherit
- `model`    a store in plain dicts
- `faultfs`  a file system that fails on purpose
"""
