"""The processes, put together: shipper and alert engine."""
