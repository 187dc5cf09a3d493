"""Files and their life: log, memory, segments, recovery. Nothing here knows queries or servers."""
