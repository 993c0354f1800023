    |> filter(fn: (r) => r._measurement == measurement)
