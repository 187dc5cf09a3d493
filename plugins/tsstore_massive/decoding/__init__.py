"""What the vendor writes, as columns: events of the socket and rows of REST. No I/O here."""
